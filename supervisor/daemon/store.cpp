#include "supervisor/daemon/store.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <fcntl.h>

#include <chrono>
#include <memory>
#include <utility>

namespace cluster::supervisor {
namespace {

constexpr std::chrono::seconds kTryAgain{1};

bool is_missing(const ipc::Error& error)
{
    return error.code == std::errc::no_such_file_or_directory;
}

} // namespace

ipc::Result<void> replace_file(ipc::System& system, const std::string& path,
                               const std::string& text)
{
    const std::string fresh = path + ".new";
    auto file = system.open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (!file) return std::unexpected(file.error());
    for (std::size_t done = 0; done < text.size();) {
        const auto size = system.write(file->get(), text.data() + done, text.size() - done);
        if (!size) return ipc::fail(size.error().code, "write " + fresh);
        done += *size;
    }
    if (auto synced = system.fsync(file->get()); !synced)
        return ipc::fail(synced.error().code, "write " + fresh);
    // Where we are killed between the two, a reader finds the .bak.
    if (auto kept = system.rename(path, path + ".bak"); !kept && !is_missing(kept.error()))
        return kept;
    return system.rename(fresh, path);
}

Store::Store(boost::asio::io_context& loop, ipc::System& system, Log& log, std::string path)
    : loop_{loop}, system_{system}, log_{log}, path_{std::move(path)}, again_{loop}
{
}

Store::~Store()
{
    (void)flush();
}

std::optional<SavedState> Store::load()
{
    for (const std::string& path : {path_, path_ + ".bak"}) {
        const auto text = system_.read_file(path);
        if (!text && is_missing(text.error())) continue;
        auto state = text ? parse_state(*text) : std::unexpected(text.error().text());
        if (state) return std::move(*state);
        log_.error(fmt::format("state: {} cannot be used and is kept as {}.bad: {}", path, path,
                               state.error()));
        if (auto moved = system_.rename(path, path + ".bad"); !moved)
            log_.error("state: " + moved.error().text());
    }
    return std::nullopt;
}

void Store::save(std::string text, std::function<void()> on_disk)
{
    next_ = std::move(text);
    if (on_disk) waiting_.push_back(std::move(on_disk));
    if (!writing_) write_next();
}

void Store::when_saved(std::function<void()> on_disk)
{
    if (next_)
        waiting_.push_back(std::move(on_disk));
    else if (writing_)
        in_hand_.push_back(std::move(on_disk));
    else
        on_disk();
}

void Store::write_next()
{
    if (writer_.joinable()) writer_.join();
    if (!next_) return;
    writing_ = true;
    again_.cancel();
    in_hand_ = std::exchange(waiting_, {});
    writer_ = std::thread{[this, text = *std::exchange(next_, std::nullopt), number = ++number_,
                           guard = boost::asio::make_work_guard(loop_)]() mutable {
        auto result = replace_file(system_, path_, text);
        boost::asio::post(
            loop_, [this, result = std::move(result), text = std::move(text), number]() mutable {
                written(std::move(result), std::move(text), number);
            });
    }};
}

void Store::written(ipc::Result<void> result, std::string text, unsigned number)
{
    writing_ = false;
    const std::string fault = result ? "" : result.error().text();
    if (!fault.empty() && fault_.empty()) log_.error("state: " + fault);
    if (fault.empty() && !fault_.empty()) log_.info("state: " + path_ + " is written again");
    fault_ = fault;
    for (const auto& on_disk : std::exchange(in_hand_, {}))
        on_disk();
    if (writing_) return;          // one of them has saved again
    if (number != number_) return; // `flush` has written a later one
    if (next_ || result) return write_next();
    next_ = std::move(text);
    again_.expires_after(kTryAgain);
    again_.async_wait([this](boost::system::error_code cancelled) {
        if (!cancelled && !writing_) write_next();
    });
}

ipc::Result<void> Store::flush()
{
    if (writer_.joinable()) writer_.join();
    if (!next_) return {};
    ++number_;
    auto result = replace_file(system_, path_, *std::exchange(next_, std::nullopt));
    fault_ = result ? "" : result.error().text();
    if (!result) log_.error("state: " + fault_);
    for (auto& on_disk : std::exchange(waiting_, {}))
        boost::asio::post(loop_, std::move(on_disk));
    return result;
}

} // namespace cluster::supervisor
