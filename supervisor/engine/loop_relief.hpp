// A call about a file may not come back for long: the disk behind it is slow, frozen, or at the
// other end of a network that is gone. Nothing ends such a call (man 2 write has no time limit, and
// O_NONBLOCK means nothing for a regular file), so it holds its thread. It must not hold the loop.
//
// So there is a second thread, which does nothing as long as calls come back soon. When one has not
// after some 20 to 40 ms, that thread goes on with the loop where the call left it. The first one,
// when its call comes back at last, leaves what it was in the midst of by an exception that nobody
// in between catches, and stands by from then on. At each moment one thread alone runs handlers, so
// nothing else needs to know of it.
//
// What is left in the midst like this has to be of a kind that somebody can go on with who finds it
// so, as after a crash. `run` says which work is.
#pragma once

#include "ipc/base/unique_fd.hpp"

#include <boost/asio/io_context.hpp>

#include <signal.h>

#include <array>
#include <atomic>
#include <climits>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace cluster::supervisor {

/// A call that has not come back.
struct HeldCall {
    std::uint64_t number = 0; ///< never used again
    std::uint64_t device = 0; ///< of its file (st_dev of man 2 stat); 0 when unknown
};

/// To be there as long as the process.
class LoopRelief {
public:
    /// The hint to make its loop with. With 1, what a handler has posted would wait with it.
    static constexpr int kThreads = 2;

    explicit LoopRelief(boost::asio::io_context& loop) : loop_{loop} {}
    LoopRelief(const LoopRelief&) = delete;
    LoopRelief& operator=(const LoopRelief&) = delete;

    /// `held`: another thread goes on with the loop; called before everything else there. `back`:
    /// that call has come back, and what it was made for has been left.
    void set_calls(std::function<void(const HeldCall&)> held,
                   std::function<void(std::uint64_t number)> back);

    /// Runs the loop until it is stopped, and calls `end` then, which ends the process: on this
    /// thread or on another one.
    [[noreturn]] void run_loop(std::function<void()> end);

    /// Does what may be left in the midst of any call about a file. For handlers of the loop that
    /// do nothing else.
    template <class Work>
    void run(Work&& work)
    {
        may_leave_ = true;
        std::forward<Work>(work)(); // when that is left, this belongs to somebody else
        may_leave_ = false;
    }

    /// Makes a call about an open file.
    template <class Make>
    auto call(int fd, Make&& make)
    {
        return watch(fd, {}, std::forward<Make>(make));
    }
    /// Makes a call about what is at a path.
    template <class Make>
    auto call(const std::string& path, Make&& make)
    {
        return watch(-1, path, std::forward<Make>(make));
    }

private:
    /// Thrown by a call that has come back too late.
    struct Left {};
    /// What one thread does with the loop, while it has it.
    struct Shift {
        std::atomic<std::uint64_t> call{0}; ///< odd: under way; kTaken: somebody else has the loop
        int fd = -1;                        ///< that it is about; or else:
        std::array<char, PATH_MAX> path{};
        std::uint64_t held = 0; ///< HeldCall::number, set before `call` says kTaken
    };
    static constexpr std::uint64_t kTaken = UINT64_MAX;

    template <class Make>
    auto watch(int fd, std::string_view path, Make&& make)
    {
        if (!may_leave_) return std::forward<Make>(make)();
        Shift& shift = *shift_.load(std::memory_order_relaxed);
        std::uint64_t number = begin(shift, fd, path);
        auto answer = std::forward<Make>(make)();
        if (!shift.call.compare_exchange_strong(number, number + 1)) throw Left{};
        return answer;
    }
    std::uint64_t begin(Shift& shift, int fd, std::string_view path);
    void arm();
    void set_timer();
    void start();
    bool start_thread();
    [[noreturn]] void live(bool has_loop);
    void work(Shift& shift);
    bool stand_by(Shift& shift);
    bool take_over(Shift& shift, Shift& from, std::uint64_t call);

    boost::asio::io_context& loop_;
    std::function<void(const HeldCall&)> held_;
    std::function<void(std::uint64_t)> back_;
    std::function<void()> end_;
    sigset_t signals_{};
    bool may_leave_ = false; ///< this and what is above: of whoever has the loop
    ipc::UniqueFd timer_;    ///< whoever stands by waits for it
    std::atomic<bool> armed_{false};
    std::atomic<Shift*> shift_{nullptr}; ///< of whoever has the loop
    std::atomic<std::uint64_t> seen_{0}; ///< `Shift::call` at the last look
    std::atomic<std::uint64_t> numbers_{0};
    std::atomic<int> standing_by_{0};
};

} // namespace cluster::supervisor
