#include "supervisor/engine/log_stage.hpp"

#include "supervisor/sys/memory_file.hpp"
#include "supervisor/sys/pipes.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <string>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::Result;

constexpr std::size_t kMemory = 4096;
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHashed = 4096; ///< bytes at each end of a batch

enum Phase : std::uint32_t {
    idle_phase,
    writing_phase,
    consuming_phase,
    returning_phase,
    returned_phase,
    splicing_phase,
    relaying_phase,
    relayed_phase,
    taking_phase
};

} // namespace

/// As it lies in memory. Another version of us may read it.
struct LogStage::Record {
    std::uint32_t version;
    std::atomic<std::uint32_t> phase; ///< stored last: what it tells of is there
    std::uint64_t pipe;               ///< inode of our own; 0: nobody's record
    std::uint64_t stream, bytes;
    std::uint64_t count;
    std::array<FilePlace, kMaxFiles> files;
    std::uint64_t moved; ///< bytes that are in the file of what is relayed
    std::uint64_t hash;  ///< of what is being consumed
};

struct LogStage::Page {
    Record first;
    std::array<Loss, 100> losses; ///< `stream` 0: nobody's
    std::array<Record, 3> others;
};

FilePlace place_of(const struct stat& about)
{
    return {.device = about.st_dev,
            .inode = about.st_ino,
            .size = static_cast<std::uint64_t>(about.st_size)};
}

LogStage::LogStage(ipc::System& system, Keeper& keeper, std::shared_ptr<Memory> memory,
                   Record& record, ipc::UniqueFd pipe)
    : system_{system}, keeper_{keeper}, memory_{std::move(memory)}, record_{&record},
      pipe_{std::move(pipe)}, kept_pipe_{keeper, pipe_.get()}
{
    static_assert(sizeof(Page) <= kMemory && std::atomic<std::uint32_t>::is_always_lock_free);
    record.pipe = inode_of(pipe_.get());
    record.version = kVersion;
    if (auto null = system_.open("/dev/null", O_WRONLY)) null_ = std::move(*null);
}

/// The first one goes with its memory.
LogStage::~LogStage()
{
    if (is_first()) return;
    record().phase = idle_phase;
    record().pipe = 0;
}

LogStage::Page& LogStage::page() const
{
    return *static_cast<Page*>(memory_->bytes.bytes());
}

bool LogStage::is_first() const
{
    return record_ == &page().first;
}

Result<std::unique_ptr<LogStage>> LogStage::make(ipc::System& system, Keeper& keeper,
                                                 const std::string& name)
{
    auto file = named_memory(name, kMemory);
    if (!file) file = memory_file("clusterd log stage", {});
    if (!file) return std::unexpected(file.error());
    auto mapped = SharedMemory::map(std::move(*file), kMemory);
    if (!mapped) return std::unexpected(mapped.error());
    auto pipe = pipe_for_both(system);
    if (!pipe) return std::unexpected(pipe.error());
    const int fd = mapped->fd();
    auto memory = std::make_shared<Memory>(std::move(*mapped), Kept{keeper, fd});
    Record& first = static_cast<Page*>(memory->bytes.bytes())->first;
    return std::unique_ptr<LogStage>{
        new LogStage(system, keeper, std::move(memory), first, std::move(*pipe))};
}

Result<std::unique_ptr<LogStage>> LogStage::another()
{
    const auto free = std::ranges::find(page().others, 0U, &Record::pipe);
    if (free == page().others.end()) return ipc::fail(ENOSPC, "log stage");
    auto pipe = pipe_for_both(system_);
    if (!pipe) return std::unexpected(pipe.error());
    return std::unique_ptr<LogStage>{
        new LogStage(system_, keeper_, memory_, *free, std::move(*pipe))};
}

Result<std::unique_ptr<LogStage>> LogStage::adopt(ipc::System& system, Keeper& keeper,
                                                  const std::string& name, std::uint64_t inode,
                                                  KeptFds& kept)
{
    ipc::UniqueFd file = kept.take(inode);
    if (!file) {
        file = open_named_memory(name);
        if (file && inode_of(file.get()) != inode) file = ipc::UniqueFd{};
    }
    if (!file) return nullptr;
    auto mapped = SharedMemory::map(std::move(file), kMemory);
    if (!mapped) return std::unexpected(mapped.error());
    const int fd = mapped->fd();
    auto memory = std::make_shared<Memory>(std::move(*mapped), Kept{keeper, fd});
    Record& first = static_cast<Page*>(memory->bytes.bytes())->first;
    if (first.version != kVersion) return ipc::fail(EPROTO, "log stage of another version");
    return adopt(system, keeper, std::move(memory), first, kept);
}

Result<std::vector<std::unique_ptr<LogStage>>> LogStage::adopt_others(KeptFds& kept)
{
    std::vector<std::unique_ptr<LogStage>> others;
    for (Record& record : page().others) {
        if (record.pipe == 0) continue;
        auto other = adopt(system_, keeper_, memory_, record, kept);
        if (!other) return std::unexpected(other.error());
        others.push_back(std::move(*other));
    }
    return others;
}

