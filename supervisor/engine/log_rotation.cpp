#include "supervisor/engine/log_rotation.hpp"

#include "supervisor/sys/host.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::asio::posix::stream_descriptor;
using boost::system::error_code;
using ipc::Compression;

constexpr std::uint64_t kTryAgainBytes = std::uint64_t{16} << 20U; ///< bytes more, after a failure
constexpr std::int64_t kTryAgainMs = 60'000;
constexpr std::chrono::seconds kLookAfter{1};    ///< a start, when everything has its process
constexpr std::chrono::seconds kCapPause{1};     ///< one look at all files for many rotations
constexpr std::chrono::seconds kLongestWait{60}; ///< for a moment of the clock, which may be set
constexpr std::uint64_t kUsualCap = std::uint64_t{10} << 30U;
constexpr std::uint64_t kShareOfDisk = 10; ///< one of so many parts of the file system
constexpr int kIdle = 19;                  ///< man 2 setpriority

std::string folder_of(const std::string& path)
{
    const auto slash = path.rfind('/');
    return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

std::string_view name_of(std::string_view path)
{
    return path.substr(path.rfind('/') + 1); // npos + 1 is 0
}

std::string in_folder(const std::string& path, std::string_view name)
{
    return fmt::format("{}{}", path.substr(0, path.rfind('/') + 1), name);
}

std::int64_t modified_ms(const struct stat& about)
{
    return std::int64_t{about.st_mtim.tv_sec} * 1000 + about.st_mtim.tv_nsec / 1'000'000;
}

std::uint64_t size_limit(const ipc::Rotation& rule)
{
    return rule.on && rule.size > 0 ? rule.size : LogCare::kNever;
}

} // namespace

LogRotation::LogRotation(boost::asio::io_context& loop, ipc::System& system, Launcher& launcher,
                         const ipc::Clock& clock, Log& log, const ipc::HomePaths& paths)
    : loop_{loop}, system_{system}, launcher_{launcher}, clock_{clock}, log_{log},
      home_{paths.home}, logs_{paths.logs}, times_{system, clock, paths.logs}, period_timer_{loop},
      cap_timer_{loop}, begin_timer_{loop}
{
}

void LogRotation::begin()
{
    begin_timer_.expires_after(kLookAfter);
    begin_timer_.async_wait([this](error_code cancelled) {
        if (cancelled) return;
        if (any_held_) return begin();
        tend_all();
        release_idle_memory();
    });
}

void LogRotation::opened(LogCare& care, const struct stat& about)
{
    if (times_device_ == 0) times_device_ = device_of(logs_);
    care.times = {.file = {about.st_dev, about.st_ino}, .last = {}, .not_before_ms = 0};
    begin_period(care, about);
}

std::uint64_t LogRotation::device_of(const std::string& folder)
{
    const auto there = system_.open(folder, O_PATH);
    const auto about = there ? system_.fstat(there->get()) : std::unexpected(there.error());
    return about ? about->st_dev : 0;
}

void LogRotation::hold(bool any, const std::function<bool(std::uint64_t device)>& answers)
{
    any_held_ = any;
    times_held_ = !answers(times_device_);
}

/// What cannot be noted now belongs to the next record.
void LogRotation::note(LogCare& care, std::uint64_t offset)
{
    if (times_held_)
        care.times.last.reset();
    else
        times_.note(care.times, offset);
}

/// Also where a rule has changed.
void LogRotation::begin_period(LogCare& care, const struct stat& about)
{
    care.rotate_at = size_limit(care.rule);
    if (!care.rule.by_time()) return;
    // Who wrote it last did so in a period that may be over: nobody was there to see its end.
    const std::int64_t now = clock_.wall_ms();
    const std::int64_t from = about.st_size > 0 ? std::min(modified_ms(about), now) : now;
    care.period_end_ms = period_of(care.rule, from).end_ms;
    watch(care);
}

void LogRotation::set_rule(LogCare& care, const ipc::Rotation& rule, const struct stat& about)
{
    care.rule = rule;
    begin_period(care, about);
}

void LogRotation::watch(const LogCare& care)
{
    if (care.rule.by_time()) watch_period(care.period_end_ms);
}

bool LogRotation::is_over(LogCare& care) const
{
    if (!care.rule.by_time() || clock_.wall_ms() < care.period_end_ms) return false;
    care.rotate_at = 1;
    return true;
}

/// No timer where nobody has a rule by time. The wall clock may be set meanwhile: it is asked again
/// from time to time.
void LogRotation::watch_period(std::int64_t end_ms)
{
    if (period_end_ms_ != 0 && period_end_ms_ <= end_ms) return;
    period_end_ms_ = end_ms;
    const std::chrono::milliseconds left{std::max<std::int64_t>(end_ms - clock_.wall_ms(), 0)};
    period_timer_.expires_after(std::min<std::chrono::milliseconds>(left, kLongestWait));
    period_timer_.async_wait([this, end_ms](error_code cancelled) {
        if (cancelled) return;
        period_end_ms_ = 0;
        if (clock_.wall_ms() < end_ms) return watch_period(end_ms);
        if (on_period_) on_period_(); // files that go on are watched again
    });
}

