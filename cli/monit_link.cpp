#include "cli/monit_link.hpp"

#include "cli/log_tail.hpp"
#include "cli/process_view.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::cli {
namespace {

using ipc::milliseconds;
using namespace std::chrono_literals;

constexpr milliseconds kListPause = 1s;
constexpr milliseconds kSoon = 200ms; ///< after an event, so that a storm of them asks rarely
constexpr milliseconds kDescribePause = 5s;
constexpr milliseconds kTryPause = 200ms;
constexpr milliseconds kSilence = 2s;        ///< that an answer is late before we say so
constexpr off_t kHistoryBytes = 256L * 1024; ///< of each file
constexpr std::size_t kHistoryLines = 1000;
constexpr std::size_t kMostPending = 4000;

std::int64_t written_at(ipc::System& system, const std::string& path)
{
    const auto file = system.open(path, O_RDONLY | O_NONBLOCK);
    const auto stat = file ? system.fstat(file->get()) : std::unexpected(file.error());
    return stat ? stat->st_mtim.tv_sec * 1'000'000'000 + stat->st_mtim.tv_nsec : 0;
}

/// The last lines of a file, and never more of it than a fixed amount, however long they are.
std::vector<std::string> end_of(ipc::System& system, const std::string& path)
{
    const off_t size = log_size(system, path);
    const off_t begin = std::max<off_t>(size - kHistoryBytes, 0);
    auto lines = lines_after(system, path, begin);
    if (!lines) return {};
    if (begin > 0 && !lines->empty()) lines->erase(lines->begin()); // its beginning is missing
    if (lines->size() > kHistoryLines)
        lines->erase(lines->begin(), lines->end() - static_cast<std::ptrdiff_t>(kHistoryLines));
    return std::move(*lines);
}

std::string file_path(const json& process, const char* key)
{
    const auto path = process.find(key);
    if (path == process.end() || !path->is_string()) return {};
    const auto& text = path->get_ref<const std::string&>();
    return text == "/dev/null" ? std::string{} : text;
}

/// Why an action failed: the first failure says more than the message.
std::string reason_of(const json& error)
{
    const json data = error.value("data", json{});
    if (data.is_object() && data.contains("failures") && data["failures"].is_array() &&
        !data["failures"].empty()) {
        const json& first = data["failures"].front();
        if (const std::string reason = member_text(first, "reason"); !reason.empty()) return reason;
    }
    return member_text(error, "message");
}

} // namespace

// The connection.

void MonitLink::connect()
{
    const milliseconds now = context_.clock.now();
    if (now < next_try_) return;
    next_try_ = now + kTryPause;
    auto client = ipc::Client::connect(context_.session.home());
    if (!client) return;
    untap(); // what was asked of the one before is not known to this one
    client_ = std::move(*client);
    post({.what = Asked::events}, "events.follow", json::object());
    next_list_ = now;
}

void MonitLink::lose(const std::string& why)
{
    client_.reset();
    for (const auto& [id, request] : requests_)
        if (request.what == Asked::action)
            model_.note = {request.doing + ": the daemon went away before it answered",
                           Colour::red};
    requests_.clear();
    untap();
    model_.connected = false;
    model_.link_text = fmt::format("no connection to the daemon ({}); trying again", why);
    next_try_ = context_.clock.now();
}

void MonitLink::post(Request request, std::string_view method, const json& params)
{
    if (!client_) return;
    const auto id = client_->post(method, params);
    if (!id) return lose(id.error().message);
    requests_[*id] = std::move(request);
}

bool MonitLink::waits_for(Asked what) const
{
    return std::ranges::any_of(requests_,
                               [&](const auto& entry) { return entry.second.what == what; });
}

bool MonitLink::tick()
{
    const bool before = model_.connected;
    if (!client_) connect();
    if (client_) ask_what_is_due();
    return model_.connected != before;
}

