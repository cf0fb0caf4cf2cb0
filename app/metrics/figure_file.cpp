#include "app/metrics/figure_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace cluster::app {
namespace {

using ipc::fail;
using ipc::UniqueFd;

constexpr std::uint64_t kMagic = 0x3147'4946'5055'4C43; // "CLUPFIG1" in memory
constexpr off_t kMaxFile = 16L << 20;

struct Header {
    std::uint64_t magic = kMagic;
    std::uint64_t description_bytes = 0;
    std::uint64_t cells = 0;
    std::uint64_t generation = 0;
};

std::size_t cells_begin(std::size_t description_bytes)
{
    return sizeof(Header) + (description_bytes + 7) / 8 * 8;
}

std::string file_text(const Header& header, const std::string& description,
                      std::span<const std::uint64_t> cells)
{
    std::string text(cells_begin(description.size()) + cells.size_bytes(), '\0');
    std::memcpy(text.data(), &header, sizeof header);
    std::memcpy(text.data() + sizeof header, description.data(), description.size());
    if (!cells.empty())
        std::memcpy(text.data() + cells_begin(description.size()), cells.data(),
                    cells.size_bytes());
    return text;
}

Result<void> write_all(int fd, std::string_view text, const std::string& path)
{
    while (!text.empty()) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return fail(errno, "write " + path);
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

/// A new file, open for both, with `text` in it.
Result<UniqueFd> write_file(const std::string& path, std::string_view text)
{
    UniqueFd fd{::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (!fd) return fail(errno, "open " + path);
    if (auto written = write_all(fd.get(), text, path); !written)
        return std::unexpected(written.error());
    return fd;
}

std::optional<std::string> read_whole(int fd)
{
    struct stat status{};
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > kMaxFile)
        return std::nullopt;
    std::string text(static_cast<std::size_t>(status.st_size), '\0');
    std::size_t have = 0;
    // Read, not mapped: a file that somebody cuts off would end us by SIGBUS.
    while (have < text.size()) {
        const ssize_t got =
            ::pread(fd, text.data() + have, text.size() - have, static_cast<off_t>(have));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return std::nullopt;
        have += static_cast<std::size_t>(got);
    }
    return text;
}

std::optional<Header> header_of(std::string_view text)
{
    Header header;
    if (text.size() < sizeof header) return std::nullopt;
    std::memcpy(&header, text.data(), sizeof header);
    if (header.magic != kMagic) return std::nullopt;
    return header;
}

/// O_NONBLOCK: what has the name may be a pipe.
UniqueFd open_to_read(const std::string& path)
{
    return UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
}

bool is_locked(int fd)
{
    return ::flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

} // namespace

Result<MappedFigures> MappedFigures::create(const std::string& path, const std::string& description,
                                            std::span<const std::uint64_t> cells)
{
    const Header header{.description_bytes = description.size(), .cells = cells.size()};
    const std::string text = file_text(header, description, cells);
    // Locked before others can see it by its name: they would take it for one that has ended.
    const std::string unfinished = path + ".new";
    auto fd = write_file(unfinished, text);
    if (!fd) return std::unexpected(fd.error());
    if (::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) return fail(errno, "lock " + unfinished);
    void* const map =
        ::mmap(nullptr, text.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0);
    if (map == MAP_FAILED) return fail(errno, "map " + unfinished);
    MappedFigures figures{std::move(*fd), map, text.size(), cells_begin(description.size())};
    if (::rename(unfinished.c_str(), path.c_str()) != 0) return fail(errno, "rename " + unfinished);
    return figures;
}

MappedFigures::MappedFigures(MappedFigures&& from) noexcept
    : fd_{std::move(from.fd_)}, map_{std::exchange(from.map_, nullptr)}, size_{from.size_},
      cells_at_{from.cells_at_}
{
}

MappedFigures::~MappedFigures()
{
    if (map_ != nullptr) ::munmap(map_, size_);
}

std::span<std::uint64_t> MappedFigures::cells() const
{
    // The map begins at a page and the cells at a multiple of 8 in it.
    void* const first = static_cast<char*>(map_) + cells_at_;
    return {static_cast<std::uint64_t*>(first), (size_ - cells_at_) / sizeof(std::uint64_t)};
}

std::optional<ReadFigures> parse_figures(const std::string& bytes, Descriptions& descriptions)
{
    const auto header = header_of(bytes);
    if (!header || header->description_bytes > bytes.size() - sizeof(Header)) return std::nullopt;
    const auto description =
        descriptions.parse({bytes.data() + sizeof(Header), header->description_bytes});
    const std::size_t at = cells_begin(header->description_bytes);
    if (!description || header->cells != description->cells || at > bytes.size() ||
        (bytes.size() - at) / sizeof(std::uint64_t) < header->cells)
        return std::nullopt;
    ReadFigures figures{.folded = description->folded, .generation = header->generation};
    figures.snapshot.series = description->series;
    figures.snapshot.cells.resize(header->cells);
    if (header->cells > 0)
        std::memcpy(figures.snapshot.cells.data(), bytes.data() + at,
                    header->cells * sizeof(std::uint64_t));
    return figures;
}

std::optional<ReadFigures> read_figures(const std::string& path, Descriptions& descriptions)
{
    const UniqueFd fd = open_to_read(path);
    if (!fd) return std::nullopt;
    // Asked before it is read: of one that has ended all is there then.
    const bool alive = is_locked(fd.get());
    const auto text = read_whole(fd.get());
    if (!text) return std::nullopt;
    auto figures = parse_figures(*text, descriptions);
    if (figures) figures->alive = alive;
    return figures;
}

std::uint64_t read_generation(const std::string& path)
{
    const UniqueFd fd = open_to_read(path);
    std::array<char, sizeof(Header)> bytes{};
    if (!fd || ::pread(fd.get(), bytes.data(), bytes.size(), 0) != ssize_t{bytes.size()}) return 0;
    const auto header = header_of({bytes.data(), bytes.size()});
    return header ? header->generation : 0;
}

bool is_counting(const std::string& path)
{
    const UniqueFd fd = open_to_read(path);
    return fd && is_locked(fd.get());
}

Result<void> replace_figures(const std::string& path, const Snapshot& snapshot,
                             std::span<const std::string> folded, std::uint64_t generation)
{
    const std::string description = describe(*snapshot.series, folded);
    const Header header{.description_bytes = description.size(),
                        .cells = snapshot.cells.size(),
                        .generation = generation};
    const std::string unfinished = path + ".new";
    const auto fd = write_file(unfinished, file_text(header, description, snapshot.cells));
    if (!fd) return std::unexpected(fd.error());
    if (::rename(unfinished.c_str(), path.c_str()) != 0) return fail(errno, "rename " + unfinished);
    return {};
}

} // namespace cluster::app
