// One connection to one server: found, connected, encrypted, logged in, then commands out and
// answers in, in order. It is made, opened once, and ends once; Link makes the next one. All calls
// of one turn of the loop go out in one write. Used from the loop alone.
#pragma once

#include "app/base/log.hpp"
#include "app/redis/figures.hpp"
#include "app/redis/options.hpp"
#include "app/redis/wire.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace cluster::app {

/// Called once, from the loop, never from inside the call that it was given to.
using Answered = std::move_only_function<void(Result<RedisReply>)>;

/// Finds out where to connect. Errors: unavailable.
using FindServer = std::function<asio::awaitable<Result<RedisAddress>>()>;

/// What all connections of one Redis share. `io` and `log` must outlive them.
struct RedisWorld {
    asio::io_context& io;
    RedisOptions options;
    Log& log;
    RedisFigures figures;
    std::minstd_rand random{std::random_device{}()}; ///< for pauses
};

/// What a connection is for.
struct RedisPurpose {
    bool login = true;              ///< as the options say, and SELECT; else `password` alone
    std::string password{};         ///< a sentinel's
    bool must_master = false;       ///< asks ROLE, and ends when it is none
    bool waits = false;             ///< its commands may wait on the server: not counted as slow
    const char* label = "commands"; ///< for the log
    bool listens = false;           ///< everything that arrives is a message, and nothing answers
};

class Connection : public std::enable_shared_from_this<Connection> {
public:
    struct Events {
        std::function<void()> ready{};
        std::function<void(const ipc::Error&)> ended{}; ///< last one; not after the end by `end()`
        std::function<void(RedisReply)> message{};
    };

    Connection(std::shared_ptr<RedisWorld> world, RedisPurpose purpose, FindServer find);

    /// Before `open`.
    void listen(Events events) { events_ = std::move(events); }
    void open();
    /// Errors of the answer: overloaded, unavailable (did not leave), unknown_outcome, refused.
    /// Before it is ready the command waits for that, at most `limit`.
    void send(const RedisCommand& command, Answered answered, milliseconds limit);
    /// Sends what has no answer of its own (ASKING's OK is one; SUBSCRIBE's are messages).
    void send_plain(const RedisCommand& command);
    /// Ends it; nobody is told but those who wait for answers.
    void end(const std::string& why);

    [[nodiscard]] bool ready() const { return state_ == State::ready; }
    [[nodiscard]] bool ended() const { return state_ == State::ended; }
    /// Whether anything has come after the greeting.
    [[nodiscard]] bool useful() const { return useful_; }
    /// Whether no answer is awaited.
    [[nodiscard]] bool quiet() const { return waiting_.empty(); }
    [[nodiscard]] const RedisAddress& address() const { return address_; }
    [[nodiscard]] asio::io_context& loop() { return io_; }

private:
    enum class State { made, connecting, ready, ended };
    using Time = std::chrono::steady_clock::time_point;
    struct Waiting {
        Answered answered;
        Time begun;
        Time deadline;
        std::uint64_t begins_at; ///< where its bytes begin in all that was ever sent
        std::string held{};      ///< its bytes, while there is no connection yet
    };

    asio::awaitable<void> run();
    asio::awaitable<Result<void>> connect();
    asio::awaitable<Result<std::vector<asio::generic::stream_protocol::endpoint>>> resolve();
    asio::awaitable<Result<void>> encrypt();
    asio::awaitable<Result<void>> greet();
    asio::awaitable<Result<std::size_t>> read_some();
    [[nodiscard]] std::vector<RedisCommand> greeting() const;
    void become_ready();
    void take_replies();
    void take(RedisReply reply);
    void flush_soon();
    void flush();
    void written(const boost::system::error_code& code);
    void arm();
    void on_time();
    void watch_silence();
    void deliver();
    void lost(Trouble kind, const std::string& why);
    void finish(const ipc::Error& why, bool tell);
    [[nodiscard]] std::string named(std::string_view why) const;

    std::shared_ptr<RedisWorld> world_;
    asio::io_context& io_;
    const RedisOptions& options_;
    RedisFigures figures_;
    RedisPurpose purpose_;
    FindServer find_;
    Events events_;
    State state_ = State::made;
    RedisAddress address_;
    asio::generic::stream_protocol::socket socket_;
    std::optional<asio::ssl::stream<asio::generic::stream_protocol::socket&>> tls_;
    asio::ip::tcp::resolver resolver_;
    asio::steady_timer connect_timer_;
    asio::steady_timer timer_; ///< the deadline of the oldest call, or the next look at a listener
    bool armed_ = false;
    bool useful_ = false;
    ReplyReader reader_;
    std::vector<char> inbox_;
    std::string outgoing_;       ///< not given to the kernel yet
    std::string leaving_;        ///< being written
    std::uint64_t enqueued_ = 0; ///< bytes ever put into `outgoing_`
    std::size_t held_ = 0;       ///< bytes of calls that wait for the connection
    std::uint64_t handed_ = 0;   ///< of those, ever begun to be written
    bool flush_asked_ = false;
    std::deque<Waiting> waiting_;
    std::vector<std::pair<Answered, Result<RedisReply>>> answers_; ///< of this turn
    Time heard_;                                                   ///< when something came last
    bool asked_ = false;                                           ///< a listener's PING is out
};

/// One command over `connection`, awaited. Cancelled, it ends at once as unknown_outcome; its
/// answer is dropped when it comes.
asio::awaitable<Result<RedisReply>> request(std::shared_ptr<Connection> connection,
                                            RedisCommand command, milliseconds limit);

} // namespace cluster::app