void MonitLink::ask_what_is_due()
{
    const milliseconds now = context_.clock.now();
    if (now >= next_list_ && !waits_for(Asked::list)) {
        const bool sample = now >= next_sample_;
        if (sample) next_sample_ = now + kListPause * 9 / 10;
        list_soon_ = false;
        next_list_ = now + kListPause;
        post({.what = Asked::list, .sample = sample}, "list", json::object());
    }
    if (now >= next_list_ + kSilence && model_.connected) {
        model_.connected = false; // until it answers
        model_.link_text = "the daemon does not answer: is it stopped?";
    }
    if (tapped_ != model_.selected && !waits_for(Asked::follow)) tap_selected();
    if (tapped_ && live_ && now >= next_describe_ && !waits_for(Asked::describe)) {
        next_describe_ = now + kDescribePause;
        const MonitRow* row = selected_row(model_);
        if (row != nullptr && row->id == tapped_)
            post({.what = Asked::describe, .tap = tap_}, "describe",
                 {{"targets", json::array({target_of(model_, *row).value_or(row->name)})}});
    }
}

int MonitLink::time_left() const
{
    milliseconds due = client_ ? next_list_ : next_try_;
    // Whoever does not answer is not asked again: nothing is due before that.
    if (client_ && waits_for(Asked::list)) due = context_.clock.now() + kListPause;
    return static_cast<int>(std::max(due - context_.clock.now(), 0ms).count());
}

bool MonitLink::read()
{
    if (!client_) return false;
    bool seen = false;
    const auto taken = client_->take([&](const json& message) { seen |= hear(message); });
    if (taken) return seen;
    lose(taken.error().message);
    return true;
}

void MonitLink::ask(const MonitIntent& intent)
{
    if (!client_ || !model_.connected) return; // the screen says so already
    model_.note = {intent.doing + " ...", Colour::cyan};
    post({.what = Asked::action, .doing = intent.doing}, intent.method, intent.params);
}

// What the daemon says.

bool MonitLink::hear(const json& message)
{
    const auto method = message.find("method");
    if (method != message.end() && method->is_string())
        return hear_notification(method->get<std::string>(),
                                 message.value("params", json::object()));
    const auto request = requests_.extract(static_cast<int>(member_number(message, "id")));
    if (!request) return false;
    hear_answer(request.mapped(), message);
    return true;
}

bool MonitLink::hear_notification(const std::string& method, const json& params)
{
    if (method == "log") return hear_lines(params);
    if (method == "event") hear_event(params);
    return method == "event";
}

void MonitLink::hear_answer(const Request& request, const json& message)
{
    const json result = message.value("result", json::object());
    const bool late = request.tap != tap_;
    switch (request.what) {
    case Asked::list:
        model_.connected = true;
        take_list(model_, result.value("processes", json::array()), request.sample);
        return;
    case Asked::follow:
        subscription_ = static_cast<int>(member_number(result, "subscription"));
        return;
    case Asked::describe:
    case Asked::log_files:
        if (!late) hear_details(request, result);
        return;
    case Asked::barrier:
        if (!late) show_history();
        return;
    case Asked::action:
        return hear_outcome(request, message);
    case Asked::events:
    case Asked::other:
        return;
    }
}

void MonitLink::hear_outcome(const Request& request, const json& message)
{
    if (const auto error = message.find("error"); error != message.end())
        model_.note = {fmt::format("{}: {}", request.doing, reason_of(*error)), Colour::red};
    else
        model_.note = {request.doing + ": done", Colour::green};
    next_list_ = std::min(next_list_, context_.clock.now());
}

void MonitLink::hear_details(const Request& request, const json& result)
{
    const json processes = result.value("processes", json::array());
    const auto found = std::ranges::find_if(
        processes, [&](const json& process) { return member_number(process, "id") == tapped_; });
    if (found == processes.end()) return;
    model_.detail = *found;
    if (request.what == Asked::log_files) read_files(*found);
}

