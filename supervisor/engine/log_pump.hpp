// Worker output: from pipes that the daemon owns into files.
//
// A stream is one pipe, kept over all restarts of its worker; a sink is one open file, shared by
// every stream that writes to the same path. Bytes go by splice(2) from the pipe to the end of the
// file and are never in our memory; log_stage.hpp tells how a daemon killed at any instruction has
// neither lost nor doubled one. The end is asked of the file before each batch instead of
// remembered: users truncate logs under us (`> file`, copytruncate), and O_APPEND and splice
// exclude each other (man 2 splice).
//
// A file is exchanged for a new one between two batches, at the end of a line: when it is due to be
// rotated (engine/log_rotation), when somebody has removed it, and when we are told to (`reopen`).
//
// A stream whose lines get a date or become JSON, or that has a second file, is copied
// (log_copy.cpp) with the same promise.
//
// A gate (`set_gate`) may hold the output back: then it stays in the pipes, and who writes more
// than they take waits. Nothing is read that nobody takes.
//
// Lines stay whole. A sink with one stream gets bytes as they come. A sink with several gets whole
// lines only: an unfinished line waits in its pipe, at most 200 ms or 64 KiB, and then goes out as
// it stands. Whoever writes next behind an unfinished line, of another stream or of a worker that
// died in the middle, gets a newline put before.
//
// A file that cannot be written is tried again every 250 ms; what becomes of output meanwhile says
// the app's `log_on_full` (log_trouble.cpp). So it is with files on a disk that does not answer:
// they are not touched until it does (log_hold.cpp).
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/base/system.hpp"
#include "ipc/base/unique_fd.hpp"
#include "ipc/wire/app_spec.hpp"
#include "supervisor/core/log_format.hpp"
#include "supervisor/engine/log_rotation.hpp"
#include "supervisor/engine/log_sink.hpp"
#include "supervisor/engine/log_stage.hpp"
#include "supervisor/engine/loop_relief.hpp"
#include "supervisor/engine/read_watch.hpp"
#include "supervisor/sys/keeper.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::supervisor {

enum class StreamKind { out, err };

class LogPump;

/// Where a stream goes and how.
struct LogPlan {
    std::string path{};     ///< "/dev/null" keeps nothing
    std::string combined{}; ///< one more file, for both streams of a worker; "" none
    LineStyle style{};
    ipc::LogOnFull on_full = ipc::LogOnFull::drop;
    bool operator==(const LogPlan&) const = default;
};

/// For a file that is not to be touched.
[[nodiscard]] std::unexpected<ipc::Error> fail_held(const std::string& path);

/// What has come of a stream's output since this daemon serves.
struct LogFigures {
    std::uint64_t bytes = 0; ///< that the worker has written and that have left the pipe
    std::uint64_t lost_bytes = 0, lost_lines = 0;
    std::string trouble;            ///< why a file of it cannot be written now; "" it can
    std::int64_t trouble_since = 0; ///< wall clock in ms; 0: it can be written
};

/// The pipe of one worker's stdout or stderr.
class LogStream {
public:
    /// A write end for the next process of the worker: blocking, opened for reading too, so that
    /// the worker never dies of SIGPIPE when no daemon is there.
    ipc::Result<ipc::UniqueFd> open_for_worker();
    [[nodiscard]] const LogPlan& plan() const { return plan_; }
    [[nodiscard]] const std::string& path() const { return plan_.path; }
    [[nodiscard]] int fd() const { return pipe_.get(); }
    [[nodiscard]] StreamKind kind() const { return kind_; }
    /// Of the pipe: what a daemon after us finds it by.
    [[nodiscard]] std::uint64_t inode() const { return kept_.inode(); }
    [[nodiscard]] LogFigures figures() const;
    /// Gets the bytes of this stream as the worker wrote them, some 100 KiB at most at a time;
    /// empty: none. It runs in the midst of the pump's work: it must not touch the pump, a stream
    /// or a tap.
    void set_tap(std::function<void(std::string_view bytes)> tap) { tap_ = std::move(tap); }
    /// The same for the sinks of its app.
    void set_shipment(std::function<void(std::string_view bytes)> to) { shipment_ = std::move(to); }

