// What makes moving output exact. A batch is in its worker's pipe and in a file for a moment, and a
// daemon that is killed then would double it or lose it. So a batch is looked at without taking it,
// written, and then taken, and how far it has come stands in memory that outlives us:
//
//   idle       nothing is under way
//   writing    files may have grown: a successor cuts them back, the batch is still in its pipe
//   consuming  the files have it all: a successor takes the rest of it out of the pipe
//   returning  a spill file is being copied behind its log: a successor cuts the log back
//   returned   the log has it all: a successor empties the spill file
//
// Bytes that go as they are pass through a pipe of our own, so that no file ever holds up the pipe
// of a worker (splice(2) locks it as long as it writes):
//
//   relaying   our pipe has a copy, and what is missing there is in the file: that much a successor
//              takes out of the worker's pipe
//   relayed    so much is in the file; our pipe is being emptied
//   taking     as consuming
//   splicing   nothing is under way: of a line that a batch has left open in a file of several
//              streams, a successor knows whose it is, and that nobody else may go on
//
// Taking is splicing into our pipe, which a successor gets too and whose content tells how much was
// taken. There is one batch at a time, so one stage is enough; one that has stopped because its
// disk does not answer keeps its stage, and the next one gets another in the same memory.
//
// Beside that the memory keeps what is lost of each stream and not yet told in its file, for as
// many as there is room for.
//
// The memory has a name, under which it is found when guardian and manager were killed together.
// The pipe is gone then: how much was relayed is read off the file, and whether a batch was taken
// by what the worker's pipe begins with. (All of it was or nothing: a call that a kill finds under
// way is through before the kill has an effect.)
#pragma once

#include "ipc/base/system.hpp"
#include "supervisor/sys/keeper.hpp"
#include "supervisor/sys/shared_memory.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

constexpr std::size_t kPipeBytes = 65536;            ///< man 7 pipe: the default capacity
constexpr std::size_t kWidePipe = 1UL << 20U;        ///< the same: what every user may have
constexpr std::size_t kLargestBatch = kWidePipe / 2; ///< at most: the worker fills the other half

/// A file and how long it is.
struct FilePlace {
    std::uint64_t device = 0, inode = 0, size = 0;
    [[nodiscard]] bool same_file(const FilePlace& other) const
    {
        return device == other.device && inode == other.inode;
    }
};
[[nodiscard]] FilePlace place_of(const struct stat& about);

class LogStage {
public:
    static constexpr std::size_t kMaxFiles = 2; ///< of a stream

    /// `name` as memory_file.hpp wants it. Where it is "", or nothing can be had under it, the
    /// memory has none.
    static ipc::Result<std::unique_ptr<LogStage>> make(ipc::System& system, Keeper& keeper,
                                                       const std::string& name);
    /// That of the daemon before us, by the inode of its memory; null when that is lost. By name
    /// where `kept` does not have it.
    static ipc::Result<std::unique_ptr<LogStage>> adopt(ipc::System& system, Keeper& keeper,
                                                        const std::string& name,
                                                        std::uint64_t inode, KeptFds& kept);

    /// The others that the daemon before us had in this memory.
    ipc::Result<std::vector<std::unique_ptr<LogStage>>> adopt_others(KeptFds& kept);
    /// One more in this memory. Error ENOSPC: it has no room.
    ipc::Result<std::unique_ptr<LogStage>> another();
    ~LogStage();
    LogStage(const LogStage&) = delete;
    LogStage& operator=(const LogStage&) = delete;

    /// Of its memory: what the state calls it by.
    [[nodiscard]] std::uint64_t inode() const { return memory_->kept.inode(); }
    /// The one that its memory was made for.
    [[nodiscard]] bool is_first() const;
    /// Open for both, does not block, and empty between two batches. What was copied into it with
    /// tee(2) can be moved into it with splice(2): it takes the same room.
    [[nodiscard]] int pipe() const { return pipe_.get(); }
    /// Bytes that its pipe takes: kLargestBatch once somebody has asked, where the user may have
    /// them.
    [[nodiscard]] std::size_t room();

    // In this order, for each batch.
    void writing(std::span<const FilePlace> files);
    /// What stands next in that worker's pipe.
    void consuming(std::uint64_t stream, std::string_view bytes);
    void idle();

