#include "supervisor/daemon/journal.hpp"

#include "supervisor/sys/memory_file.hpp"

#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

namespace cluster::supervisor {
namespace {

/// A journal this much longer than its snapshot begins anew.
constexpr std::size_t kGrowth = 256UL << 10U;
/// One in memory tries for the disk again.
constexpr std::chrono::seconds kTryAgain{1};

} // namespace

Journal::Journal(boost::asio::io_context& loop, Supervisor& supervisor, GuardianLink& link,
                 Log& log, std::string path)
    : loop_{loop}, supervisor_{supervisor}, link_{link}, log_{log}, path_{std::move(path)}
{
}

void Journal::set_memory_path(std::string path)
{
    memory_path_ = std::move(path);
    memory_there_ = !memory_path_.empty();
}

std::vector<std::string> Journal::left_behind() const
{
    ipc::System& system = supervisor_.system();
    std::vector<std::string> paths;
    if (const auto memory = system.open(memory_path_, O_RDONLY | O_NOFOLLOW)) {
        const auto about = system.fstat(memory->get());
        // Anybody may make one of that name.
        if (about && S_ISREG(about->st_mode) && about->st_uid == ::geteuid() &&
            (about->st_mode & 0077) == 0)
            paths.push_back(memory_path_);
    }
    paths.push_back(path_);
    return paths;
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
    if (!begun_ || std::exchange(posted_, true)) return;
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
    const UnderWay under_way = get_under_way_ ? get_under_way_() : UnderWay{};
    EnvironmentNumbers numbers;
    const std::string snapshot = state_text(supervisor_, under_way, numbers);
    begun_ = true;
    begun_at_ = supervisor_.clock().now();
    snapshot_size_ = size_; // should this fail, the next attempt comes as late as after a success
    auto fresh = new_file(snapshot);
    if (!fresh) {
        behind_ = behind_ || !file_;
        return log_.error("journal: " + fresh.error().text() +
                          ": a crash of the manager may cost what changes");
    }
    link_.keep_journal(fresh->get());
    file_ = std::move(*fresh); // the guardian has the one before no more
    size_ = snapshot_size_ = snapshot.size();
    numbers_ = std::move(numbers);
    known_apps_.clear();
    for (const Worker* worker : supervisor_.rows())
        known_apps_.insert(worker->app->number);
    for (const Reloads::Order& order : under_way.reloads)
        if (order.app) known_apps_.insert(order.app->number);
    rows_.clear();
    removed_.clear();
    listeners_ = node_ = under_way_ = behind_ = false;
}

/// On the disk where that can be. As long as one is in memory, that one counts: what it says holds
/// at every moment until it is gone.
ipc::Result<ipc::UniqueFd> Journal::new_file(const std::string& snapshot)
{
    auto file = open_file(path_, snapshot);
    if (file) {
        if (std::exchange(in_memory_, false)) log_.info("journal: on the disk again");
        remove_memory();
        return file;
    }
    if (!std::exchange(in_memory_, true))
        log_.error("journal: " + file.error().text() + ": kept in memory");
    auto memory = new_file_in_memory(snapshot);
    // What stays on the disk would be taken for the truth.
    if (memory) (void)supervisor_.system().unlink(path_);
    return memory;
}

ipc::Result<ipc::UniqueFd> Journal::new_file_in_memory(const std::string& snapshot)
{
    if (!memory_path_.empty()) {
        memory_there_ = true;
        if (auto file = open_file(memory_path_, snapshot)) return file;
    }
    auto memory = memory_file("clusterd journal", snapshot);
    if (memory) remove_memory();
    return memory;
}

/// A new file, whole at any moment, of which nobody else holds a descriptor.
ipc::Result<ipc::UniqueFd> Journal::open_file(const std::string& path, const std::string& snapshot)
{
    ipc::System& system = supervisor_.system();
    const std::string fresh = path + ".new";
    (void)system.unlink(fresh); // of one that was killed
    auto file = system.open(fresh, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (!file) return file;
    auto done = append(*file, snapshot);
    if (done) done = system.rename(fresh, path);
    if (done) return file;
    (void)system.unlink(fresh);
    return std::unexpected(done.error());
}

void Journal::remove_memory()
{
    if (std::exchange(memory_there_, false)) (void)supervisor_.system().unlink(memory_path_);
}

void Journal::end()
{
    begun_ = false;
    file_ = ipc::UniqueFd{};
    (void)supervisor_.system().unlink(path_);
    remove_memory();
}

void Journal::flush()
{
    const auto nothing_new = [&] {
        return rows_.empty() && removed_.empty() && !listeners_ && !node_ && !under_way_;
    };
    if (!begun_ || nothing_new()) return;
    const bool again = in_memory_ && supervisor_.clock().now() >= begun_at_ + kTryAgain;
    if (behind_ || again || size_ > 2 * snapshot_size_ + kGrowth) begin();
    if (behind_ || nothing_new()) return;
    UnderWay under_way;
    StateChange change;
    if (under_way_) {
        if (get_under_way_) under_way = get_under_way_();
        change.under_way = &under_way;
        under_way_ = false;
    }
    for (const std::uint64_t key : std::exchange(rows_, {}))
        if (const Worker* worker = supervisor_.find_row(key)) change.rows.push_back(worker);
    change.apps = new_apps(change);
    change.removed = std::exchange(removed_, {});
    change.listeners = std::exchange(listeners_, false);
    change.node = std::exchange(node_, false);
    const std::string text = change_text(supervisor_, change, numbers_);
    if (append(file_, text)) {
        size_ += text.size();
        return;
    }
    // A line that did not get in whole must not swallow the next one.
    behind_ = true;
    begin();
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

ipc::Result<void> Journal::append(const ipc::UniqueFd& file, std::string_view text)
{
    while (!text.empty()) {
        const auto size = supervisor_.system().write(file.get(), text.data(), text.size());
        if (!size) return ipc::fail(size.error().code, "write " + path_);
        text.remove_prefix(*size);
    }
    return {};
}

} // namespace cluster::supervisor
