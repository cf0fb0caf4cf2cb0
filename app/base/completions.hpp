// How coroutines of ours wait for Asio, and how those end that nobody waits for.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>

namespace cluster::app {

/// For co_await: failures come as a value, not as an exception.
inline constexpr auto kAsValue = boost::asio::as_tuple(boost::asio::use_awaitable);

/// For co_spawn: an exception in the coroutine is a bug; the loop must not swallow it.
inline void rethrow(const std::exception_ptr& thrown)
{
    if (thrown) std::rethrow_exception(thrown);
}

} // namespace cluster::app
