#include "app/limits/shared_counters.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>
#include <utility>

namespace cluster::app {
namespace {

constexpr std::uint64_t kMagic = 0x0131'524c'4343'0001; // a changed layout gets another number
/// Others hold a bucket for less than a microsecond, or, when they lose the processor just then,
/// for some turns of the scheduler. Only one that was stopped there holds it longer.
constexpr int kQuickTries = 100;
constexpr std::chrono::microseconds kBetweenTries{50};
constexpr milliseconds kLongestWait{250};
constexpr milliseconds kTrustAgain{2000};

/// Locks a part of a file against other processes (F_OFD_SETLK: fcntl(2)) until destroyed.
class RangeLock {
public:
    RangeLock(int fd, std::size_t begin, std::size_t size) : fd_{fd}, begin_{begin}, size_{size} {}
    ~RangeLock()
    {
        if (held_) static_cast<void>(set(F_UNLCK));
    }
    RangeLock(const RangeLock&) = delete;
    RangeLock& operator=(const RangeLock&) = delete;

    ipc::Result<void> take(milliseconds limit)
    {
        const auto until = std::chrono::steady_clock::now() + limit;
        for (int i = 0; !set(F_WRLCK); ++i) {
            if (errno != EAGAIN && errno != EACCES && errno != EINTR)
                return ipc::fail(errno, "rate limiter: lock");
            if (i >= kQuickTries && std::chrono::steady_clock::now() >= until)
                return ipc::fail(ETIMEDOUT, "rate limiter: lock");
            if (i < kQuickTries)
                ::sched_yield();
            else
                std::this_thread::sleep_for(kBetweenTries);
        }
        held_ = true;
        return {};
    }

private:
    [[nodiscard]] bool set(short kind) const
    {
        struct flock range{};
        range.l_type = kind;
        range.l_whence = SEEK_SET;
        range.l_start = static_cast<off_t>(begin_);
        range.l_len = static_cast<off_t>(size_);
        return ::fcntl(fd_, F_OFD_SETLK, &range) == 0;
    }

    int fd_;
    std::size_t begin_;
    std::size_t size_;
    bool held_ = false;
};

/// A store that the compiler keeps in its place: a process may be killed between any two.
template <class T>
void store(T& place, T value)
{
    std::atomic_ref{place}.store(value, std::memory_order_release);
}

} // namespace

ipc::Result<void> SharedCounters::prepare(int fd, const std::string& path)
{
    RangeLock lock{fd, 0, sizeof(std::uint64_t)};
    if (auto locked = lock.take(kLongestWait); !locked) return locked;
    struct stat status{};
    if (::fstat(fd, &status) < 0) return ipc::fail(errno, "open " + path);
    std::uint64_t head[2] = {0, 0};
    if (::pread(fd, head, sizeof head, 0) < 0) return ipc::fail(errno, "read " + path);
    if (head[0] == kMagic && static_cast<std::size_t>(status.st_size) == sizeof(File)) return {};
    if (head[0] != 0)
        return ipc::fail(std::error_code{}, path + ": it is no file of the rate limiter");
    // Its blocks at once: a write into a mapped hole of a full disk would kill us (SIGBUS).
    if (const int failed = ::posix_fallocate(fd, 0, sizeof(File)); failed != 0)
        return ipc::fail(failed, "make room for " + path);
    head[0] = kMagic;
    if (::getrandom(&head[1], sizeof head[1], 0) != sizeof head[1])
        return ipc::fail(errno, "getrandom");
    if (::pwrite(fd, head, sizeof head, 0) != sizeof head) return ipc::fail(errno, "write " + path);
    return {};
}

ipc::Result<SharedCounters> SharedCounters::open(const std::string& path)
{
    ipc::UniqueFd fd{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!fd) return ipc::fail(errno, "open " + path);
    if (const auto prepared = prepare(fd.get(), path); !prepared)
        return std::unexpected(prepared.error());
    void* const mapped =
        ::mmap(nullptr, sizeof(File), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (mapped == MAP_FAILED) return ipc::fail(errno, "map " + path);
    return SharedCounters{std::move(fd), static_cast<File*>(mapped)};
}

SharedCounters::SharedCounters(SharedCounters&& from) noexcept
    : fd_{std::move(from.fd_)}, file_{std::exchange(from.file_, nullptr)}
{
}

SharedCounters::~SharedCounters()
{
    if (file_ != nullptr) ::munmap(file_, sizeof(File));
}

/// FNV-1a with a secret start and SplitMix64's end: nobody can choose names that meet in one place
/// without knowing the seed.
std::uint64_t SharedCounters::hash(std::string_view client) const
{
    std::uint64_t value = file_->seed ^ 0xcbf2'9ce4'8422'2325;
    for (const char letter : client)
        value = (value ^ static_cast<unsigned char>(letter)) * 0x0000'0100'0000'01b3;
    value = (value ^ (value >> 30U)) * 0xbf58'476d'1ce4'e5b9;
    value = (value ^ (value >> 27U)) * 0x94d0'49bb'1331'11eb;
    return value ^ (value >> 31U);
}

ipc::Result<SharedCounters::Counted> SharedCounters::take(std::string_view client,
                                                          std::int64_t now_ms, milliseconds window)
{
    const std::uint64_t name = hash(client);
    auto& bucket = file_->entries[name % kBuckets];
    const auto offset =
        static_cast<std::size_t>(reinterpret_cast<char*>(&bucket) - reinterpret_cast<char*>(file_));
    RangeLock lock{fd_.get(), offset, sizeof bucket};
    // Whoever was stopped is not waited for again and again: that would stop us too.
    const std::int64_t left = stuck_until_ms_ - now_ms;
    const bool was_stuck = left > 0 && left <= kTrustAgain.count();
    const auto locked = lock.take(was_stuck ? milliseconds{0} : kLongestWait);
    if (!locked) {
        if (!was_stuck) stuck_until_ms_ = now_ms + kTrustAgain.count();
        return std::unexpected(locked.error());
    }

    // A window that ends later than one that began now: the clock was set back.
    const auto runs = [&](const Entry& entry) {
        return entry.ends_ms > now_ms && entry.ends_ms <= now_ms + window.count();
    };
    Entry* const found = std::ranges::find_if(
        bucket, [&](const Entry& entry) { return entry.client == name && runs(entry); });
    if (found != std::end(bucket)) {
        store(found->count, found->count + 1);
        return Counted{.count = found->count, .ends_ms = found->ends_ms};
    }
    Entry* const place = std::ranges::min_element(
        bucket, {}, [&](const Entry& entry) { return runs(entry) ? entry.ends_ms : 0; });
    store(place->ends_ms, std::int64_t{0}); // free, if we are killed before the last line
    store(place->client, name);
    store(place->count, std::int64_t{1});
    store(place->ends_ms, now_ms + window.count());
    return Counted{.count = 1, .ends_ms = place->ends_ms};
}

} // namespace cluster::app
