// The figures of one process as a file that it maps and that the other processes of the host read:
//
//   magic, size of the description, number of cells, generation   32 bytes
//   the description (series.hpp), filled up to a multiple of 8
//   the cells, 8 bytes each
//
// Whoever writes it holds a lock on it as long as it lives (flock(2), which ends with the process,
// however it ends): that is how others know whether it is alive. A count that was written is in the
// page cache, so that kill -9 does not lose it.
#pragma once

#include "app/metrics/series.hpp"
#include "ipc/base/unique_fd.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cluster::app {

/// The own file: locked and mapped.
class MappedFigures {
public:
    /// Makes the file `path` with its cells set to `cells`; it appears under its name when it is
    /// whole. Errors: of the call that failed; the disk is full.
    [[nodiscard]] static Result<MappedFigures> create(const std::string& path,
                                                      const std::string& description,
                                                      std::span<const std::uint64_t> cells);
    MappedFigures(MappedFigures&& from) noexcept;
    MappedFigures& operator=(MappedFigures&&) = delete;
    ~MappedFigures();

    [[nodiscard]] std::span<std::uint64_t> cells() const;

private:
    MappedFigures(ipc::UniqueFd fd, void* map, std::size_t size, std::size_t cells_at)
        : fd_{std::move(fd)}, map_{map}, size_{size}, cells_at_{cells_at}
    {
    }

    ipc::UniqueFd fd_; ///< holds the lock
    void* map_;
    std::size_t size_;
    std::size_t cells_at_;
};

struct ReadFigures {
    Snapshot snapshot{};
    std::vector<std::string> folded{};
    std::uint64_t generation = 0;
    bool alive = false; ///< its process runs
};

/// Reads a file of figures. nullopt: it is not there (any more), or not one of ours, or broken.
[[nodiscard]] std::optional<ReadFigures> read_figures(const std::string& path,
                                                      Descriptions& descriptions);

/// The same of the bytes of such a file; `alive` is not told.
[[nodiscard]] std::optional<ReadFigures> parse_figures(const std::string& bytes,
                                                       Descriptions& descriptions);

/// Only that of its header; 0 when there is none.
[[nodiscard]] std::uint64_t read_generation(const std::string& path);

/// Whether somebody counts in the file now. false as well when it is not there.
[[nodiscard]] bool is_counting(const std::string& path);

/// Puts a file of figures that nobody maps in the place of `path`, in one step.
[[nodiscard]] Result<void> replace_figures(const std::string& path, const Snapshot& snapshot,
                                           std::span<const std::string> folded,
                                           std::uint64_t generation);

} // namespace cluster::app
