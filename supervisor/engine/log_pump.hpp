// Worker output: from pipes that the daemon owns into files.
//
// A stream is one pipe, kept over all restarts of its worker; a sink is one open file, shared by
// every stream that writes to the same path. Bytes go by splice(2) from the pipe to the end of the
// file and are never in our memory, so that a daemon killed at any instruction has neither lost nor
// doubled one. The end is asked of the file before each batch instead of remembered: users truncate
// logs under us (`> file`, copytruncate), and O_APPEND and splice exclude each other (man 2
// splice).
//
// A gate (`set_gate`) may hold the output back: then it stays in the pipes, and who writes more
// than they take waits. Nothing is read that nobody takes.
//
// A file is exchanged for a new one between two batches, at the end of a line: when it is due to be
// rotated (engine/log_rotation), when somebody has removed it, and when we are told to (`reopen`).
//
// Lines stay whole. A sink with one stream gets bytes as they come. A sink with several gets whole
// lines only: an unfinished line waits in its pipe, at most 200 ms or 64 KiB, and then goes out as
// it stands. Whoever writes next behind an unfinished line, of another stream or of a worker that
// died in the middle, gets a newline put before.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/base/system.hpp"
#include "ipc/base/unique_fd.hpp"
#include "supervisor/engine/log_rotation.hpp"
#include "supervisor/sys/keeper.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

enum class StreamKind { out, err };

class LogPump;
class LogStream;

/// One open log file.
struct LogSink {
    std::string path;
    ipc::UniqueFd file;
    bool regular = false;        ///< only a regular file has a size and an end
    bool spliced = false;        ///< false: bytes are copied, for what splice cannot write
    int streams = 0;             ///< that write here
    LogStream* writer = nullptr; ///< who wrote last, reset when its worker ends
    std::uint64_t lost = 0;      ///< bytes dropped because the file could not be written
    bool failing = false;
    bool open_line = false; ///< what `writer` has written does not end in a newline; kept for
                            ///< shared and for copied sinks
    LogCare care;           ///< of a regular file
};

/// The pipe of one worker's stdout or stderr.
class LogStream {
public:
    /// A write end for the next process of the worker: blocking, opened for reading too, so that
    /// the worker never dies of SIGPIPE when no daemon is there.
    ipc::Result<ipc::UniqueFd> open_for_worker();
    [[nodiscard]] const std::string& path() const { return sink_->path; }
    [[nodiscard]] int fd() { return pipe_.native_handle(); }
    [[nodiscard]] StreamKind kind() const { return kind_; }
    /// Bytes of all that write to its file which are not in it.
    [[nodiscard]] std::uint64_t lost() const { return sink_->lost; }
    /// Of the pipe: what a daemon after us finds it by.
    [[nodiscard]] std::uint64_t inode() const { return kept_.inode(); }
    /// Gets the bytes just written of this stream, at most 64 KiB at a time; empty: none. It runs
    /// in the midst of the pump's work: it must not touch the pump, a stream or a tap.
    void set_tap(std::function<void(std::string_view bytes)> tap) { tap_ = std::move(tap); }
    /// The same for the sinks of its app.
    void set_shipment(std::function<void(std::string_view bytes)> to) { shipment_ = std::move(to); }

    ~LogStream();
    LogStream(const LogStream&) = delete;
    LogStream& operator=(const LogStream&) = delete;

private:
    friend class LogPump;
    LogStream(LogPump& pump, int worker, StreamKind kind, ipc::UniqueFd pipe,
              std::shared_ptr<LogSink> sink);

    LogPump& pump_;
    int worker_;
    StreamKind kind_;
    boost::asio::posix::stream_descriptor pipe_;
    Kept kept_;
    std::shared_ptr<LogSink> sink_;
    std::function<void(std::string_view bytes)> tap_, shipment_;
    bool active_ = false;                           ///< in the pump's list of streams to look at
    std::chrono::milliseconds unfinished_since_{0}; ///< of a line waiting in the pipe; 0 none
};

class LogPump {
public:
    /// What a follower gets: the bytes just written, at most 64 KiB at a time.
    using Tap = std::function<void(int worker, StreamKind kind, std::string_view bytes)>;
    /// Where a sink's trouble goes (the daemon's own log).
    using Complaint = std::function<void(const std::string& text)>;

    LogPump(boost::asio::io_context& loop, ipc::System& system, Keeper& keeper,
            const ipc::Clock& clock, Complaint complain);

    /// Makes the pipe and opens (creates) the file, missing folders included. The pipe belongs to
    /// `owner` when given, so that a worker of another user can reopen its own /dev/stdout.
    ipc::Result<std::unique_ptr<LogStream>>
    open(int worker, StreamKind kind, const std::string& path, std::pair<uid_t, gid_t> owner);

