// Log files that are set aside, compressed and removed (the rules are in core/rotation). The log
// pump asks before each batch whether its file is due, by a comparison with its size, and opens the
// new file; the rest is here. Workers never hold a file, so between the rename and the new file
// nothing is written: whoever is killed there has lost nothing, the next daemon opens a new one.
//
// Compressing is done by `clusterd --compress` (daemon/compress), a process of its own, one at a
// time. What one that was killed has left is found at the next rotation of the log file, or by the
// next daemon.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/base/home.hpp"
#include "ipc/base/system.hpp"
#include "supervisor/core/rotation.hpp"
#include "supervisor/engine/log.hpp"
#include "supervisor/engine/log_stage.hpp"
#include "supervisor/engine/log_times.hpp"
#include "supervisor/sys/launcher.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace cluster::supervisor {

/// What belongs to one open log file beside its descriptor.
struct LogCare {
    static constexpr std::uint64_t kNever = ~std::uint64_t{0};
    ipc::Rotation rule{.on = false};
    std::uint64_t rotate_at = kNever; ///< the size from which on it is due
    std::int64_t period_end_ms = 0;   ///< of a rule by time: then it is due whatever its size
    bool failing = false;             ///< complained about already
    LogTimesState times;
    /// How much a batch may have that goes behind `size` bytes: it goes beyond where the file is
    /// due by as much as a pipe usually holds, at most.
    [[nodiscard]] std::size_t room(std::uint64_t size) const
    {
        return std::max<std::size_t>(kPipeBytes, rotate_at - std::min(size, rotate_at));
    }
};

/// A log file that belongs to an app of ours, whether or not it is open.
struct LogFile {
    std::string path;
    ipc::Rotation rule;
};

class LogRotation {
public:
    LogRotation(boost::asio::io_context& loop, ipc::System& system, Launcher& launcher,
                const ipc::Clock& clock, Log& log, const ipc::HomePaths& paths);

    /// Who knows all log files; asked when old ones are looked for.
    void set_files(std::function<std::vector<LogFile>()> files) { files_ = std::move(files); }
    /// Called when the period of a rule by time is over: asks `is_over` for each open file.
    void set_on_period(std::function<void()> on_period) { on_period_ = std::move(on_period); }
    /// Bytes that all log files together may have; 0 is no limit, none the default: a tenth of the
    /// file system and at most 10 GB.
    void set_cap(std::optional<std::uint64_t> bytes) { cap_ = bytes; }
    /// All apps are known: soon looks after what an earlier daemon has left undone.
    void begin();

    /// A regular file was opened for writing. `about` is its.
    void opened(LogCare& care, const struct stat& about);
    void set_rule(LogCare& care, const ipc::Rotation& rule, const struct stat& about);
    /// Calls `on_period` when its period ends.
    void watch(const LogCare& care);
    /// Its period ended since; from now on it is due whatever its size.
    [[nodiscard]] bool is_over(LogCare& care) const;

    /// Renames the file; the path is free then. Answers its name, "" when somebody else has moved
    /// it. A failure is complained about here, once, and tried again when the file has grown.
    std::optional<std::string> set_aside(const std::string& path, LogCare& care,
                                         std::uint64_t size);
    /// There could be no new file: it has its old name again.
    void put_back(const std::string& path, const std::string& name, LogCare& care,
                  std::uint64_t size, const ipc::Error& why);
    /// A new file stands in its place: removes what is too much, has the rest compressed.
    void settle(const LogFile& file);

    /// After each batch: bytes were written from `offset` on.
    void note(LogCare& care, std::uint64_t offset);
    /// There are devices that are not to be touched for now: those that `answers` is false for.
    void hold(bool any, const std::function<bool(std::uint64_t device)>& answers);
    /// The index is on one of them.
    [[nodiscard]] bool times_held() const { return times_held_; }

    /// Removes the files set aside of one log file. Answers how many there were.
    int remove_rotated(const std::string& path);
    /// What is wrong with rotating that log file; "" nothing.
    [[nodiscard]] std::string fault(const std::string& path) const;

private:
    struct Job {
        std::string log; ///< the path of the log file
        std::string path;
        ipc::Compression as;
    };
    struct Compressor {
        Job job;
        pid_t pid;
        boost::asio::posix::stream_descriptor exit; ///< the pidfd
    };
    struct Entry {
        std::string path;
        FileId id;
        std::uint64_t bytes;
    };

    void fail(const std::string& path, LogCare& care, std::uint64_t size, const std::string& why);
    [[nodiscard]] std::uint64_t device_of(const std::string& folder);
    void begin_period(LogCare& care, const struct stat& about);
    void watch_period(std::int64_t end_ms);
    void tend(const LogFile& file, const std::vector<std::string>& names);
    void tend_all();
    void remove(const std::string& path);
    void enqueue(Job job);
    void compress_next();
    bool launch(const Job& job);
    void watch_compressor();
    void on_compressed(const ipc::ExitStatus& status);
    void check_cap_soon();
    void check_cap();
    [[nodiscard]] std::uint64_t cap();
    [[nodiscard]] std::optional<Entry> look(const std::string& path);
    [[nodiscard]] bool leads_to(const std::string& path, FileId id);
    [[nodiscard]] std::vector<LogFile> all_files() const;
    /// Names of each folder that log files lie in.
    [[nodiscard]] std::map<std::string, std::vector<std::string>> folders();

    boost::asio::io_context& loop_;
    ipc::System& system_;
    Launcher& launcher_;
    const ipc::Clock& clock_;
    Log& log_;
    std::string home_;
    std::string logs_;
    LogTimes times_;
    std::uint64_t times_device_ = 0; ///< st_dev of man 2 stat; 0: not known yet
    bool times_held_ = false;
    bool any_held_ = false; ///< nothing is tidied up meanwhile
    std::function<std::vector<LogFile>()> files_;
    std::function<void()> on_period_;
    std::optional<std::uint64_t> cap_;
    std::map<std::string, std::string> faults_; ///< by path of the log file
    std::deque<Job> jobs_;
    std::optional<Compressor> compressor_;
    boost::asio::steady_timer period_timer_;
    std::int64_t period_end_ms_ = 0; ///< the earliest one; 0: nobody has a rule by time
    boost::asio::steady_timer cap_timer_;
    bool cap_due_ = false;
    boost::asio::steady_timer begin_timer_;
};

} // namespace cluster::supervisor
