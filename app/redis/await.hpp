// A callback that answers once, awaited: what a cancelled caller leaves behind is an empty place,
// never a coroutine.
#pragma once

#include "app/redis/connection.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <utility>

namespace cluster::app {

/// Who waits for a T; told once.
template <class T>
struct Waiter {
    std::move_only_function<void(T)> told;

    void tell(T value)
    {
        if (auto once = std::exchange(told, nullptr)) once(std::move(value));
    }
};

/// Calls `start(waiter)` and waits until somebody tells the waiter. When the caller is cancelled it
/// is told `when_cancelled()`.
template <class T, class Start, class Cancelled>
asio::awaitable<T> await_told(asio::io_context& io, Start start, Cancelled when_cancelled)
{
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(T)>(
        [&io](auto handler, const Start& begin, Cancelled cancelled) {
            auto slot = asio::get_associated_cancellation_slot(handler);
            auto waiter = std::make_shared<Waiter<T>>(std::move(handler));
            if (slot.is_connected())
                slot.assign([&io, weak = std::weak_ptr{waiter},
                             cancelled = std::move(cancelled)](asio::cancellation_type) {
                    asio::post(io, [weak, cancelled] {
                        if (const auto kept = weak.lock()) kept->tell(cancelled());
                    });
                });
            begin(std::move(waiter));
        },
        asio::use_awaitable, std::move(start), std::move(when_cancelled));
}

} // namespace cluster::app