    ~LogStream();
    LogStream(const LogStream&) = delete;
    LogStream& operator=(const LogStream&) = delete;

private:
    friend class LogPump;
    /// One of its files, and what was lost on the way there and is not told in it yet.
    struct Target {
        std::shared_ptr<LogSink> sink;
        std::uint64_t lost_bytes = 0, lost_lines = 0;
        std::string why;
        bool in_mid_line = false; ///< what was lost last had no end: the rest of that line goes too
        bool torn = false;        ///< the file may have the beginning of a line whose rest is lost
        [[nodiscard]] bool loses() const { return lost_bytes > 0; }
    };
    LogStream(LogPump& pump, int worker, StreamKind kind, LogPlan plan, ipc::UniqueFd pipe,
              std::vector<Target> targets);
    [[nodiscard]] LogSink& sink() const { return *targets_.front().sink; }
    [[nodiscard]] bool shares_a_file() const;
    /// Bytes go as they are, to one file, and none is missing there.
    [[nodiscard]] bool spliced() const;
    /// Somebody wants its bytes beside its files.
    [[nodiscard]] bool is_read() const;
    /// A file of it cannot be written, or does not yet say what is missing.
    [[nodiscard]] bool in_trouble() const;
    /// A file of it is not to be touched.
    [[nodiscard]] bool held() const;

    LogPump& pump_;
    int worker_;
    StreamKind kind_;
    LogPlan plan_;
    WatchedFd pipe_;
    Kept kept_;
    std::vector<Target> targets_; ///< one, or two with a combined file
    LineFormat format_;
    std::function<void(std::string_view bytes)> tap_, shipment_;
    bool active_ = false;                           ///< in the pump's list of streams to look at
    std::chrono::milliseconds unfinished_since_{0}; ///< of a line waiting in the pipe; 0 none
    LogFigures figures_;
    bool troubled_ = false; ///< its figures say since when
    bool wide_ = false;     ///< its pipe: in the pump's list of those
    bool fast_ = false;     ///< much has come since the last look at that list
};

class LogPump {
public:
    /// What a follower gets: the bytes just written to the stream's file, dates and all.
    using Tap = std::function<void(int worker, StreamKind kind, std::string_view bytes)>;
    /// Where a sink's trouble goes (the daemon's own log).
    using Complaint = std::function<void(const std::string& text)>;

    LogPump(boost::asio::io_context& loop, ipc::System& system, Keeper& keeper,
            const ipc::Clock& clock, Complaint complain);

    /// Makes the pipe and opens (creates) the files, missing folders included. The pipe belongs to
    /// `owner`, so that a worker of another user can reopen its own /dev/stdout.
    ipc::Result<std::unique_ptr<LogStream>> open(int worker, StreamKind kind, LogPlan plan,
                                                 std::pair<uid_t, gid_t> owner);

    /// Goes on with the pipe of a worker that a daemon before us has started, in the middle of a
    /// line if that is where it is. `pipe` is open for both, and does not block. `since` is the
    /// size that its file had when its process started, which has begun no line there if that is
    /// the size now.
    ipc::Result<std::unique_ptr<LogStream>> adopt(int worker, StreamKind kind, LogPlan plan,
                                                  ipc::UniqueFd pipe,
                                                  std::optional<std::uint64_t> since = {});

    /// The stage of the daemon before us, before its streams; 0 none.
    ipc::Result<void> adopt_stage(std::uint64_t inode, KeptFds& kept);
    /// Finishes or undoes the batch that the daemon before us was at. All its streams are here, and
    /// none has moved.
    void settle_stage();
    /// What the state calls the stage by; 0 none. It is there before a stream that needs it.
    [[nodiscard]] std::uint64_t stage_inode() const { return stage_inode_; }
    /// For apps that spill.
    void set_spill_folder(std::string path) { spill_folder_ = std::move(path); }
    /// Under which the stage is found again when nobody has kept it; "" (the default) it is not.
    void set_stage_name(std::string name) { stage_name_ = std::move(name); }
    /// Nothing runs any more whose lines it would be about.
    void remove_stage_name();

    /// Writes out all that the worker has left in the pipe, as far as the gate allows; its last
    /// line counts as finished.
    void drain(LogStream& stream);
    /// The same for the streams of a worker that has ended, with a look at the files that its next
    /// process gets. Where a disk does not answer it never comes back (loop_relief.hpp): it is to
    /// be called again after `on_held`.
    void drain_last(std::initializer_list<LogStream*> streams);
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

    /// Handlers that touch files may be left by this from now on.
    void set_relief(LoopRelief& relief) { relief_ = &relief; }
    /// A file does not answer: none on its device is touched until all such calls are back.
    void on_held(const HeldCall& call);
    void on_back(std::uint64_t call);

    /// Bytes of all streams are copied for followers only while a tap is set. Empty: none.
    void set_tap(Tap tap) { tap_ = std::move(tap); }

