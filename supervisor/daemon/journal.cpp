#include "supervisor/daemon/journal.hpp"

#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace cluster::supervisor {
namespace {

/// A journal this much longer than its snapshot begins anew.
constexpr std::size_t kGrowth = 256UL << 10U;

} // namespace

Journal::Journal(boost::asio::io_context& loop, Supervisor& supervisor, GuardianLink& link,
                 Log& log)
    : loop_{loop}, supervisor_{supervisor}, link_{link}, log_{log}
{
}

void Journal::row(const Worker& worker)
{
    rows_.insert(worker.key);
    soon();
}

void Journal::removed(std::uint64_t key)
{
    rows_.erase(key);
    removed_.push_back(key);
    soon();
}

void Journal::listeners()
{
    listeners_ = true;
    soon();
}

void Journal::node_handles()
{
    node_ = true;
    soon();
}

void Journal::under_way()
{
    under_way_ = true;
    soon();
}

/// All that one turn of the loop changes is one line.
void Journal::soon()
{
    if (on_change_) on_change_();
    if (!file_ || std::exchange(posted_, true)) return;
    boost::asio::post(loop_, [this] {
        posted_ = false;
        flush();
    });
}

void Journal::end_known(pid_t pid, std::uint64_t start_time)
{
    flush();
    link_.acknowledge({.pid = pid, .start_time = start_time, .status = {}});
}

void Journal::begin()
{
    const ipc::UniqueFd old = std::move(file_);
    file_ = ipc::UniqueFd{::memfd_create("clusterd state", MFD_CLOEXEC)};
    size_ = 0;
    numbers_ = {};
    known_apps_.clear();
    const UnderWay under_way = get_under_way_ ? get_under_way_() : UnderWay{};
    for (const Worker* worker : supervisor_.rows())
        known_apps_.insert(worker->app->number);
    for (const Reloads::Order& order : under_way.reloads)
        if (order.app) known_apps_.insert(order.app->number);
    if (!file_ || !append(state_text(supervisor_, under_way, numbers_))) {
        log_.error(fmt::format("journal: {}: a crash of the manager would cost what has changed",
                               std::strerror(errno)));
        file_ = ipc::UniqueFd{};
        return;
    }
    rows_.clear();
    removed_.clear();
    listeners_ = node_ = under_way_ = false;
    snapshot_size_ = size_;
    link_.keep_journal(file_.get());
}

void Journal::flush()
{
    if (!file_) return;
    if (rows_.empty() && removed_.empty() && !listeners_ && !node_ && !under_way_) return;
    if (size_ > 2 * snapshot_size_ + kGrowth) return begin();
    UnderWay under_way;
    StateChange change;
    if (under_way_) {
        if (get_under_way_) under_way = get_under_way_();
        change.under_way = &under_way;
    }
    for (const std::uint64_t key : rows_)
        if (const Worker* worker = supervisor_.find_row(key)) change.rows.push_back(worker);
    change.apps = new_apps(change);
    change.removed = std::exchange(removed_, {});
    change.listeners = std::exchange(listeners_, false);
    change.node = std::exchange(node_, false);
    rows_.clear();
    under_way_ = false;
    // A line that did not get in whole must not swallow the next one.
    if (!append(change_text(supervisor_, change, numbers_))) begin();
}

/// Apps that the file does not have yet and that the change refers to.
std::vector<std::shared_ptr<const App>> Journal::new_apps(const StateChange& change)
{
    std::vector<std::shared_ptr<const App>> fresh;
    const auto add = [&](const std::shared_ptr<const App>& app) {
        if (app && known_apps_.insert(app->number).second) fresh.push_back(app);
    };
    for (const Worker* worker : change.rows)
        add(worker->app);
    if (change.under_way)
        for (const Reloads::Order& order : change.under_way->reloads)
            add(order.app);
    return fresh;
}

bool Journal::append(const std::string& text)
{
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t size = ::write(file_.get(), text.data() + done, text.size() - done);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return false;
        done += static_cast<std::size_t>(size);
    }
    size_ += text.size();
    return true;
}

} // namespace cluster::supervisor