void MonitLink::hear_event(const json& params)
{
    const json process = params.value("process", json::object());
    take_process(model_, process, false);
    const milliseconds now = context_.clock.now();
    if (!std::exchange(list_soon_, true)) next_list_ = std::min(next_list_, now + kSoon);
    if (member_number(process, "id") == tapped_) next_describe_ = now;
}

// The log of the selected process.

void MonitLink::untap()
{
    if (subscription_ && client_)
        post({.what = Asked::other}, "unfollow", {{"subscription", *subscription_}});
    subscription_.reset();
    tapped_.reset();
    files_.clear();
    pending_.clear();
    live_ = false;
    ++tap_;
}

/// Subscribes before it reads the files, so that no line is lost in between, and drops what arrived
/// twice.
void MonitLink::tap_selected()
{
    untap();
    model_.log.clear();
    model_.detail = json::object();
    model_.detail_top = 0;
    const MonitRow* row = selected_row(model_);
    if (row == nullptr) return;
    tapped_ = row->id;
    const json targets = json::array({target_of(model_, *row).value_or(row->name)});
    post({.what = Asked::follow, .tap = tap_}, "logs.follow", {{"targets", targets}});
    post({.what = Asked::log_files, .tap = tap_}, "describe", {{"targets", targets}});
    next_describe_ = context_.clock.now() + kDescribePause;
}

void MonitLink::read_files(const json& process)
{
    files_.clear();
    for (const bool error : {false, true}) {
        const std::string path = file_path(process, error ? "error_file" : "out_file");
        if (path.empty()) continue;
        auto known = std::ranges::find(files_, path, &File::path);
        if (known == files_.end()) known = files_.insert(files_.end(), File{.path = path});
        (error ? known->err : known->out) = true;
    }
    for (File& file : files_) {
        file.lines = end_of(context_.system, file.path);
        file.written_at = written_at(context_.system, file.path);
    }
    // The one that was written last stands last: the times of single lines are not known.
    std::ranges::sort(files_, {}, &File::written_at);
    // Lines that the files hold by now have arrived before its answer.
    post({.what = Asked::barrier, .tap = tap_}, "ping", json::object());
}

void MonitLink::show_history()
{
    const std::vector<Came> pending = std::exchange(pending_, {});
    std::vector<bool> known(pending.size(), false);
    for (const File& file : files_) {
        std::vector<std::size_t> places;
        std::vector<std::string> arrived;
        for (std::size_t at = 0; at < pending.size(); ++at) {
            if (!(pending[at].error ? file.err : file.out)) continue;
            places.push_back(at);
            arrived.push_back(pending[at].text);
        }
        const std::size_t doubled = overlap(file.lines, arrived);
        for (std::size_t at = 0; at < doubled; ++at)
            known[places[at]] = true;
        for (const std::string& line : file.lines)
            model_.log.add(line, file.err && !file.out, model_.utf8);
    }
    for (std::size_t at = 0; at < pending.size(); ++at)
        if (!known[at]) show_line(pending[at]);
    files_.clear();
    live_ = true;
}

void MonitLink::show_line(const Came& line)
{
    model_.log.add(line.text, line.error, model_.utf8);
}

bool MonitLink::hear_lines(const json& params)
{
    if (!subscription_ || member_number(params, "subscription") != *subscription_) return false;
    if (const auto dropped = member_number(params, "dropped"); dropped > 0) {
        model_.log.note(fmt::format("[{} lines came too fast to be shown]", dropped));
        return true;
    }
    if (member_number(params, "id") != tapped_) return false;
    const bool error = member_text(params, "stream") == "err";
    for (const json& line : params.value("lines", json::array())) {
        if (!line.is_string()) continue;
        Came came{.error = error, .text = line.get<std::string>()};
        if (live_)
            show_line(came);
        else if (pending_.size() < kMostPending)
            pending_.push_back(std::move(came));
    }
    return true;
}

} // namespace cluster::cli
