#include "supervisor/engine/log_stage.hpp"

#include "supervisor/sys/memory_file.hpp"
#include "supervisor/sys/pipes.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <string>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::Result;

constexpr std::size_t kMemory = 4096;
constexpr std::uint32_t kVersion = 1;

enum Phase : std::uint32_t {
    idle_phase,
    writing_phase,
    consuming_phase,
    returning_phase,
    returned_phase,
    splicing_phase
};

} // namespace

/// As it lies in memory. Another version of us may read it.
struct LogStage::Record {
    std::uint32_t version;
    std::atomic<std::uint32_t> phase; ///< stored last: what it tells of is there
    std::uint64_t pipe;               ///< inode of our own
    std::uint64_t stream, bytes;
    std::uint64_t count;
    std::array<FilePlace, kMaxFiles> files;
};

FilePlace place_of(const struct stat& about)
{
    return {.device = about.st_dev,
            .inode = about.st_ino,
            .size = static_cast<std::uint64_t>(about.st_size)};
}

LogStage::LogStage(ipc::System& system, Keeper& keeper, SharedMemory memory, ipc::UniqueFd pipe)
    : system_{system}, memory_{std::move(memory)}, pipe_{std::move(pipe)},
      kept_memory_{keeper, memory_.fd()}, kept_pipe_{keeper, pipe_.get()}
{
    static_assert(sizeof(Record) <= kMemory && std::atomic<std::uint32_t>::is_always_lock_free);
    if (auto null = system_.open("/dev/null", O_WRONLY)) null_ = std::move(*null);
}

LogStage::Record& LogStage::record() const
{
    return *static_cast<Record*>(memory_.bytes());
}

Result<std::unique_ptr<LogStage>> LogStage::make(ipc::System& system, Keeper& keeper,
                                                 const std::string& name)
{
    auto file = named_memory(name, kMemory);
    if (!file) file = memory_file("clusterd log stage", {});
    if (!file) return std::unexpected(file.error());
    auto memory = SharedMemory::map(std::move(*file), kMemory);
    if (!memory) return std::unexpected(memory.error());
    auto pipe = pipe_for_both(system);
    if (!pipe) return std::unexpected(pipe.error());
    std::unique_ptr<LogStage> stage{
        new LogStage(system, keeper, std::move(*memory), std::move(*pipe))};
    stage->record().pipe = inode_of(stage->pipe());
    stage->record().version = kVersion;
    return stage;
}

Result<std::unique_ptr<LogStage>> LogStage::adopt(ipc::System& system, Keeper& keeper,
                                                  const std::string& name, std::uint64_t inode,
                                                  KeptFds& kept)
{
    ipc::UniqueFd memory = kept.take(inode);
    if (!memory) {
        memory = open_named_memory(name);
        if (memory && inode_of(memory.get()) != inode) memory = ipc::UniqueFd{};
    }
    if (!memory) return nullptr;
    auto mapped = SharedMemory::map(std::move(memory), kMemory);
    if (!mapped) return std::unexpected(mapped.error());
    auto& record = *static_cast<Record*>(mapped->bytes());
    if (record.version != kVersion) return ipc::fail(EPROTO, "log stage of another version");
    ipc::UniqueFd pipe = kept.take(record.pipe);
    if (!pipe) {
        auto fresh = pipe_for_both(system);
        if (!fresh) return std::unexpected(fresh.error());
        pipe = std::move(*fresh);
        record.pipe = inode_of(pipe.get());
        if (record.phase == consuming_phase) record.phase = idle_phase;
    }
    return std::unique_ptr<LogStage>{
        new LogStage(system, keeper, std::move(*mapped), std::move(pipe))};
}

void LogStage::writing(std::span<const FilePlace> files)
{
    record().count = std::min(files.size(), kMaxFiles);
    std::ranges::copy(files.first(record().count), record().files.begin());
    record().phase = writing_phase;
}

void LogStage::consuming(std::uint64_t stream, std::size_t bytes)
{
    // The phase before this one does not look at them.
    record().stream = stream;
    record().bytes = bytes;
    record().phase = consuming_phase;
}

void LogStage::splicing(std::uint64_t stream, const FilePlace& place, std::size_t bytes)
{
    record().phase = idle_phase; // what stands there may be another batch's
    record().files[0] = place;
    record().stream = stream;
    record().bytes = bytes;
    record().phase = splicing_phase;
}

std::optional<LogStage::Spliced> LogStage::spliced() const
{
    const Record& was = record();
    if (was.phase != splicing_phase) return std::nullopt;
    return Spliced{.stream = was.stream, .before = was.files[0], .bytes = was.bytes};
}

void LogStage::idle()
{
    record().phase = idle_phase;
}

void LogStage::empty_pipe()
{
    while (const auto size = system_.splice(pipe_.get(), null_.get(), nullptr, kPipeBytes))
        if (*size == 0) return;
    std::array<char, 4096> bytes{}; // usually there is nothing left
    while (const auto size = system_.read(pipe_.get(), bytes.data(), bytes.size()))
        if (*size == 0) return;
}

void LogStage::returning(const FilePlace& log, const FilePlace& spill)
{
    record().count = 1;
    record().files = {log, spill};
    record().phase = returning_phase;
}

void LogStage::returned(const FilePlace& spill)
{
    record().files[1] = spill;
    record().phase = returned_phase;
}

LogStage::Leftover LogStage::leftover() const
{
    Leftover left;
    const Record& was = record();
    const auto count = std::min<std::uint64_t>(was.count, kMaxFiles);
    switch (was.phase.load()) {
    case writing_phase:
    case returning_phase:
        left.cut.assign(was.files.begin(), was.files.begin() + static_cast<std::ptrdiff_t>(count));
        break;
    case consuming_phase:
        left.stream = was.stream;
        left.bytes = was.bytes - std::min(bytes_in_pipe(pipe_.get()), was.bytes);
        break;
    case returned_phase:
        left.cut = {was.files[1]};
        left.cut[0].size = 0;
        break;
    default:
        break;
    }
    return left;
}

} // namespace cluster::supervisor