    /// The last lines that the worker has written since the file had `since` bytes: at most `count`
    /// lines from the last 8 KiB.
    std::vector<std::string> tail(const LogStream& stream, std::uint64_t since, std::size_t count);
    /// Size of the stream's file now; 0 for what is no regular file, or does not answer.
    std::uint64_t size(const LogStream& stream);

private:
    friend class LogStream;
    enum class Moved {
        nothing, ///< the pipe is empty
        blocked, ///< a file cannot be written: nothing to do for a while
        waiting, ///< it holds an unfinished line that is not yet due
        some,    ///< there may be more
        much,    ///< half a pipe and more was moved: more is certain to come
    };
    struct Batch {
        Moved what = Moved::nothing;
        std::size_t bytes = 0;
    };

    ipc::Result<std::shared_ptr<LogSink>> open_sink(const std::string& path);
    ipc::Result<std::vector<LogStream::Target>> open_targets(const LogPlan& plan);
    static void watch(LogStream& stream);
    void activate(LogStream& stream);
    void schedule(std::chrono::microseconds after);
    void pass_soon();
    void pass();
    void find_pause(Moved most);
    [[nodiscard]] bool open() const { return forced_ || !gate_ || gate_(); }
    Moved move_batches(LogStream& stream, bool finish);
    Batch move(LogStream& stream, bool finish);
    /// Of `bytes`, which stand at the front of the pipe: how many may go out now; see the top.
    std::size_t due(LogStream& stream, std::string_view bytes, bool finish);
    /// The first bytes in the pipe, in `buffer()`, which stay there. Empty: cannot look.
    std::optional<std::string_view> peek(LogStream& stream, std::size_t most);
    Batch splice(LogStream& stream, bool finish);
    ipc::Result<std::size_t> splice_to(LogStream& stream, std::size_t limit);
    ipc::Result<std::size_t> relay(LogStream& stream, LogSink& sink, const FilePlace& place,
                                   std::size_t most);
    ipc::Result<std::size_t> deliver(LogStage& stage, int file, std::uint64_t at,
                                     std::size_t bytes);
    void moved(LogStream& stream, LogSink& sink, std::uint64_t at, std::size_t bytes);
    char* buffer();
    void tap_written(const LogStream& stream, std::uint64_t at, std::size_t size);
    void tell_taps(const LogStream& stream, std::string_view raw, std::string_view written);
    void finish_line(LogStream& stream);

    // Leaving one file for another (log_exchange.cpp).
    /// The end of a regular file, where a batch goes; another file than before when this one is to
    /// be left. `limit` is cut where the end of a line has to be waited for; null: it cannot be.
    ipc::Result<FilePlace> place_for_batch(LogStream& stream, LogSink& sink, std::size_t* limit);
    bool at_line_end(LogStream& stream, LogSink& sink, std::uint64_t size, std::size_t* limit);
    void rotate(LogSink& sink, const struct stat& old);
    void rotate_by_time();
    ipc::Result<void> reopen(LogSink& sink);
    void complete_line(LogSink& sink);
    void note_time(LogSink& sink, std::uint64_t offset);

    // Copying (log_copy.cpp).
    struct Front {
        std::string_view bytes{};         ///< in `buffer()`
        bool stays = true;                ///< in the pipe
        Moved otherwise = Moved::nothing; ///< why there are none
    };
    void need_stage(const LogPlan& plan, const std::vector<LogStream::Target>& targets);
    void drop_stage();
    void settle(LogStage& stage, const std::vector<std::shared_ptr<LogSink>>& sinks);
    bool is_untaken(const LogStage& stage, const LogStage::Leftover& left, LogStream& stream,
                    const std::vector<std::shared_ptr<LogSink>>& sinks);
    void know_writer(const LogStage::Spliced& last);
    Batch copy(LogStream& stream, bool finish);
    [[nodiscard]] static bool has_regular_file(const LogStream& stream);
    static std::size_t room_for_text(const LogStream& stream);
    Front look(LogStream& stream, bool finish, std::size_t most);
    std::size_t form_lines(LogStream& stream, std::string_view bytes, std::size_t most);
    std::string_view with_lead(std::string_view lead);
    /// Nothing: done. Else they are not written, and not to be taken either.
    std::optional<Batch> write_targets(LogStream& stream, std::string_view bytes, bool exact);
    ipc::Result<void> write_target(LogStream& stream, LogSink& sink, std::uint64_t size);
    void wrote(LogStream& stream, LogSink& sink, std::string_view bytes, std::uint64_t at);
    void consume(LogStream& stream, std::string_view bytes, bool exact);
    void take_rest(const LogStage& stage, LogStream& stream, std::uint64_t bytes);

