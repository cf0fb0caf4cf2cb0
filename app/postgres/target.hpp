// Where a PostgreSQL server is and how to log in: a URL as libpq understands it
// (postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING), several hosts included.
#pragma once

#include "ipc/base/result.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace cluster::app {

namespace asio = boost::asio;
using ipc::Result;

/// Which of several hosts will do.
enum class PgRole { primary, replica };

class PgTarget {
public:
    using Parameters = std::vector<std::pair<std::string, std::string>>; ///< keyword, value

    /// Errors say what is wrong without showing the URL, which may hold a password.
    [[nodiscard]] static Result<PgTarget> parse(const std::string& url, PgRole role);

    /// What libpq is given; `addresses` is filled in by `resolved`.
    [[nodiscard]] const Parameters& parameters() const { return parameters_; }
    /// "db1:5432,db2:5432/presentation", for people.
    [[nodiscard]] const std::string& name() const { return name_; }
    /// The value of a keyword, "" when the URL does not give it.
    [[nodiscard]] std::string value(const std::string& keyword) const;

    /// The same with the addresses of its hosts: libpq would look names up while everything else
    /// waits. Errors: unavailable when none of the names is known within `limit`.
    [[nodiscard]] asio::awaitable<Result<PgTarget>> resolved(std::chrono::milliseconds limit) const;

private:
    void add_default(const std::string& keyword, std::string value);
    void set(const std::string& keyword, std::string value);

    Parameters parameters_;
    std::string name_;
};

/// One host of a URL, with its addresses once they are known. Pure helpers, for tests.
struct PgHost {
    std::string host;
    std::string address; ///< hostaddr
    std::string port;
};
/// Errors: numbers of hosts, addresses and ports that do not match.
[[nodiscard]] Result<std::vector<PgHost>> pg_hosts(const PgTarget& target);
/// Whether the name of the host must be looked up: no folder of a socket, no address.
[[nodiscard]] bool needs_lookup(const PgHost& host);

} // namespace cluster::app
