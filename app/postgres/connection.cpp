#include "app/postgres/connection.hpp"

#include "ipc/base/check.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fmt/format.h>

#include <set>
#include <utility>

namespace cluster::app {
namespace {

using Descriptor = asio::posix::stream_descriptor;

constexpr PgStatement kIntroduce{
    "introduce",
    "SELECT set_config('statement_timeout', $1, false), "
    // Should this host vanish in the middle of a transaction, its locks do not stay.
    "set_config('idle_in_transaction_session_timeout', $1, false), "
    "current_setting('max_connections'), current_setting('superuser_reserved_connections'), "
    "pg_is_in_recovery()"};

/// libpq's messages have several lines and blanks at their ends.
std::string one_line(const char* text)
{
    std::string line;
    for (const char letter : std::string_view{text == nullptr ? "" : text}) {
        const bool blank = letter == '\n' || letter == '\t' || letter == ' ';
        if (!blank)
            line += letter;
        else if (!line.empty() && line.back() != ' ')
            line += ' ';
    }
    if (!line.empty() && line.back() == ' ') line.pop_back();
    return line;
}

void ignore_notice(void*, const PGresult*) {} // libpq would print it on stderr

} // namespace

/// What was sent in one round trip, and what has come back of it.
struct PgConnection::Batch {
    struct Item {
        const PgStatement* statement;
        bool prepares; ///< a PREPARE; else the statement itself
    };
    std::vector<Item> items;
    std::vector<PgRows> rows;
    std::optional<PgFailure> failure;
    std::size_t answered = 0; ///< items
};

PgConnection::PgConnection(asio::io_context& io, PGconn* connection)
    : connection_{connection}, socket_{io}, timer_{io}
{
    PQsetNoticeReceiver(connection, ignore_notice, nullptr);
}

PgConnection::~PgConnection()
{
    if (socket_.is_open()) socket_.release();
}

std::string PgConnection::message() const
{
    return one_line(PQerrorMessage(connection_.get()));
}

/// A new descriptor each time: see the head of the header.
void PgConnection::lend_socket()
{
    if (socket_.is_open()) socket_.release();
    const int fd = PQsocket(connection_.get());
    boost::system::error_code ignored; // the wait will tell
    if (fd >= 0) socket_.assign(fd, ignored);
}

asio::awaitable<bool> PgConnection::ready(bool to_read, bool to_write, Clock::time_point until)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    timer_.expires_at(until);
    const auto wanted = to_read ? Descriptor::wait_read : Descriptor::wait_write;
    boost::system::error_code waited;
    if (to_read && to_write) {
        auto race = asio::experimental::make_parallel_group(
            socket_.async_wait(Descriptor::wait_read, asio::deferred),
            socket_.async_wait(Descriptor::wait_write, asio::deferred),
            timer_.async_wait(asio::deferred));
        auto running =
            std::move(race).async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
        const auto [order, read, write, time] = co_await std::move(running);
        waited = read && write ? read : boost::system::error_code{};
    } else {
        auto race = asio::experimental::make_parallel_group(
            socket_.async_wait(wanted, asio::deferred), timer_.async_wait(asio::deferred));
        auto running =
            std::move(race).async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
        const auto [order, one, time] = co_await std::move(running);
        waited = one;
    }
    co_return !waited;
}

asio::awaitable<PgResult<std::unique_ptr<PgConnection>>>
PgConnection::open(asio::io_context& io, const PgTarget& target, milliseconds limit,
                   milliseconds query_limit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto found = co_await target.resolved(limit);
    if (!found) co_return std::unexpected(PgFailure{.what = found.error().what, .lost = true});
    std::vector<const char*> keywords;
    std::vector<const char*> values;
    for (const auto& [keyword, value] : found->parameters()) {
        keywords.push_back(keyword.c_str());
        values.push_back(value.c_str());
    }
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    PGconn* const raw = PQconnectStartParams(keywords.data(), values.data(), 0);
    if (raw == nullptr) co_return std::unexpected(PgFailure{.what = "out of memory"});
    std::unique_ptr<PgConnection> connection{new PgConnection{io, raw}};
    auto logged_in = co_await connection->log_in(limit, target.name());
    if (!logged_in) co_return std::unexpected(std::move(logged_in.error()));
    auto introduced = co_await connection->introduce(limit, query_limit);
    if (!introduced) co_return std::unexpected(std::move(introduced.error()));
    co_return connection;
}