std::optional<std::string> LogRotation::set_aside(const std::string& path, LogCare& care,
                                                  std::uint64_t size)
{
    const auto entry = look(path);
    if (!entry && leads_to(path, care.times.file))
        return fail(path, care, size, "it is a symbolic link"), std::nullopt;
    if (!entry || entry->id != care.times.file) return "";
    const auto names = system_.list_directory(folder_of(path));
    if (!names) return fail(path, care, size, names.error().text()), std::nullopt;
    const auto before = rotated_files(name_of(path), *names);
    const std::string name = path + "." + next_stamp(before, clock_.wall_ms());
    if (auto renamed = system_.rename(path, name); !renamed)
        return fail(path, care, size, renamed.error().text()), std::nullopt;
    return name;
}

void LogRotation::put_back(const std::string& path, const std::string& name, LogCare& care,
                           std::uint64_t size, const ipc::Error& why)
{
    if (!name.empty())
        (void)system_.rename(name, path); // what is written goes into it, whatever its name
    fail(path, care, size, why.text());
}

/// Writing goes on in the old file.
void LogRotation::fail(const std::string& path, LogCare& care, std::uint64_t size,
                       const std::string& why)
{
    care.rotate_at = size + kTryAgainBytes;
    if (care.rule.by_time()) watch_period(clock_.wall_ms() + kTryAgainMs);
    faults_[path] = why;
    if (!std::exchange(care.failing, true))
        log_.error(fmt::format("cannot rotate {}, it grows further: {}", path, why));
}

void LogRotation::settle(const LogFile& file)
{
    faults_.erase(file.path);
    const auto names = system_.list_directory(folder_of(file.path));
    if (names) tend(file, *names);
    check_cap_soon();
}

/// What is too much goes, what is not compressed shall be.
void LogRotation::tend(const LogFile& file, const std::vector<std::string>& names)
{
    const std::string_view base = name_of(file.path);
    for (const std::string& name : leftovers(base, names))
        remove(in_folder(file.path, name));
    if (!file.rule.on) return;
    const auto rotated = rotated_files(base, names);
    const std::size_t goes = surplus(rotated, file.rule);
    for (std::size_t at = 0; at < goes; ++at)
        for (const std::string& name : rotated[at].names)
            remove(in_folder(file.path, name));
    if (file.rule.compress == Compression::none) return;
    for (std::size_t at = goes; at < rotated.size(); ++at)
        if (const std::string& plain = rotated[at].plain; !plain.empty())
            enqueue(
                {.log = file.path, .path = in_folder(file.path, plain), .as = file.rule.compress});
    compress_next();
}

void LogRotation::tend_all()
{
    const auto names = folders();
    for (const LogFile& file : all_files())
        if (const auto folder = names.find(folder_of(file.path)); folder != names.end())
            tend(file, folder->second);
    std::set<FileId> there;
    for (const auto& [folder, inside] : names)
        for (const std::string& name : inside)
            if (const auto entry = look(folder + "/" + name)) there.insert(entry->id);
    times_.sweep(there);
    check_cap();
}

void LogRotation::remove(const std::string& path)
{
    const auto entry = look(path);
    const auto removed = system_.unlink(path);
    if (!removed) log_.warn("old log file: " + removed.error().text());
    if (removed && entry) times_.forget(entry->id);
}

int LogRotation::remove_rotated(const std::string& path)
{
    const auto names = system_.list_directory(folder_of(path));
    if (!names) return 0;
    const auto rotated = rotated_files(name_of(path), *names);
    for (const RotatedFile& file : rotated)
        for (const std::string& name : file.names)
            remove(in_folder(path, name));
    return static_cast<int>(rotated.size());
}

std::string LogRotation::fault(const std::string& path) const
{
    const auto found = faults_.find(path);
    return found == faults_.end() ? "" : found->second;
}

// Compressing.

void LogRotation::enqueue(Job job)
{
    const auto same = [&](const Job& other) { return other.path == job.path; };
    if (compressor_ && same(compressor_->job)) return;
    if (std::ranges::any_of(jobs_, same)) return;
    jobs_.push_back(std::move(job));
}

void LogRotation::compress_next()
{
    while (!compressor_ && !jobs_.empty()) {
        const Job job = std::move(jobs_.front());
        jobs_.pop_front();
        if (!look(job.path)) continue;   // removed meanwhile
        if (!launch(job)) jobs_.clear(); // the next rotation tries again
    }
}