std::size_t LogStage::room()
{
    if (room_ > 0) return room_;
    (void)set_pipe_capacity(pipe_.get(), kLargestBatch);
    return room_ = std::min(pipe_capacity(pipe_.get()), kLargestBatch);
}

Result<std::unique_ptr<LogStage>> LogStage::adopt(ipc::System& system, Keeper& keeper,
                                                  std::shared_ptr<Memory> memory, Record& record,
                                                  KeptFds& kept)
{
    ipc::UniqueFd pipe = kept.take(record.pipe);
    const bool lost = !pipe;
    if (lost) {
        auto fresh = pipe_for_both(system);
        if (!fresh) return std::unexpected(fresh.error());
        pipe = std::move(*fresh);
    }
    std::unique_ptr<LogStage> stage{
        new LogStage(system, keeper, std::move(memory), record, std::move(pipe))};
    stage->pipe_lost_ = lost;
    return stage;
}

void LogStage::writing(std::span<const FilePlace> files)
{
    record().count = std::min(files.size(), kMaxFiles);
    std::ranges::copy(files.first(record().count), record().files.begin());
    record().phase = writing_phase;
}

/// Of both ends, which is enough to know it again. Another version of the library may say something
/// else: then it counts as taken.
std::uint64_t LogStage::hash_of(std::string_view bytes)
{
    const std::hash<std::string_view> hash;
    if (bytes.size() <= 2 * kHashed) return hash(bytes);
    return hash(bytes.substr(0, kHashed)) * 31 + hash(bytes.substr(bytes.size() - kHashed));
}

void LogStage::consuming(std::uint64_t stream, std::string_view bytes)
{
    // The phase before this one does not look at them.
    record().stream = stream;
    record().bytes = bytes.size();
    record().hash = hash_of(bytes);
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

void LogStage::relaying(std::uint64_t stream, const FilePlace& place, std::size_t bytes)
{
    record().phase = idle_phase;
    record().files[0] = place;
    record().stream = stream;
    record().bytes = bytes;
    record().phase = relaying_phase;
}

void LogStage::relayed(std::size_t bytes)
{
    record().moved = bytes;
    record().phase = relayed_phase;
}

void LogStage::taking(std::size_t bytes)
{
    record().moved = bytes; // the phase before this one says the same, or does not look at it
    record().phase = taking_phase;
}

void LogStage::spliced_all()
{
    record().phase = splicing_phase;
}

void LogStage::take_back()
{
    record().count = 1; // the phase before this one does not look at it
    record().phase = writing_phase;
}

FilePlace LogStage::relay_place() const
{
    return record().files[0];
}

std::size_t LogStage::relaying_bytes() const
{
    return record().phase == relaying_phase ? record().bytes : 0;
}

std::optional<LogStage::Spliced> LogStage::spliced() const
{
    const Record& was = record();
    switch (was.phase.load()) {
    case splicing_phase:
    case relaying_phase:
    case relayed_phase:
    case taking_phase:
        break;
    default:
        return std::nullopt;
    }
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

void LogStage::drop(std::size_t bytes)
{
    while (bytes > 0) {
        const auto size = system_.splice(pipe_.get(), null_.get(), nullptr, bytes);
        if (!size || *size == 0) return empty_pipe();
        bytes -= *size;
    }
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

/// That of a file, or one that is nobody's for 0.
LogStage::Loss* LogStage::find_loss(std::uint64_t stream, std::uint32_t target) const
{
    auto& losses = page().losses;
    const auto found = std::ranges::find_if(losses, [&](const Loss& loss) {
        return loss.stream == stream && (stream == 0 || loss.target == target);
    });
    return found == losses.end() ? nullptr : &*found;
}

void LogStage::set_loss(const Loss& loss)
{
    Loss* place = find_loss(loss.stream, loss.target);
    if (!place && loss.bytes > 0) place = find_loss(0, 0);
    if (place) *place = loss.bytes > 0 ? loss : Loss{};
}

std::optional<LogStage::Loss> LogStage::loss(std::uint64_t stream, std::uint32_t target) const
{
    const Loss* const found = find_loss(stream, target);
    return found ? std::optional{*found} : std::nullopt;
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
        if (pipe_lost_) left.only_hash = was.hash;
        break;
    case relaying_phase:
        left.stream = was.stream;
        left.as_grown = pipe_lost_;
        left.bytes = was.bytes - std::min(bytes_in_pipe(pipe_.get()), was.bytes);
        left.relayed = true;
        break;
    case relayed_phase:
        left.stream = was.stream;
        left.bytes = was.moved;
        left.relayed = true;
        break;
    case taking_phase:
        left.stream = was.stream;
        left.bytes = was.moved - std::min(bytes_in_pipe(pipe_.get()), was.moved);
        left.only_in_file = pipe_lost_;
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
