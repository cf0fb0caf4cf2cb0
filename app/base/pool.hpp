// Where blocking work goes (argon2, SQLite): a few threads beside the loop. The caller's coroutine
// goes on in the loop with the result, so that all state stays on the loop's one thread.
#pragma once

#include "app/base/trouble.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

namespace cluster::app {

namespace asio = boost::asio;

class Pool {
public:
    /// At most `max_waiting` pieces of work are under way or waiting; one more is refused.
    Pool(asio::io_context& io, std::string name, unsigned threads, std::size_t max_waiting)
        : io_{io}, name_{std::move(name)}, threads_{threads}, max_waiting_{max_waiting}
    {
    }

    /// Runs `work` (which returns a Result) on one of the threads. It must not touch what belongs
    /// to the loop. Errors: overloaded; those of `work`.
    template <class Work>
    asio::awaitable<std::invoke_result_t<Work>> run(Work work)
    {
        using Outcome = std::invoke_result_t<Work>;
        if (waiting_ >= max_waiting_)
            co_return trouble(Trouble::overloaded, name_ + ": too much is waiting");
        ++waiting_;
        Outcome outcome =
            co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Outcome)>(
                [this](auto handler, Work task) {
                    asio::post(threads_, [this, task = std::move(task),
                                          handler = std::move(handler),
                                          busy = asio::make_work_guard(io_)]() mutable {
                        asio::post(io_, [handler = std::move(handler), outcome = task()]() mutable {
                            std::move(handler)(std::move(outcome));
                        });
                    });
                },
                asio::use_awaitable, std::move(work));
        --waiting_;
        co_return outcome;
    }

    /// Pieces of work under way or waiting.
    [[nodiscard]] std::size_t waiting() const { return waiting_; }

    /// Waits for what runs; what has not begun is not begun any more.
    void stop()
    {
        threads_.stop();
        threads_.join();
    }

private:
    asio::io_context& io_;
    std::string name_;
    asio::thread_pool threads_;
    std::size_t max_waiting_;
    std::size_t waiting_ = 0;
};

} // namespace cluster::app