bool LogRotation::launch(const Job& job)
{
    const auto null = system_.open("/dev/null", O_RDONLY);
    if (!null) return false;
    LaunchPlan plan;
    plan.program = "/proc/self/exe";
    plan.argv = {"clusterd",
                 "--home",
                 home_,
                 "--compress",
                 job.path,
                 "--as",
                 job.as == Compression::zstd ? "zstd" : "gzip"};
    plan.environment = own_environment();
    plan.cwd = "/";
    plan.nice = kIdle;
    plan.fds = {null->get(), STDERR_FILENO, STDERR_FILENO};
    auto launched = launcher_.launch(plan);
    if (!launched) {
        faults_[job.log] = "cannot compress: " + launched.error().text;
        log_.warn(fmt::format("cannot compress {}: {}", job.path, launched.error().text));
        return false;
    }
    compressor_.emplace(job, launched->pid, stream_descriptor{loop_, launched->pidfd.release()});
    watch_compressor();
    return true;
}

void LogRotation::watch_compressor()
{
    compressor_->exit.async_wait(stream_descriptor::wait_read, [this](error_code cancelled) {
        if (cancelled) return;
        const auto status = system_.wait(compressor_->pid);
        // The pidfd may tell of the first thread's end while others are still going.
        if (status && !*status) return watch_compressor();
        on_compressed(status ? **status : ipc::kUnknownExit);
    });
}

/// It has said on stderr, which is our log, what was wrong.
void LogRotation::on_compressed(const ipc::ExitStatus& status)
{
    const Job job = std::move(compressor_->job);
    compressor_.reset();
    if (status == ipc::ExitStatus{}) {
        faults_.erase(job.log);
        return compress_next();
    }
    faults_[job.log] = fmt::format("cannot compress {}: code {}, signal {}", name_of(job.path),
                                   status.code, status.signal);
    log_.warn(fmt::format("{}; it stays as it is", faults_[job.log]));
    jobs_.clear(); // the next rotation tries again
}

// All logs together.

void LogRotation::check_cap_soon()
{
    if (std::exchange(cap_due_, true)) return;
    cap_timer_.expires_after(kCapPause);
    cap_timer_.async_wait([this](error_code cancelled) {
        cap_due_ = false;
        if (cancelled) return;
        if (any_held_) return check_cap_soon();
        check_cap();
        release_idle_memory();
    });
}

void LogRotation::check_cap()
{
    std::vector<CappedFile> old;
    std::uint64_t current = 0;
    std::set<std::string> being_written;
    for (const LogFile& file : all_files())
        being_written.insert(file.path);
    for (const std::string& path : being_written)
        if (const auto entry = look(path)) current += entry->bytes;
    for (const auto& [folder, names] : folders()) {
        for (const std::string& name : names) {
            const auto parsed = parse_rotated(name);
            const std::string path = folder + "/" + name;
            // Of others only what lies with our own, from apps that are not there any more.
            const bool ours =
                parsed && (folder == logs_ || being_written.contains(folder + "/" + parsed->base));
            const auto entry = ours ? look(path) : std::nullopt;
            if (entry) old.push_back({parsed->stamp, path, entry->bytes});
        }
    }
    const std::uint64_t limit = cap();
    std::uint64_t freed = 0;
    const auto goes = above_cap(std::move(old), current, limit);
    for (const CappedFile& file : goes) {
        remove(file.path);
        freed += file.bytes;
    }
    if (!goes.empty())
        log_.info(fmt::format("all logs together are above {} bytes: removed the {} oldest files "
                              "set aside, {} bytes, the last of them {}",
                              limit, goes.size(), freed, goes.back().path));
}

std::uint64_t LogRotation::cap()
{
    if (cap_) return *cap_ > 0 ? *cap_ : std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t disk = disk_bytes(logs_);
    return disk == 0 ? kUsualCap : std::min(kUsualCap, disk / kShareOfDisk);
}

/// A regular file; empty when there is none.
std::optional<LogRotation::Entry> LogRotation::look(const std::string& path)
{
    const auto file = system_.open(path, O_PATH | O_NOFOLLOW);
    const auto about = file ? system_.fstat(file->get()) : std::unexpected(file.error());
    if (!about || !S_ISREG(about->st_mode)) return std::nullopt;
    return Entry{.path = path,
                 .id = {about->st_dev, about->st_ino},
                 .bytes = static_cast<std::uint64_t>(about->st_size)};
}

bool LogRotation::leads_to(const std::string& path, FileId id)
{
    const auto file = system_.open(path, O_PATH, 0);
    const auto about = file ? system_.fstat(file->get()) : std::unexpected(file.error());
    return about && FileId{about->st_dev, about->st_ino} == id;
}

std::vector<LogFile> LogRotation::all_files() const
{
    return files_ ? files_() : std::vector<LogFile>{};
}

std::map<std::string, std::vector<std::string>> LogRotation::folders()
{
    std::map<std::string, std::vector<std::string>> found;
    const auto add = [&](const std::string& folder) {
        if (found.contains(folder)) return;
        if (auto names = system_.list_directory(folder)) found[folder] = std::move(*names);
    };
    add(logs_);
    for (const LogFile& file : all_files())
        add(folder_of(file.path));
    return found;
}

} // namespace cluster::supervisor
