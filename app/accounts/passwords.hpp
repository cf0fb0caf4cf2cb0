// Passwords as argon2id hashes (RFC 9106). A hash takes tens of milliseconds and megabytes by
// design, so they are made on a pool of few threads whose queue has an end.
#pragma once

#include "app/base/pool.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <string>

namespace cluster::app {

namespace asio = boost::asio;

struct HashCost {
    std::uint32_t memory_kib = 19'456;
    std::uint32_t passes = 2;
};

class Passwords {
public:
    /// `pool` must outlive it. Errors of all: overloaded; refused when argon2 gets no memory.
    Passwords(Pool& pool, HashCost cost) : pool_{pool}, cost_{cost} {}

    /// The encoded form: "$argon2id$v=19$m=…".
    asio::awaitable<Result<std::string>> hash(std::string password);
    /// Whether `encoded` is a hash of it.
    asio::awaitable<Result<bool>> matches(std::string password, std::string encoded);
    /// Takes as long as `matches` and matches nothing: for an address that nobody has, so that the
    /// time of an answer does not tell which addresses exist.
    asio::awaitable<Result<bool>> matches_nobody(std::string password);

private:
    Pool& pool_;
    HashCost cost_;
};

} // namespace cluster::app
