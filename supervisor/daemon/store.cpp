#include "supervisor/daemon/store.hpp"

#include "ipc/wire/attributes.hpp"
#include "ipc/wire/rpc.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <fcntl.h>

#include <map>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::json;

json environment_json(const ipc::Environment& environment)
{
    json object = json::object();
    for (const auto& [name, value] : environment)
        object[name] = value;
    return object;
}

/// Everything that may throw on a text that somebody else wrote.
SavedState read_state(const json& state)
{
    SavedState saved;
    std::vector<std::shared_ptr<const ipc::Environment>> environments;
    for (const json& entry : state.at("environments"))
        environments.push_back(
            std::make_shared<const ipc::Environment>(entry.get<ipc::Environment>()));
    for (const json& entry : state.at("apps")) {
        ipc::Diagnostics diagnostics;
        auto spec = ipc::parse_app(entry.at("spec"), {}, diagnostics);
        if (!spec) throw std::runtime_error(diagnostics.front().text());
        saved.apps.push_back(
            {.spec = std::move(*spec),
             .inherited = environments.at(entry.at("environment").get<std::size_t>())});
    }
    for (const json& entry : state.at("workers")) {
        saved.workers.push_back({.id = entry.at("id").get<int>(),
                                 .app = entry.at("app").get<std::size_t>(),
                                 .instance = entry.at("instance").get<int>(),
                                 .unique_id = entry.at("unique_id").get<std::string>(),
                                 .wanted = entry.at("wanted").get<bool>(),
                                 .restarts = entry.at("restarts").get<int>()});
        (void)saved.apps.at(saved.workers.back().app);
    }
    return saved;
}

} // namespace

std::string state_text(const Supervisor& supervisor)
{
    std::map<const ipc::Environment*, std::size_t> environments;
    std::map<const App*, std::size_t> apps;
    json state = {{"version", kStateVersion},
                  {"environments", json::array()},
                  {"apps", json::array()},
                  {"workers", json::array()}};
    for (const auto& [id, worker] : supervisor.workers()) {
        const ipc::Environment* inherited = worker->app->inherited.get();
        if (environments.try_emplace(inherited, environments.size()).second)
            state["environments"].push_back(environment_json(*inherited));
        if (apps.try_emplace(worker->app.get(), apps.size()).second) {
            state["apps"].push_back(
                {{"spec", ipc::to_json(worker->spec())}, {"environment", environments[inherited]}});
        }
        const State now = worker->life.state;
        // An errored one was wanted: after a reboot it gets another chance.
        const bool wanted = !worker->waits_for.empty() ||
                            (now != State::stopped && now != State::stopping) ||
                            worker->life.after == After::start;
        state["workers"].push_back({{"id", id},
                                    {"app", apps[worker->app.get()]},
                                    {"instance", worker->instance},
                                    {"unique_id", worker->unique_id},
                                    {"wanted", wanted},
                                    {"restarts", worker->life.restarts}});
    }
    return ipc::dump(state) + "\n";
}

std::expected<SavedState, std::string> parse_state(std::string_view text)
{
    try {
        const json state = json::parse(text);
        if (const json version = state.at("version"); version != kStateVersion)
            return std::unexpected("its version is " + ipc::dump(version) + ", this daemon reads " +
                                   std::to_string(kStateVersion));
        return read_state(state);
    } catch (const std::exception& error) {
        return std::unexpected(std::string{error.what()});
    }
}

Store::Store(boost::asio::io_context& loop, ipc::System& system, Log& log, std::string path)
    : loop_{loop}, system_{system}, log_{log}, path_{std::move(path)}
{
}

Store::~Store()
{
    flush();
}

std::optional<SavedState> Store::load()
{
    const auto text = system_.read_file(path_);
    if (!text && text.error().code == std::errc::no_such_file_or_directory) return std::nullopt;
    auto state = text ? parse_state(*text) : std::unexpected(text.error().text());
    if (state) return std::move(*state);
    log_.error(fmt::format("state: {} cannot be used and is kept as {}.bad: {}", path_, path_,
                           state.error()));
    if (auto moved = system_.rename(path_, path_ + ".bad"); !moved)
        log_.error("state: " + moved.error().text());
    return std::nullopt;
}

void Store::save(std::string text)
{
    next_ = std::move(text);
    if (!writing_) write_next();
}

void Store::write_next()
{
    if (writer_.joinable()) writer_.join();
    if (!next_) return;
    writing_ = true;
    writer_ = std::thread{[this, text = *std::exchange(next_, std::nullopt),
                           guard = boost::asio::make_work_guard(loop_)] {
        write(text);
        boost::asio::post(loop_, [this] {
            writing_ = false;
            write_next();
        });
    }};
}

void Store::flush()
{
    if (writer_.joinable()) writer_.join();
    if (next_) write(*std::exchange(next_, std::nullopt));
}

void Store::write(const std::string& text)
{
    const std::string fresh = path_ + ".new";
    const auto say = [&](const ipc::Error& error) { log_.error("state: " + error.text()); };
    auto file = system_.open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (!file) return say(file.error());
    for (std::size_t done = 0; done < text.size();) {
        const auto size = system_.write(file->get(), text.data() + done, text.size() - done);
        if (!size) return say(size.error());
        done += *size;
    }
    if (auto synced = system_.fsync(file->get()); !synced) return say(synced.error());
    if (auto renamed = system_.rename(fresh, path_); !renamed) return say(renamed.error());
}

} // namespace cluster::supervisor
