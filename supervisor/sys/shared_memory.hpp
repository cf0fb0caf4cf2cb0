// Memory of ours that somebody else keeps: what is written there is still there when we are killed.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"

#include <cstddef>
#include <utility>

namespace cluster::supervisor {

/// A file in memory (memory_file.hpp) mapped for reading and writing.
class SharedMemory {
public:
    SharedMemory() = default;
    /// Maps the first `size` bytes of `memfd`, which gets that size. Errors: those of man 2 mmap.
    static ipc::Result<SharedMemory> map(ipc::UniqueFd memfd, std::size_t size);
    ~SharedMemory();
    SharedMemory(SharedMemory&& other) noexcept
        : memfd_{std::move(other.memfd_)}, bytes_{std::exchange(other.bytes_, nullptr)},
          size_{other.size_}
    {
    }
    SharedMemory& operator=(SharedMemory&& other) noexcept
    {
        std::swap(memfd_, other.memfd_);
        std::swap(bytes_, other.bytes_);
        std::swap(size_, other.size_);
        return *this;
    }

    [[nodiscard]] void* bytes() const { return bytes_; } ///< at the start of a page
    [[nodiscard]] int fd() const { return memfd_.get(); }

private:
    ipc::UniqueFd memfd_;
    void* bytes_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace cluster::supervisor