    // In this order, for each batch that goes as it is.
    /// The next `bytes` bytes of that worker's pipe are copied into ours, and go behind `place`.
    void relaying(std::uint64_t stream, const FilePlace& place, std::size_t bytes);
    void relayed(std::size_t bytes);
    void taking(std::size_t bytes);
    /// A file of several streams has the batch.
    void spliced_all();
    /// Instead of `relayed`: what of it has reached the file is to be cut off again.
    void take_back();

    /// Beside these orders: what was moved last, as another stage has it (`spliced`).
    void splicing(std::uint64_t stream, const FilePlace& place, std::size_t bytes);
    /// Throws away what is in our pipe, or so many bytes of it.
    void empty_pipe();
    void drop(std::size_t bytes);

    void returning(const FilePlace& log, const FilePlace& spill);
    void returned(const FilePlace& spill);

    /// What a file does not have of a stream, and does not tell of yet.
    struct Loss {
        std::uint64_t stream = 0;      ///< inode of a worker's pipe
        std::uint32_t target = 0;      ///< which of its files
        std::uint32_t in_mid_line = 0; ///< 1: what comes next is the rest of a line
        std::uint64_t bytes = 0, lines = 0;
    };
    /// Instead of what was said of that stream and file before; no bytes: it is told.
    void set_loss(const Loss& loss);
    [[nodiscard]] std::optional<Loss> loss(std::uint64_t stream, std::uint32_t target) const;

    /// What the daemon before us left unfinished.
    struct Leftover {
        std::vector<FilePlace> cut; ///< back to these sizes
        std::uint64_t stream = 0;   ///< inode of a worker's pipe
        std::uint64_t bytes = 0;    ///< to be taken from it
        bool as_grown = false;      ///< at most as many as `relay_place` has grown by
        bool relayed = false;       ///< `relayed`, `empty_pipe` and `taking` come first
        /// Nothing is to be taken unless this is `hash_of` what stands next there.
        std::optional<std::uint64_t> only_hash{};
        bool only_in_file = false; ///< or unless that stands in the file at `relay_place`
    };
    [[nodiscard]] static std::uint64_t hash_of(std::string_view bytes);
    /// To be followed by what it asks for, with the bytes spliced into our pipe, `idle` and
    /// `empty_pipe`: a daemon that is killed in the middle of that leaves the same again.
    [[nodiscard]] Leftover leftover() const;
    /// The batch that it has moved last.
    struct Spliced {
        std::uint64_t stream = 0; ///< inode of a worker's pipe
        FilePlace before;
        std::uint64_t bytes = 0; ///< at most
    };
    [[nodiscard]] std::optional<Spliced> spliced() const;
    /// Of the batch that is being relayed: its file, and how long that was before.
    [[nodiscard]] FilePlace relay_place() const;
    /// How many bytes of a worker's pipe are being relayed; 0: none are.
    [[nodiscard]] std::size_t relaying_bytes() const;

private:
    struct Record;
    struct Page;
    struct Memory {
        SharedMemory bytes;
        Kept kept; ///< a name alone may be taken away (RemoveIPC of man 5 logind.conf)
    };
    LogStage(ipc::System& system, Keeper& keeper, std::shared_ptr<Memory> memory, Record& record,
             ipc::UniqueFd pipe);
    static ipc::Result<std::unique_ptr<LogStage>> adopt(ipc::System& system, Keeper& keeper,
                                                        std::shared_ptr<Memory> memory,
                                                        Record& record, KeptFds& kept);
    [[nodiscard]] Record& record() const { return *record_; }
    [[nodiscard]] Page& page() const;
    [[nodiscard]] Loss* find_loss(std::uint64_t stream, std::uint32_t target) const;

    ipc::System& system_;
    Keeper& keeper_;
    std::shared_ptr<Memory> memory_;
    Record* record_; ///< in it
    ipc::UniqueFd pipe_;
    std::size_t room_ = 0;   ///< of it; 0: nobody has asked
    bool pipe_lost_ = false; ///< it is not the one of the daemon before us
    ipc::UniqueFd null_;     ///< /dev/null
    Kept kept_pipe_;
};

} // namespace cluster::supervisor