asio::awaitable<PgResult<void>> PgConnection::log_in(milliseconds limit, const std::string& name)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    PGconn* const raw = connection_.get();
    const auto until = Clock::now() + limit;
    auto step = PQstatus(raw) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    bool in_time = true;
    while (in_time && (step == PGRES_POLLING_READING || step == PGRES_POLLING_WRITING)) {
        lend_socket();
        const bool to_read = step == PGRES_POLLING_READING;
        in_time = co_await ready(to_read, !to_read, until);
        if (socket_.is_open()) socket_.release();
        if (in_time) step = PQconnectPoll(raw);
    }
    if (!in_time)
        co_return std::unexpected(PgFailure{
            .what = fmt::format("connect to {}: no answer within {} ms", name, limit.count()),
            .lost = true});
    if (step != PGRES_POLLING_OK)
        co_return std::unexpected(PgFailure{.what = message(), .lost = true, .again = true});
    if (PQsetnonblocking(raw, 1) != 0 || PQenterPipelineMode(raw) != 1)
        co_return std::unexpected(PgFailure{.what = message(), .lost = true});
    lend_socket();
    co_return PgResult<void>{};
}

asio::awaitable<PgResult<void>> PgConnection::introduce(milliseconds limit,
                                                        milliseconds query_limit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    std::vector<PgCall> calls{
        {.statement = &kIntroduce, .values = {std::to_string(query_limit.count())}}};
    const auto rows = co_await run(std::move(calls), PgEffect::none, limit);
    if (!rows) co_return std::unexpected(rows.error());
    const PgRow row = rows->front().front();
    facts_ = {.max_connections = static_cast<int>(row.number(2)),
              .reserved_connections = static_cast<int>(row.number(3)),
              .in_recovery = row.flag(4)};
    co_return PgResult<void>{};
}

bool PgConnection::reusable()
{
    if (busy_ || lost_) return false;
    // A server that closed it while nobody asked has said so, or the socket is at its end.
    PGconn* const raw = connection_.get();
    if (PQconsumeInput(raw) != 1 || PQstatus(raw) != CONNECTION_OK) give_up();
    return !lost_ && PQtransactionStatus(raw) == PQTRANS_IDLE;
}

void PgConnection::give_up()
{
    lost_ = true;
    // libpq may have closed the socket: before anybody else gets its number, Asio must forget it.
    if (socket_.is_open()) socket_.release();
}

PgFailure PgConnection::lost(const char* doing, Clock::time_point until)
{
    give_up();
    const std::string why = PQstatus(connection_.get()) == CONNECTION_BAD ? message() : "";
    if (Clock::now() >= until && why.empty())
        return {.what = fmt::format("{}: no answer in time", doing), .lost = true};
    return {.what = fmt::format("{}: {}", doing, why.empty() ? "the connection is lost" : why),
            .lost = true,
            .again = true};
}

bool PgConnection::send(const std::vector<PgCall>& calls, Batch& batch)
{
    PGconn* const raw = connection_.get();
    std::set<std::string_view> preparing;
    std::vector<const char*> values;
    for (const PgCall& call : calls) {
        const PgStatement& statement = *call.statement;
        const auto prepared = prepared_.find(statement.name);
        // Else the wrong statement would run.
        CLUSTER_CHECK(prepared == prepared_.end() || prepared->second == statement.sql,
                      "two statements of one name");
        if (prepared == prepared_.end() && preparing.insert(statement.name).second) {
            if (PQsendPrepare(raw, statement.name, statement.sql, 0, nullptr) != 1) return false;
            batch.items.push_back({.statement = &statement, .prepares = true});
        }
        values.clear();
        for (const auto& value : call.values)
            values.push_back(value ? value->c_str() : nullptr);
        if (PQsendQueryPrepared(raw, statement.name, static_cast<int>(values.size()), values.data(),
                                nullptr, nullptr, 0) != 1)
            return false;
        batch.items.push_back({.statement = &statement, .prepares = false});
    }
    return PQpipelineSync(raw) == 1;
}

/// Reads while it writes: a server that waits until we read would never take the rest.
asio::awaitable<PgResult<void>> PgConnection::flush(Clock::time_point until)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    PGconn* const raw = connection_.get();
    for (;;) {
        const int left = PQflush(raw);
        if (left == 0) co_return PgResult<void>{};
        const bool in_time = left == 1 && co_await ready(true, true, until);
        if (!in_time || PQconsumeInput(raw) != 1)
            co_return std::unexpected(lost("send to the database", until));
    }
}

asio::awaitable<bool> PgConnection::next(PGresult*& result, Clock::time_point until)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    PGconn* const raw = connection_.get();
    while (PQisBusy(raw) == 1) {
        const bool in_time = co_await ready(true, false, until);
        if (!in_time) co_return false;
        // When it fails the connection is bad, and the results that had come are still there.
        PQconsumeInput(raw);
    }
    result = PQgetResult(raw);
    co_return true;
}

