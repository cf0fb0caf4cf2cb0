// Which Redis the server uses and how it proves who it is: REDIS_* of the environment, checked
// before anything is opened.
#pragma once

#include "app/base/environment.hpp"

#include <boost/asio/ssl/context.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

/// Where a server listens: a host name or address with a port, or the path of a Unix socket.
struct RedisAddress {
    std::string host{};
    std::uint16_t port = 0;
    std::string path{}; ///< of a Unix socket; then host and port do not count

    /// "10.0.0.1:6379", "[::1]:6379" or "unix:/run/redis.sock".
    [[nodiscard]] std::string text() const;
    bool operator==(const RedisAddress&) const = default;
    auto operator<=>(const RedisAddress&) const = default;
};

/// "host", "host:port", "[v6]:port". Errors: `what` says what is wrong.
[[nodiscard]] Result<RedisAddress> parse_redis_address(std::string_view text,
                                                       std::uint16_t default_port);

/// What a URL says: redis://[user[:password]@]host[:port][/database], rediss:// for TLS,
/// unix:///path[?db=N]. User and password may hold %XX.
struct RedisUrl {
    RedisAddress address{};
    std::string user{};
    std::string password{};
    int database = 0;
    bool tls = false;
    bool operator==(const RedisUrl&) const = default;
};
/// Errors never show the URL, because it holds a password.
[[nodiscard]] Result<RedisUrl> parse_redis_url(std::string_view text);

struct RedisOptions {
    enum class Form { none, single, sentinel, cluster };
    Form form = Form::none;
    RedisAddress address{};            ///< single
    std::vector<RedisAddress> nodes{}; ///< the sentinels, or some servers of the Cluster
    std::string master{};              ///< the name that the sentinels know it by
    std::string user{};
    std::string password{};
    std::string sentinel_password{};
    int database = 0;
    std::string client_name = "clusterapp"; ///< shown by CLIENT LIST
    /// Set when connections are encrypted: certificate and name of the server are checked.
    std::shared_ptr<boost::asio::ssl::context> tls{};
    milliseconds connect_timeout{2000}; ///< resolving, connecting, TLS, logging in
    milliseconds command_timeout{2000}; ///< until the answer is here
    std::size_t max_waiting = 10'000; ///< calls per server without an answer; one more: overloaded

    /// Whether the server is told to use Redis at all.
    [[nodiscard]] bool enabled() const { return form != Form::none; }
};

/// Faults: see Environment.
[[nodiscard]] RedisOptions read_redis_options(Environment& environment);

} // namespace cluster::app
