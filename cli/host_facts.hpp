// What `doctor` asks this machine: limits, settings of the kernel, space, permissions. Read once;
// what cannot be read is absent, never an error.
#pragma once

#include "ipc/base/home.hpp"
#include "ipc/base/system.hpp"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::cli {

/// A resource limit of a process; "unlimited" is the greatest number.
struct Limit {
    std::uint64_t soft = 0;
    std::uint64_t hard = 0;
};

/// A file system.
struct Volume {
    std::string path; ///< a folder on it
    std::uint64_t bytes_free = 0, bytes_total = 0;
    std::uint64_t files_free = 0, files_total = 0; ///< inodes; total 0: it counts none
};

struct FileRights {
    unsigned mode = 0; ///< permission bits
    uid_t owner = 0;
};

struct HostFacts {
    uid_t uid = 0;
    ipc::HomePaths paths{""};
    std::string kernel;                                ///< "6.1.0-18-amd64"
    std::optional<Limit> open_files, processes;        ///< of the daemon, else of this command
    std::optional<std::uint64_t> own_processes;        ///< threads of this user
    std::optional<std::uint64_t> threads, pid_max;     ///< of all users
    std::optional<std::uint64_t> files_open, file_max; ///< of the whole system
    std::optional<std::uint64_t> pipe_pages, somaxconn, ptrace_scope;
    std::vector<Volume> volumes;
    std::optional<FileRights> home, socket; ///< absent: not there
    std::vector<pid_t> daemons; ///< guardians of this home, by their command line and environment
    std::int64_t wall_ms = 0;
    std::string unit;     ///< of systemd that is there for this home; "" none
    bool in_unit = false; ///< the daemon is that unit's
};

/// `daemon`: pid whose limits count, 0: our own. `folders`: one of each volume that is written to.
[[nodiscard]] HostFacts read_host_facts(ipc::System& system, const ipc::HomePaths& paths,
                                        pid_t daemon, const std::vector<std::string>& folders);

// Pure.

/// A line of /proc/PID/limits: "Max open files  1024  4096  files".
[[nodiscard]] std::optional<Limit> find_limit(std::string_view limits, std::string_view name);
/// The number at `index` of a file of numbers such as /proc/sys/fs/file-nr.
[[nodiscard]] std::optional<std::uint64_t> number_at(std::string_view text, std::size_t index);
/// Is this the command line and environment of a guardian of `home`? Blocks of strings that end
/// with a zero byte.
[[nodiscard]] bool is_guardian_of(const std::string& home, std::string_view command_line,
                                  std::string_view environment);

} // namespace cluster::cli