/// Takes results until the end of the batch; false when the connection was lost before it.
asio::awaitable<bool> PgConnection::collect(Batch& batch, Clock::time_point until)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    PGconn* const raw = connection_.get();
    for (;;) {
        PGresult* taken = nullptr;
        const bool in_time = co_await next(taken, until);
        if (!in_time) co_return false;
        if (taken == nullptr) {
            if (batch.answered++ >= batch.items.size()) co_return false;
            continue;
        }
        PgRows rows{taken};
        const ExecStatusType status = PQresultStatus(taken);
        if (status == PGRES_PIPELINE_SYNC) co_return true;
        const bool done = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
        if (batch.answered >= batch.items.size()) co_return false;
        const auto& item = batch.items[batch.answered];
        if (done && item.prepares) prepared_.emplace(item.statement->name, item.statement->sql);
        if (done && !item.prepares) batch.rows.push_back(std::move(rows));
        if (status != PGRES_FATAL_ERROR) continue; // done, or skipped after one that failed
        const char* const state = PQresultErrorField(taken, PG_DIAG_SQLSTATE);
        if (state != nullptr && !batch.failure)
            batch.failure = pg_failure(state, fmt::format("{}: {}", item.statement->name,
                                                          one_line(PQresultErrorMessage(taken))));
        if (PQstatus(raw) == CONNECTION_BAD) co_return false;
    }
}

namespace {

/// The batch was not wholly answered: its first `done` calls were, and then perhaps the server
/// itself refused the next. Unless that was the COMMIT, nothing was changed; else nobody knows.
PgFailure outcome_of_lost(PgFailure failure, const std::vector<PgCall>& calls, std::size_t done,
                          PgEffect effect)
{
    failure.lost = true;
    const bool by_server = !failure.state.empty();
    const bool at_commit =
        done + 1 == calls.size() && std::string_view{calls.back().statement->sql} == "COMMIT";
    if (effect == PgEffect::commits && (!by_server || at_commit)) {
        failure.kind = Trouble::unknown_outcome;
        failure.again = false;
    }
    return failure;
}

} // namespace

asio::awaitable<PgResult<std::vector<PgRows>>>
PgConnection::run(std::vector<PgCall> calls, PgEffect effect, milliseconds limit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto until = Clock::now() + limit;
    Batch batch;
    busy_ = true; // until the end of it, also when this coroutine does not live to see it
    if (!send(calls, batch)) co_return std::unexpected(lost("send to the database", until));
    auto sent = co_await flush(until);
    // What was sent in part may have been done in part: the answer is taken as far as it goes.
    const bool whole = sent && co_await collect(batch, until);
    if (whole) {
        busy_ = false;
        if (batch.failure) {
            if (batch.failure->lost) give_up();
            co_return std::unexpected(std::move(*batch.failure));
        }
        co_return std::move(batch.rows);
    }
    PgFailure failure = lost(calls.back().statement->name, until);
    if (batch.failure) failure = std::move(*batch.failure);
    co_return std::unexpected(
        outcome_of_lost(std::move(failure), calls, batch.rows.size(), effect));
}

asio::awaitable<PgResult<void>> PgConnection::script(std::string sql, milliseconds limit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    PGconn* const raw = connection_.get();
    const auto until = Clock::now() + limit;
    busy_ = true;
    // A pipeline takes one statement at a time; a script is sent the old way.
    if (PQexitPipelineMode(raw) != 1 || PQsendQuery(raw, sql.c_str()) != 1)
        co_return std::unexpected(lost("script", until));
    auto sent = co_await flush(until);
    if (!sent) co_return std::unexpected(std::move(sent.error()));
    std::optional<PgFailure> failure;
    for (;;) {
        PGresult* taken = nullptr;
        const bool in_time = co_await next(taken, until);
        if (!in_time) co_return std::unexpected(lost("script", until));
        if (taken == nullptr) break;
        const PgRows rows{taken};
        if (PQresultStatus(taken) != PGRES_FATAL_ERROR || failure) continue;
        const char* const state = PQresultErrorField(taken, PG_DIAG_SQLSTATE);
        failure =
            pg_failure(state == nullptr ? "08006" : state, one_line(PQresultErrorMessage(taken)));
    }
    if (PQstatus(raw) == CONNECTION_BAD || PQenterPipelineMode(raw) != 1)
        co_return std::unexpected(lost("script", until));
    busy_ = false;
    if (failure) co_return std::unexpected(std::move(*failure));
    co_return PgResult<void>{};
}

} // namespace cluster::app
