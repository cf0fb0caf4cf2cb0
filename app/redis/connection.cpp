#include "app/redis/connection.hpp"

#include "app/base/close_on_exec.hpp"
#include "app/base/completions.hpp"
#include "app/redis/await.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

#include <openssl/ssl.h>
#include <sys/un.h>

#include <exception>
#include <utility>

namespace cluster::app {
namespace {

using ErrorCode = boost::system::error_code;
using Endpoint = asio::generic::stream_protocol::endpoint;
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kReplyBytes = 64U << 10U;
/// What may wait to be written: a server that takes nothing must not take our memory.
constexpr std::size_t kMaxOutgoing = 64U << 20U;
/// A listener hears nothing for hours when nobody speaks; so it asks after this time.
constexpr std::chrono::seconds kSilence{5};

std::unexpected<ipc::Error> away(std::string why)
{
    return trouble(Trouble::unavailable, std::move(why));
}

/// What is wrong with the answer to one command of the greeting; "" when nothing is.
std::string objection(const RedisCommand& asked, const RedisReply& reply)
{
    const bool failed = reply.type == RedisReply::Type::error;
    if (asked.front() == "CLIENT") return ""; // a name for people: an old server may not have it
    if (failed) return reply.text;
    if (asked.front() != "ROLE") return "";
    const bool master = !reply.items.empty() && reply.items.front().text == "master";
    return master ? "" : "it is not the master (any more)";
}

} // namespace

Connection::Connection(std::shared_ptr<RedisWorld> world, RedisPurpose purpose, FindServer find)
    : world_{std::move(world)}, io_{world_->io}, options_{world_->options},
      figures_{world_->figures}, purpose_{std::move(purpose)}, find_{std::move(find)}, socket_{io_},
      resolver_{io_}, connect_timer_{io_}, timer_{io_}, inbox_(kReplyBytes)
{
}

void Connection::open()
{
    state_ = State::connecting;
    auto whole = [](std::shared_ptr<Connection> self) -> asio::awaitable<void> {
        co_await self->run();
    };
    asio::co_spawn(io_, whole(shared_from_this()),
                   [self = shared_from_this()](const std::exception_ptr& thrown) {
                       // Only running out of memory throws here.
                       if (thrown) self->lost(Trouble::unavailable, "out of memory");
                   });
}

asio::awaitable<void> Connection::run()
{
    auto connected = co_await connect();
    if (state_ == State::ended) co_return;
    if (!connected) {
        lost(Trouble::unavailable, connected.error().what);
        co_return;
    }
    become_ready();
    while (state_ != State::ended) {
        take_replies();
        if (state_ == State::ended) co_return;
        const auto count = co_await read_some(); // ends by end() or by the deadline of a call
        if (state_ == State::ended) co_return;
        if (!count) lost(Trouble::unavailable, count.error().what);
    }
}

asio::awaitable<Result<void>> Connection::connect()
{
    auto found = co_await find_(); // it has deadlines of its own
    if (!found) co_return std::unexpected(found.error());
    if (state_ == State::ended) co_return away("ended");
    address_ = std::move(*found);
    connect_timer_.expires_after(options_.connect_timeout);
    connect_timer_.async_wait([weak = weak_from_this()](const ErrorCode& code) {
        const auto self = weak.lock();
        if (!code && self) self->lost(Trouble::unavailable, "no connection in time");
    });
    const auto endpoints = co_await resolve();
    if (!endpoints) co_return std::unexpected(endpoints.error());
    ErrorCode failed = asio::error::host_not_found;
    for (const Endpoint& endpoint : *endpoints) {
        if (state_ == State::ended) co_return away("ended");
        ErrorCode ignored;
        socket_.close(ignored);
        socket_.open(endpoint.protocol(), failed);
        if (failed) continue;
        close_on_exec(socket_);
        const auto outcome = co_await socket_.async_connect(endpoint, kAsValue);
        failed = std::get<0>(outcome);
        if (!failed) break;
    }
    if (failed) co_return away(ipc::errno_text(failed.value()));
    if (address_.path.empty()) {
        ErrorCode ignored;
        socket_.set_option(asio::ip::tcp::no_delay{true}, ignored);
        socket_.set_option(asio::socket_base::keep_alive{true}, ignored);
    }
    if (options_.tls) {
        auto encrypted = co_await encrypt();
        if (!encrypted) co_return std::unexpected(encrypted.error());
    }
    co_return co_await greet();
}

asio::awaitable<Result<std::vector<Endpoint>>> Connection::resolve()
{
    std::vector<Endpoint> endpoints;
    if (!address_.path.empty()) {
        if (address_.path.size() >= sizeof(sockaddr_un::sun_path))
            co_return away("the path of the socket is too long");
        endpoints.emplace_back(asio::local::stream_protocol::endpoint{address_.path});
        co_return endpoints;
    }
    ErrorCode is_name;
    const auto literal = asio::ip::make_address(address_.host, is_name);
    if (!is_name) {
        endpoints.emplace_back(asio::ip::tcp::endpoint{literal, address_.port});
        co_return endpoints;
    }
    const std::string port = std::to_string(address_.port);
    const auto [code, found] = co_await resolver_.async_resolve(address_.host, port, kAsValue);
    if (code) co_return away("the name cannot be resolved: " + code.message());
    for (const auto& one : found)
        endpoints.emplace_back(one.endpoint());
    co_return endpoints;
}

asio::awaitable<Result<void>> Connection::encrypt()
{
    tls_.emplace(socket_, *options_.tls);
    ErrorCode is_name;
    static_cast<void>(asio::ip::make_address(address_.host, is_name));
    // Server Name Indication is for names only (RFC 6066 section 3).
    if (is_name) SSL_set_tlsext_host_name(tls_->native_handle(), address_.host.c_str());
    ErrorCode ignored;
    tls_->set_verify_callback(asio::ssl::host_name_verification{address_.host}, ignored);
    const auto [code] = co_await tls_->async_handshake(asio::ssl::stream_base::client, kAsValue);
    if (!code) co_return Result<void>{};
    const long verified = SSL_get_verify_result(tls_->native_handle());
    if (verified != X509_V_OK)
        co_return away(fmt::format("TLS: the server's certificate is refused: {}",
                                   X509_verify_cert_error_string(verified)));
    co_return away("TLS: " + code.message());
}

std::vector<RedisCommand> Connection::greeting() const
{
    std::vector<RedisCommand> commands;
    const std::string& password = purpose_.login ? options_.password : purpose_.password;
    const bool named = purpose_.login && !options_.user.empty();
    if (named)
        commands.push_back({"AUTH", options_.user, password});
    else if (!password.empty())
        commands.push_back({"AUTH", password});
    commands.push_back({"CLIENT", "SETNAME", options_.client_name});
    if (purpose_.login && options_.database != 0)
        commands.push_back({"SELECT", std::to_string(options_.database)});
    if (purpose_.must_master) commands.push_back({"ROLE"});
    return commands;
}

/// Logs in: all of it in one round trip.
asio::awaitable<Result<void>> Connection::greet()
{
    const auto commands = greeting();
    std::string bytes;
    for (const RedisCommand& command : commands)
        append_command(bytes, command);
    const auto buffer = asio::buffer(bytes);
    ErrorCode code;
    if (tls_)
        code = std::get<0>(co_await asio::async_write(*tls_, buffer, kAsValue));
    else
        code = std::get<0>(co_await asio::async_write(socket_, buffer, kAsValue));
    if (code) co_return away(code.message());
    for (const RedisCommand& command : commands) {
        auto reply = reader_.next();
        while (reply && !*reply) {
            const auto count = co_await read_some();
            if (!count) co_return std::unexpected(count.error());
            reply = reader_.next();
        }
        if (!reply) co_return std::unexpected(reply.error());
        const std::string wrong = objection(command, **reply);
        if (!wrong.empty()) co_return away(wrong);
    }
    co_return Result<void>{};
}

asio::awaitable<Result<std::size_t>> Connection::read_some()
{
    const auto buffer = asio::buffer(inbox_);
    std::tuple<ErrorCode, std::size_t> outcome;
    if (tls_)
        outcome = co_await tls_->async_read_some(buffer, kAsValue);
    else
        outcome = co_await socket_.async_read_some(buffer, kAsValue);
    const auto [code, count] = outcome;
    if (code == asio::error::eof) co_return away("the server closed the connection");
    if (code) co_return away(code.message());
    heard_ = SteadyClock::now();
    asked_ = false;
    reader_.feed({inbox_.data(), count});
    co_return count;
}

void Connection::become_ready()
{
    connect_timer_.cancel();
    state_ = State::ready;
    if (purpose_.listens) {
        heard_ = SteadyClock::now();
        watch_silence();
    }
    if (events_.ready) events_.ready();
    for (Waiting& one : waiting_) {
        one.begins_at = enqueued_;
        enqueued_ += one.held.size();
        outgoing_ += std::exchange(one.held, {});
    }
    held_ = 0;
    flush();
}

void Connection::send(const RedisCommand& command, Answered answered, milliseconds limit)
{
    const auto refuse = [&](Trouble kind, std::string_view why) {
        answers_.emplace_back(std::move(answered), trouble(kind, named(why)));
        deliver();
    };
    if (state_ == State::ended || state_ == State::made)
        return refuse(Trouble::unavailable, "not connected");
    if (waiting_.size() >= options_.max_waiting || outgoing_.size() + held_ > kMaxOutgoing)
        return refuse(Trouble::overloaded, "too many calls are waiting");
    const Time now = SteadyClock::now();
    waiting_.push_back({.answered = std::move(answered),
                        .begun = now,
                        .deadline = now + limit,
                        .begins_at = enqueued_});
    if (state_ == State::ready) {
        send_plain(command);
    } else {
        append_command(waiting_.back().held, command);
        held_ += waiting_.back().held.size();
    }
    arm();
    RedisFigures::add(figures_.commands);
}

void Connection::send_plain(const RedisCommand& command)
{
    const std::size_t before = outgoing_.size();
    append_command(outgoing_, command);
    enqueued_ += outgoing_.size() - before;
    flush_soon();
}

/// Not at once: others of this turn of the loop are to go with it.
void Connection::flush_soon()
{
    if (std::exchange(flush_asked_, true)) return;
    asio::post(io_, [self = shared_from_this()] {
        self->flush_asked_ = false;
        self->flush();
    });
}

void Connection::flush()
{
    if (state_ != State::ready || !leaving_.empty() || outgoing_.empty()) return;
    leaving_.swap(outgoing_);
    handed_ = enqueued_;
    auto done = [self = shared_from_this()](const ErrorCode& code, std::size_t) {
        self->written(code);
    };
    if (tls_)
        asio::async_write(*tls_, asio::buffer(leaving_), std::move(done));
    else
        asio::async_write(socket_, asio::buffer(leaving_), std::move(done));
}

void Connection::written(const ErrorCode& code)
{
    leaving_.clear();
    if (state_ == State::ended) return;
    if (code) return lost(Trouble::unavailable, code.message());
    flush();
}

void Connection::take_replies()
{
    while (state_ == State::ready) {
        auto reply = reader_.next();
        if (!reply) return lost(Trouble::unavailable, reply.error().what);
        if (!*reply) break;
        take(std::move(**reply));
    }
    deliver();
}

void Connection::take(RedisReply reply)
{
    useful_ = true;
    if (purpose_.listens) {
        if (events_.message) events_.message(std::move(reply));
        return;
    }
    if (waiting_.empty()) return lost(Trouble::unavailable, "an answer that nobody asked for");
    Waiting first = std::move(waiting_.front());
    waiting_.pop_front();
    auto outcome = outcome_of(std::move(reply));
    if (!outcome) RedisFigures::add(figures_.errors);
    if (figures_.seconds != nullptr && !purpose_.waits)
        figures_.seconds->observe(
            std::chrono::duration<double>(SteadyClock::now() - first.begun).count());
    answers_.emplace_back(std::move(first.answered), std::move(outcome));
}

/// Tells those who wait, from a turn of the loop of their own: what they do then must not find us
/// in the middle of something.
void Connection::deliver()
{
    if (answers_.empty()) return;
    asio::post(io_, [answers = std::exchange(answers_, {})]() mutable {
        for (auto& [answered, outcome] : answers)
            answered(std::move(outcome));
    });
}

void Connection::arm()
{
    if (armed_ || waiting_.empty()) return;
    armed_ = true;
    timer_.expires_at(waiting_.front().deadline);
    timer_.async_wait([weak = weak_from_this()](const ErrorCode& code) {
        const auto self = weak.lock();
        if (code || !self || self->ended()) return;
        self->armed_ = false;
        self->on_time();
    });
}

void Connection::on_time()
{
    const Time now = SteadyClock::now();
    while (!waiting_.empty() && waiting_.front().deadline <= now) {
        // Answers come in order: behind one that does not come, none comes.
        if (state_ == State::ready) return lost(Trouble::unavailable, "no answer in time");
        Waiting& first = waiting_.front();
        held_ -= first.held.size();
        RedisFigures::add(figures_.errors);
        answers_.emplace_back(std::move(first.answered), away(named("not connected in time")));
        waiting_.pop_front();
    }
    deliver();
    arm();
}

void Connection::watch_silence()
{
    timer_.expires_after(asked_ ? options_.command_timeout : milliseconds{kSilence});
    timer_.async_wait([weak = weak_from_this()](const ErrorCode& code) {
        const auto self = weak.lock();
        if (code || !self || self->ended()) return;
        if (self->asked_) return self->lost(Trouble::unavailable, "no answer in time");
        if (SteadyClock::now() - self->heard_ >= kSilence) {
            self->asked_ = true;
            self->send_plain({"PING"});
        }
        self->watch_silence();
    });
}

void Connection::end(const std::string& why)
{
    if (state_ != State::ended)
        finish(ipc::Error{.code = make_error_code(Trouble::unavailable), .what = named(why)},
               false);
}

void Connection::lost(Trouble kind, const std::string& why)
{
    if (state_ != State::ended)
        finish(ipc::Error{.code = make_error_code(kind), .what = named(why)}, true);
}

void Connection::finish(const ipc::Error& why, bool tell)
{
    state_ = State::ended;
    ErrorCode ignored;
    socket_.close(ignored);
    resolver_.cancel();
    connect_timer_.cancel();
    timer_.cancel();
    for (Waiting& one : std::exchange(waiting_, {})) {
        const bool left = one.begins_at < handed_;
        RedisFigures::add(figures_.errors);
        answers_.emplace_back(
            std::move(one.answered),
            trouble(left ? Trouble::unknown_outcome : Trouble::unavailable, why.what));
    }
    // First this: whoever is told below and asks again at once finds the next connection begun.
    if (const auto ended = events_.ended; tell && ended) ended(why);
    deliver();
    // What the events hold may be what holds us: let go of it, but not while it runs.
    asio::post(io_, [self = shared_from_this()] { self->events_ = {}; });
}

std::string Connection::named(std::string_view why) const
{
    const bool found = !address_.host.empty() || !address_.path.empty();
    return found ? fmt::format("redis {}: {}", address_.text(), why)
                 : fmt::format("redis: {}", why);
}

asio::awaitable<Result<RedisReply>> request(std::shared_ptr<Connection> connection,
                                            RedisCommand command, milliseconds limit)
{
    asio::io_context& io = connection->loop();
    auto start = [connection, &command, limit](std::shared_ptr<Waiter<Result<RedisReply>>> waiter) {
        connection->send(
            command,
            [waiter = std::move(waiter)](Result<RedisReply> reply) {
                waiter->tell(std::move(reply));
            },
            limit);
    };
    auto cancelled = []() -> Result<RedisReply> {
        return trouble(Trouble::unknown_outcome, "redis: the call was cancelled");
    };
    auto told = await_told<Result<RedisReply>>(io, std::move(start), std::move(cancelled));
    co_return co_await std::move(told);
}

} // namespace cluster::app
