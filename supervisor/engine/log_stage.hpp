// What makes copying exact. Output that splice(2) moves is in a pipe or in a file at every instant;
// what is copied (lines with a date, two files for one stream) is in both for a moment, and a
// daemon that is killed then would double it or lose it. So a batch is looked at without taking it,
// written, and then taken, and how far it has come stands in memory that outlives us:
//
//   idle       nothing is under way
//   writing    files may have grown: a successor cuts them back, the batch is still in its pipe
//   consuming  the files have it all: a successor takes the rest of it out of the pipe
//   returning  a spill file is being copied behind its log: a successor cuts the log back
//   returned   the log has it all: a successor empties the spill file
//   splicing   nothing can be lost or doubled: of a line that a batch has left open in a file of
//              several streams, a successor knows whose it is, and that nobody else may go on
//
// Taking is splicing into a pipe of our own, which a successor gets too and whose content tells how
// much was taken. One stage is enough: there is one batch at a time.
//
// The memory has a name, under which it is found when guardian and manager were killed together.
// The pipe is gone then, and what was being taken counts as taken: a call that a kill finds under
// way is through before the kill has an effect.
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
#include <vector>

namespace cluster::supervisor {

constexpr std::size_t kPipeBytes = 65536; ///< man 7 pipe: the default capacity

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

    /// Of its memory: what the state calls it by.
    [[nodiscard]] std::uint64_t inode() const { return kept_memory_.inode(); }
    /// Open for both, does not block, and empty between two batches. What was copied into it with
    /// tee(2) can be moved into it with splice(2): it takes the same room.
    [[nodiscard]] int pipe() const { return pipe_.get(); }

    // In this order, for each batch.
    void writing(std::span<const FilePlace> files);
    /// The next `bytes` bytes of that worker's pipe.
    void consuming(std::uint64_t stream, std::size_t bytes);
    void idle();
    /// Beside that order, before each batch that splice(2) moves into a file of several streams: at
    /// most `bytes` of that worker's pipe go behind `place`.
    void splicing(std::uint64_t stream, const FilePlace& place, std::size_t bytes);
    /// Throws away what was taken.
    void empty_pipe();

    void returning(const FilePlace& log, const FilePlace& spill);
    void returned(const FilePlace& spill);

    /// What the daemon before us left unfinished.
    struct Leftover {
        std::vector<FilePlace> cut; ///< back to these sizes
        std::uint64_t stream = 0;   ///< inode of a worker's pipe
        std::uint64_t bytes = 0;    ///< to be taken from it
    };
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

private:
    struct Record;
    LogStage(ipc::System& system, Keeper& keeper, SharedMemory memory, ipc::UniqueFd pipe);
    [[nodiscard]] Record& record() const;

    ipc::System& system_;
    SharedMemory memory_;
    ipc::UniqueFd pipe_;
    ipc::UniqueFd null_; ///< /dev/null
    Kept kept_memory_;   ///< a name alone may be taken away (RemoveIPC of man 5 logind.conf)
    Kept kept_pipe_;
};

} // namespace cluster::supervisor
