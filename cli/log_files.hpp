// The files that one log consists of: the one that is written and those that rotation has put
// aside (ipc/wire/rotated_name).
#pragma once

#include "cli/log_stamps.hpp"
#include "ipc/base/system.hpp"
#include "ipc/wire/rotated_name.hpp"

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::cli {

using Packing = ipc::Compression;

/// A rotated file.
struct RotatedLog {
    std::string path;
    Packing packing = Packing::none;
    std::int64_t rotated_at = 0; ///< milliseconds since 1970: all of it was written before
    bool operator==(const RotatedLog&) const = default;
};

/// Those of the log `path` among the names in its folder, oldest first. Of a file and its packed
/// form the latter, which is complete. Pure.
[[nodiscard]] std::vector<RotatedLog> rotated_logs(const std::string& path,
                                                   const std::vector<std::string>& names);

/// One log: `files()` files, the last of which is being written.
struct LogChain {
    std::string path;
    std::vector<RotatedLog> rotated;
    ipc::UniqueFd file{}; ///< invalid: not there, or not a regular file
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;     ///< when it was opened: what comes behind it is not history
    std::int64_t opened_at = 0; ///< milliseconds since 1970
    std::string tail{}; ///< the last bytes before `size`, where `end_at_whole_line` has been

    [[nodiscard]] std::size_t files() const { return rotated.size() + 1; }
    [[nodiscard]] std::size_t current() const { return rotated.size(); }
};

/// A place in a chain: which of its files, and the byte of its unpacked content.
struct LogPlace {
    std::size_t file = 0;
    std::uint64_t offset = 0;
    auto operator<=>(const LogPlace&) const = default;
};

/// Where what was read of `before` ended, in the chain as it is now. Pure.
[[nodiscard]] LogPlace place_after(const LogChain& before, const LogChain& now);

/// One file of a chain, open.
struct OpenLog {
    int fd = -1;           ///< of `owned` or of the chain, which outlives this
    ipc::UniqueFd owned{}; ///< a rotated one
    Packing packing = Packing::none;
    std::uint64_t size = 0; ///< of a plain one
    LineTimes times{};
};

/// Opens and lists what logs consist of. What cannot be read is told once, and left out.
class LogFiles {
public:
    using Warn = std::function<void(const std::string& text)>;

    /// `folder`: that of the logs of a home, where the indexes of times are.
    LogFiles(ipc::System& system, std::string folder, Warn warn);

    /// All of the chains are opened before any folder is looked through: a rotation in between
    /// shows a file twice, which is noticed, and hides none.
    std::vector<LogChain> open_chains(const std::vector<std::string>& paths, std::int64_t now_ms);

    /// Takes an unfinished last line off the chain: it is shown when it is whole.
    void end_at_whole_line(LogChain& chain);
    /// As `place_after`, and from the beginning of a file that was emptied and has grown again,
    /// which its size does not tell. `before` has been through `end_at_whole_line`.
    LogPlace place_behind(const LogChain& before, const LogChain& now);

    /// Empty: it has gone meanwhile, or cannot be read.
    std::optional<OpenLog> open(const LogChain& chain, std::size_t file);

    [[nodiscard]] ipc::System& system() { return system_; }
    void warn(const std::string& text);

private:
    void open_current(LogChain& chain);
    std::string text_before(const OpenLog& log, std::uint64_t end);
    void find_rotated(LogChain& chain, std::map<std::string, std::vector<std::string>>& folders);
    std::optional<OpenLog> open_rotated(const RotatedLog& log);
    LineTimes times_of(const struct stat& stat, std::int64_t rotated_at);
    LineTimes current_times(const struct stat& stat);

    ipc::System& system_;
    std::string folder_;
    Warn warn_;
    std::vector<std::string> told_;
    /// Those of files that are being written, which are read twice: backwards and forwards.
    std::map<std::pair<dev_t, ino_t>, LineTimes> current_;
};

} // namespace cluster::cli
