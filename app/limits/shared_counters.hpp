// Counts that all processes of one host share, in a mapped file of fixed size. A count is one
// locked step of about a microsecond (measured: 0.4 to 0.8 us of processor alone, 0.9 us with four
// processes at once; a statement of SQLite 10 us, and waits of up to 330 ms), so it is done in the
// loop itself. The kernel lets go of a lock when its owner dies.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cluster::app {

using std::chrono::milliseconds;

class SharedCounters {
public:
    /// Room for this many clients; one more in a full bucket takes the place of the one whose
    /// window ends first.
    static constexpr std::size_t kBuckets = 8192;
    static constexpr std::size_t kPerBucket = 8;

    struct Counted {
        std::int64_t count;   ///< with this one
        std::int64_t ends_ms; ///< of the window, as `now_ms` counts
    };

    /// Creates the file, 0600, when it is missing. Errors name the path.
    [[nodiscard]] static ipc::Result<SharedCounters> open(const std::string& path);

    SharedCounters(SharedCounters&& from) noexcept;
    SharedCounters& operator=(SharedCounters&&) = delete;
    ~SharedCounters();

    /// Counts one of `client` in its window, which begins with the first one. `now_ms` is wall
    /// time, because that is what all processes share and a reboot keeps. Errors: timed_out when
    /// another process holds the lock for 250 ms (it was stopped in the middle).
    [[nodiscard]] ipc::Result<Counted> take(std::string_view client, std::int64_t now_ms,
                                            milliseconds window);

private:
    struct Entry {
        std::uint64_t client; ///< hash; with `ends_ms` in the past the place is free
        std::int64_t ends_ms;
        std::int64_t count;
    };
    struct File {
        std::uint64_t magic;
        std::uint64_t seed;
        Entry entries[kBuckets][kPerBucket];
    };

    SharedCounters(ipc::UniqueFd fd, File* file) : fd_{std::move(fd)}, file_{file} {}
    [[nodiscard]] static ipc::Result<void> prepare(int fd, const std::string& path);
    [[nodiscard]] std::uint64_t hash(std::string_view client) const;

    ipc::UniqueFd fd_;
    File* file_;                      ///< mapped
    std::int64_t stuck_until_ms_ = 0; ///< until then a lock that is held is not waited for
};

} // namespace cluster::app