    /// Goes on with the pipe of a worker that a daemon before us has started, in the middle of a
    /// line if that is where it is. `pipe` is open for both, and does not block.
    ipc::Result<std::unique_ptr<LogStream>> adopt(int worker, StreamKind kind,
                                                  const std::string& path, ipc::UniqueFd pipe);

    /// Writes out all that the worker has left in the pipe, as far as the gate allows; its last
    /// line counts as finished.
    void drain(LogStream& stream);
    /// The same whatever the gate says: the pipe is about to go.
    void empty(LogStream& stream);

    /// Output is moved only while `open` says so. Whoever opens the gate calls `wake`. Empty:
    /// always.
    void set_gate(std::function<bool()> open) { gate_ = std::move(open); }
    void wake();
    /// Some of what workers have written may still be in a pipe.
    [[nodiscard]] bool busy() const { return !active_.empty(); }

    /// Files are rotated and indexed from now on.
    void set_rotation(LogRotation& rotation);
    void set_rule(const LogStream& stream, const ipc::Rotation& rule);
    /// Closes every file and opens its path again, which somebody else may have moved away. Answers
    /// the paths.
    std::vector<std::string> reopen_all();
    /// Empties a log file, whether or not it is open. Answers how many bytes it had; nothing when
    /// it is no regular file, or is not there.
    ipc::Result<std::optional<std::uint64_t>> flush(const std::string& path);

    /// Bytes of all streams are copied for followers only while a tap is set. Empty: none.
    void set_tap(Tap tap) { tap_ = std::move(tap); }

    /// The last lines that the worker has written since the file had `since` bytes: at most `count`
    /// lines from the last 8 KiB.
    std::vector<std::string> tail(const LogStream& stream, std::uint64_t since, std::size_t count);
    /// Size of the stream's file now; 0 for what is no regular file.
    std::uint64_t size(const LogStream& stream);

private:
    friend class LogStream;
    static constexpr mode_t kLogMode = 0640;
    enum class Moved {
        nothing, ///< the pipe is empty
        waiting, ///< it holds an unfinished line that is not yet due
        some,    ///< there may be more
        much,    ///< a full pipe was moved: more is certain to come
    };

    ipc::Result<std::shared_ptr<LogSink>> open_sink(const std::string& path);
    ipc::Result<ipc::UniqueFd> open_file(const std::string& path, int more_flags = 0,
                                         mode_t mode = kLogMode);
    /// The end of the stream's file, where a batch goes; another file than before when this one is
    /// to be left. `limit` is cut where the end of a line has to be waited for.
    ipc::Result<off_t> end_of_file(LogStream& stream, std::size_t& limit);
    bool at_line_end(LogStream& stream, off_t size, std::size_t& limit);
    void rotate(LogSink& sink, const struct stat& old);
    void rotate_by_time();
    ipc::Result<void> reopen(LogSink& sink);
    void finish_line(LogSink& sink);
    bool ends_in_newline(LogSink& sink, off_t size);
    void watch(LogStream& stream);
    void activate(LogStream& stream);
    void schedule(std::chrono::milliseconds after);
    void pass();
    [[nodiscard]] bool open() const { return forced_ || !gate_ || gate_(); }
    Moved move_batch(LogStream& stream, bool finish);
    /// Bytes at the front of the pipe that may go out now; see the top of this file.
    std::size_t due(LogStream& stream, bool finish);
    /// The first bytes in the pipe, in `buffer()`, which stay there. Empty: cannot look.
    std::optional<std::string_view> peek(LogStream& stream, std::size_t most);
    ipc::Result<std::size_t> move(LogStream& stream, std::size_t limit);
    ipc::Result<std::size_t> move_spliced(LogStream& stream, std::size_t limit);
    ipc::Result<std::size_t> move_copied(LogStream& stream, std::size_t limit);
    void end_foreign_line(LogSink& sink, off_t size);
    bool discard(LogStream& stream, const ipc::Error& why);
    void lose(LogSink& sink, std::size_t bytes, const ipc::Error& why);
    char* buffer();
    void tap_written(const LogStream& stream, off_t at, std::size_t size);
    void tell_taps(const LogStream& stream, std::string_view bytes);

    boost::asio::io_context& loop_;
    ipc::System& system_;
    Keeper& keeper_;
    const ipc::Clock& clock_;
    Complaint complain_;
    Tap tap_;
    LogRotation* rotation_ = nullptr;
    std::map<std::string, std::weak_ptr<LogSink>> sinks_;
    std::vector<LogStream*> active_;
    boost::asio::steady_timer timer_;
    bool scheduled_ = false;
    std::function<bool()> gate_;
    bool forced_ = false; ///< the gate is not asked
    bool parked_ = false; ///< the gate was shut: nothing is scheduled until `wake`
    ipc::Pipe peek_;      ///< made when a shared sink first needs to look without consuming
    std::unique_ptr<char[]> buffer_; ///< kPipeBytes, made when first needed
};

} // namespace cluster::supervisor
