// One connection to a PostgreSQL server: libpq without blocking on the loop. It always speaks in
// pipeline mode: what is known together goes out together, in one round trip. One coroutine uses it
// at a time (the pool sees to that).
//
// libpq owns the socket; it lends it to Asio for waiting. It is lent anew for every step of the
// way to a connection (libpq may have closed one and opened the next with the same number), and
// taken back before libpq closes it.
#pragma once

#include "app/postgres/failure.hpp"
#include "app/postgres/rows.hpp"
#include "app/postgres/target.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

using std::chrono::milliseconds;

/// A statement is prepared once per connection, by its name, which no other one has. Both texts
/// live for ever.
struct PgStatement {
    const char* name;
    const char* sql;
};

struct PgCall {
    const PgStatement* statement;
    std::vector<std::optional<std::string>> values{}; ///< its $1, $2, …; nullopt is NULL
};

/// What a server says about itself when we log in.
struct PgServerFacts {
    int max_connections = 0;
    int reserved_connections = 0; ///< for superusers
    bool in_recovery = false;     ///< a replica
};

class PgConnection {
public:
    using Clock = std::chrono::steady_clock;

    /// Logs in. `query_limit` is told to the server too, so that what we gave up ends there. Fails
    /// after `limit`.
    [[nodiscard]] static asio::awaitable<PgResult<std::unique_ptr<PgConnection>>>
    open(asio::io_context& io, const PgTarget& target, milliseconds limit,
         milliseconds query_limit);

    ~PgConnection();
    PgConnection(const PgConnection&) = delete;
    PgConnection& operator=(const PgConnection&) = delete;

    /// All of `calls` in one round trip, one after the other; what comes after one that fails is
    /// not done. Outside of BEGIN … COMMIT they are one transaction. The rows of each, or the first
    /// failure. After `limit` the connection is lost: its answer may come at any time.
    asio::awaitable<PgResult<std::vector<PgRows>>> run(std::vector<PgCall> calls, PgEffect effect,
                                                       milliseconds limit);

    /// Several statements without values as they stand in a file, one transaction.
    asio::awaitable<PgResult<void>> script(std::string sql, milliseconds limit);

    /// Of use for another call: nothing under way, no transaction open, not closed by the server.
    [[nodiscard]] bool reusable();

    [[nodiscard]] const PgServerFacts& facts() const { return facts_; }

private:
    struct Finish {
        void operator()(PGconn* connection) const { PQfinish(connection); }
    };
    struct Batch;

    PgConnection(asio::io_context& io, PGconn* connection);

    asio::awaitable<PgResult<void>> log_in(milliseconds limit, const std::string& name);
    asio::awaitable<PgResult<void>> introduce(milliseconds limit, milliseconds query_limit);
    /// Waits until the socket is ready in one of the asked ways; false when `until` was first.
    asio::awaitable<bool> ready(bool to_read, bool to_write, Clock::time_point until);
    bool send(const std::vector<PgCall>& calls, Batch& batch);
    asio::awaitable<PgResult<void>> flush(Clock::time_point until);
    /// The next result, a null one at the end of a statement's. False: lost or too late.
    asio::awaitable<bool> next(PGresult*& result, Clock::time_point until);
    asio::awaitable<bool> collect(Batch& batch, Clock::time_point until);
    void give_up();
    [[nodiscard]] PgFailure lost(const char* doing, Clock::time_point until);
    [[nodiscard]] std::string message() const;
    void lend_socket();

    std::unique_ptr<PGconn, Finish> connection_;
    asio::posix::stream_descriptor socket_; ///< released before connection_ goes
    asio::steady_timer timer_;
    std::map<std::string_view, std::string_view> prepared_; ///< name → SQL
    PgServerFacts facts_;
    bool busy_ = false; ///< a call is under way, or was given up
    bool lost_ = false;
};

} // namespace cluster::app
