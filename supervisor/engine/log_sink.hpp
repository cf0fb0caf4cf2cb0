// One log file that is open, shared by every stream that writes to the same path. A write takes all
// or nothing: what a full disk has taken of it is cut off again, so that no line is torn.
//
// A sink that spills writes to a file in another place for a while, and copies that behind its own
// when there is room again. The spill file is named after the path, so that a later daemon finds
// it.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/base/system.hpp"
#include "ipc/base/unique_fd.hpp"
#include "supervisor/engine/log_rotation.hpp"
#include "supervisor/engine/log_stage.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::supervisor {

class LogStream;

class LogSink {
public:
    using milliseconds = ipc::milliseconds;

    /// Opens or creates the file, missing folders included.
    static ipc::Result<std::shared_ptr<LogSink>> open(ipc::System& system, const std::string& path);
    LogSink(ipc::System& system, std::string path, ipc::UniqueFd file, const struct stat& about);

    [[nodiscard]] const std::string& path() const { return path_; }
    /// Where bytes go now.
    [[nodiscard]] int fd() const { return spill_ ? spill_.get() : file_.get(); }
    /// The log itself, whether or not it can be written.
    [[nodiscard]] int file() const { return file_.get(); }
    [[nodiscard]] bool regular() const { return regular_; } ///< only these have a size and an end
    [[nodiscard]] bool is_null() const { return path_ == "/dev/null"; }
    /// Of the log itself.
    [[nodiscard]] ipc::Result<struct stat> about() const { return system_.fstat(file_.get()); }
    /// Goes on in the file that stands at the path now, creates it if need be; stays with the old
    /// one when it cannot be opened. Nothing: nobody has moved that.
    ipc::Result<std::optional<struct stat>> reopen();
    /// Where bytes go now; of a regular file.
    [[nodiscard]] ipc::Result<FilePlace> place();
    /// How many more it takes before its bound.
    [[nodiscard]] std::size_t room(std::uint64_t size) const;
    /// What stands last has no newline. `size` is that of `place`.
    [[nodiscard]] bool ends_in_mid_line(std::uint64_t size);
    /// Behind what is there, which is `size` bytes; all of it or nothing.
    ipc::Result<void> append(std::string_view text, std::uint64_t size);
    /// Back to a size that it had. One that is shorter stays as it is.
    void cut(std::uint64_t size);
    /// The log or the spill, whichever `place` is of.
    void cut_back(const FilePlace& place);
    /// The line at its end that has no newline, where it begins in the last 64 KiB: so many bytes
    /// were cut off.
    std::uint64_t cut_unfinished_line();

    // Trouble.
    /// It cannot be written: true for the first time.
    bool fail(const ipc::Error& why, milliseconds now);
    void recover() { trouble_.clear(); }
    [[nodiscard]] bool failing() const { return !trouble_.empty(); }
    [[nodiscard]] const std::string& trouble() const { return trouble_; }
    /// It has failed a moment ago: no use to try.
    [[nodiscard]] bool rests(milliseconds now) const { return failing() && now < try_at_; }
    /// The log has room for all that is spilled, and for more than a few bytes.
    [[nodiscard]] ipc::Result<void> has_room();

    // Disks that do not answer: what is on them is not touched.
    /// Not until `answers` says so of the device of each of its files.
    void hold(const std::function<bool(std::uint64_t device)>& answers);
    /// What bytes go to now is not to be touched, or a batch for it comes first.
    [[nodiscard]] bool held() const
    {
        return spill_ ? spill_held_ || !spill_batch_.expired() : file_held();
    }
    /// The same of the log itself.
    [[nodiscard]] bool file_held() const { return file_held_ || !file_batch_.expired(); }
    /// A batch has stopped on its way to where bytes go now: as long as somebody has the answer, no
    /// other one goes there.
    [[nodiscard]] std::shared_ptr<const void> keep_for_batch();
    /// The log or the spill, whichever is that file; -1 when neither is.
    [[nodiscard]] int fd_of(const FilePlace& place);

    // Spilling.
    [[nodiscard]] bool spills() const { return static_cast<bool>(spill_); }
    ipc::Result<void> begin_spill(const std::string& folder);
    /// Goes on with what a daemon before us has spilled, if anything.
    void find_spill(const std::string& folder);
    /// The spill file and how long it is.
    [[nodiscard]] ipc::Result<FilePlace> spill_place();
    /// Copies all of it behind the log. Errors: the log has no room, and is as it was.
    ipc::Result<void> bring_back(LogStage* stage);

    bool spliced = false;         ///< false: bytes are copied, for what splice cannot write
    int streams = 0;              ///< that write here
    LogStream* writer = nullptr;  ///< who wrote last, reset when its worker ends
    bool open_line = false;       ///< what `writer` has written does not end in a newline; kept for
                                  ///< shared and for copied sinks
    const void* holder = nullptr; ///< a stream whose whole line is written in part: others wait
    LogCare care;                 ///< of a regular file
    bool line_end_wanted = false; ///< it is due, and left at the end of a line

private:
    ipc::Result<void> copy_back(std::uint64_t from_size, std::uint64_t to_size);
    ipc::Result<void> use_spill(ipc::UniqueFd file, std::string path);

    ipc::System& system_;
    std::string path_;
    ipc::UniqueFd file_;
    bool regular_;
    std::uint64_t device_, spill_device_ = 0; ///< st_dev of man 2 stat
    bool file_held_ = false, spill_held_ = false;
    std::weak_ptr<const void> file_batch_, spill_batch_; ///< there as long as it is under way
    std::string trouble_;                                ///< why it cannot be written; "" it can
    milliseconds try_at_{0};
    ipc::UniqueFd spill_;
    std::string spill_path_;
};

} // namespace cluster::supervisor