    // Files that cannot be written (log_trouble.cpp).
    enum class OnFull { wait, again, lose };
    bool note_trouble(LogStream& stream, LogSink& sink, const ipc::Error& why);
    OnFull on_full(LogStream& stream, LogSink& sink, const ipc::Error& why);
    Batch discard(LogStream& stream);
    void lose(LogStream& stream, LogStream::Target& target, std::string_view bytes);
    /// For whoever comes after us.
    void note_loss(const LogStream& stream, const LogStream::Target& target);
    void find_losses(LogStream& stream);
    void lose_unfinished_line(LogStream& stream, LogStream::Target& target);
    void try_again(LogStream& stream);
    bool mend(LogStream& stream, LogStream::Target& target);
    bool say_loss(LogStream& stream, LogStream::Target& target);
    [[nodiscard]] bool must_wait(const LogStream& stream) const;
    void watch_trouble();
    void look_at_trouble();

    // Disks that do not answer (log_hold.cpp).
    /// A batch that was left in the midst of a call about one of its files.
    struct Unfinished {
        std::uint64_t call = 0; ///< HeldCall::number; 0: it is back
        LogStream* stream;      ///< null when it is gone
        std::vector<std::shared_ptr<LogSink>> sinks;
        std::vector<std::shared_ptr<const void>> kept; ///< LogSink::keep_for_batch
        std::unique_ptr<LogStage> stage;
        std::unique_ptr<char[]> buffer; ///< the call may still read from them or write to them
        std::string text{}, head{};
    };
    template <class Work>
    void relieved(Work&& work)
    {
        if (relief_)
            relief_->run(std::forward<Work>(work));
        else
            std::forward<Work>(work)();
    }
    [[nodiscard]] LogStage* any_stage() const;
    void hold_sinks();
    [[nodiscard]] bool answers(std::uint64_t device) const;
    [[nodiscard]] bool answers_at(const std::string& path);
    void leave_batch(LogStream& stream, std::uint64_t call);
    void give_up_batch(const LogStream& stream);
    void finish_batches();
    void note_held(LogStream& stream);
    void finish(Unfinished& batch);
    [[nodiscard]] bool crowded(LogStream& stream);

    // How much the pipes hold (log_pipes.cpp).
    bool widen(LogStream& stream);
    void watch_wide();
    void narrow_idle();

    boost::asio::io_context& loop_;
    ipc::System& system_;
    Keeper& keeper_;
    const ipc::Clock& clock_;
    Complaint complain_;
    Tap tap_;
    LogRotation* rotation_ = nullptr;
    std::map<std::string, std::weak_ptr<LogSink>> sinks_;
    ReadWatch readable_;
    std::vector<LogStream*> streams_; ///< all
    std::vector<LogStream*> active_;
    boost::asio::steady_timer timer_;
    bool scheduled_ = false;
    bool soon_ = false;                                    ///< a look without a pause is due
    std::shared_ptr<int> alive_ = std::make_shared<int>(); ///< a late one looks at it
    std::chrono::microseconds pause_{1000}; ///< between two looks at streams that have output
    std::function<bool()> gate_;
    bool forced_ = false; ///< the gate is not asked
    bool parked_ = false; ///< the gate was shut: nothing is scheduled until `wake`
    ipc::Pipe peek_;      ///< made when a shared sink first needs to look without consuming
    std::unique_ptr<char[]> buffer_; ///< kLargestBatch, made when first needed
    /// There as long as there are streams, from the first one on that has a regular file.
    std::unique_ptr<LogStage> stage_;
    std::vector<std::unique_ptr<LogStage>>
        other_stages_;              ///< of the daemon before us, to be settled
    std::uint64_t stage_inode_ = 0; ///< of the one that a successor is told of
    bool stage_lost_ = false; ///< a batch of the daemon before us may be written in part, or again
    std::string text_;        ///< formed lines of one batch, behind room for a newline and a head
    std::string head_;        ///< of these lines
    std::string spill_folder_;
    std::string stage_name_;
    boost::asio::steady_timer trouble_timer_; ///< armed while a stream is in trouble
    bool trouble_watched_ = false;
    LoopRelief* relief_ = nullptr;
    LogStream* at_work_ = nullptr; ///< whose files are being touched
    std::vector<HeldCall> held_calls_;
    std::vector<std::unique_ptr<Unfinished>> unfinished_;
    Unfinished* finishing_ = nullptr;
    std::vector<LogStream*> wide_;         ///< streams whose pipes are
    boost::asio::steady_timer wide_timer_; ///< armed while there are any
};

} // namespace cluster::supervisor
