#include "app/events/engine.hpp"

#include "app/base/completions.hpp"
#include "app/base/ids.hpp"
#include "app/events/engine_rules.hpp"
#include "app/events/websocket_link.hpp"

#include <boost/beast/http/write.hpp>

#include <utility>

namespace cluster::app {
namespace {

using ErrorCode = boost::system::error_code;

constexpr std::size_t kSidBytes = 15; // 20 characters, as the official server's
/// A client that is told to go by its next poll gets so much time to ask for it.
constexpr milliseconds kLinger{5000};

std::string url_of(const Request& request)
{
    std::string url = request.path;
    char separator = '?';
    for (const char* const name : {"EIO", "transport"})
        if (const std::string* const value = find(request.query, name)) {
            url += separator + std::string{name} + '=' + *value;
            separator = '&';
        }
    return url;
}

Response text_answer(std::string body, std::string content_type)
{
    Response response;
    response.body = std::move(body);
    response.content_type = std::move(content_type);
    return response;
}

/// To a WebSocket that is refused before it is one.
asio::awaitable<void> refuse(StreamSocket& socket, EngineFault fault)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    http::response<http::string_body> response{http::status::bad_request, 11};
    response.set(http::field::content_type, "text/plain");
    response.keep_alive(false);
    response.body() = text_of(fault);
    response.prepare_payload();
    // A few bytes into an empty buffer: never waits.
    static_cast<void>(co_await http::async_write(socket, response, kAsValue));
}

} // namespace

class Engine::Connection final : public EngineClient,
                                 public std::enable_shared_from_this<Engine::Connection> {
public:
    Connection(Engine& owner, std::string sid, EngineTransport transport, ClientHandshake first)
        : engine{owner}, session{std::move(sid), owner.options_, transport, owner.clock_.now()},
          poll_wake{owner.io_}, heartbeat{owner.io_}, handshake_{std::move(first)}
    {
    }

    [[nodiscard]] const std::string& sid() const override { return session.sid(); }
    [[nodiscard]] const ClientHandshake& handshake() const override { return handshake_; }

    void send(const EngineFrame& frame) override
    {
        const auto self = shared_from_this(); // losing it removes it from the table
        if (!session.push(frame)) return engine.lose(*this, CloseReason::queue_full);
        wake();
    }

    [[nodiscard]] bool writable() const override
    {
        if (session.state() != EngineSession::State::open || session.has_frames()) return false;
        return link != nullptr ? !link->writing() : session.has_poll();
    }

    void mark() override
    {
        const auto self = shared_from_this();
        if (!session.mark(engine.clock_.now())) return engine.lose(*this, CloseReason::queue_full);
        wake();
        engine.schedule(self);
    }

    [[nodiscard]] bool caught_up() const override
    {
        return session.caught_up() && (link == nullptr || !link->more_waits());
    }

    void close(CloseReason reason) override
    {
        if (session.state() != EngineSession::State::open) return;
        const auto self = shared_from_this();
        session.close();
        wake();
        engine.schedule(self); // for a poll that never comes
        engine.listener_.on_close(*this, reason);
    }

    void wake()
    {
        if (link != nullptr) link->flush();
        poll_wake.cancel();
    }

    Engine& engine;
    EngineSession session;
    WebSocketLink* link = nullptr; ///< once it is the transport
    asio::steady_timer poll_wake;
    asio::steady_timer heartbeat;
    milliseconds armed{0}; ///< when `heartbeat` fires

private:
    ClientHandshake handshake_;
};

Engine::Engine(asio::io_context& io, const ipc::Clock& clock, const EventsOptions& options,
               EngineListener& listener)
    : io_{io}, clock_{clock}, options_{options}, listener_{listener}
{
}

Engine::~Engine() = default;

void Engine::add_routes(Router& router)
{
    const Rules open{.caller = false, .limited = false, .quiet = true};
    for (const char* const path : {"/socket.io/", "/socket.io"}) {
        const Handler handler = [this](Request& request) { return answer(request); };
        router.add({.method = http::verb::get,
                    .pattern = path,
                    .handler = handler,
                    .rules = open,
                    .upgrade = [this](Request& request, StreamSocket& socket,
                                      http::request<http::string_body> head) {
                        return upgrade(request, socket, std::move(head));
                    }});
        router.add(
            {.method = http::verb::post, .pattern = path, .handler = handler, .rules = open});
        router.add(
            {.method = http::verb::options, .pattern = path, .handler = handler, .rules = open});
    }
}

Engine::ConnectionPtr Engine::find(const Request& request) const
{
    const std::string* const sid = app::find(request.query, "sid");
    if (sid == nullptr) return nullptr;
    const auto found = connections_.find(*sid);
    return found == connections_.end() ? nullptr : found->second;
}

asio::awaitable<Response> Engine::answer(Request& request)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    if (request.method == http::verb::options) {
        Response preflight;
        preflight.status = http::status::no_content;
        preflight.headers.emplace_back("Access-Control-Allow-Methods", "GET, POST");
        preflight.headers.emplace_back("Access-Control-Allow-Headers",
                                       "Authorization, Content-Type");
        co_return with_cors(request, std::move(preflight));
    }
    if (const auto fault = fault_of(request, false))
        co_return with_cors(request, answer_of(*fault));
    const std::string* const sid = app::find(request.query, "sid");
    if (sid == nullptr || sid->empty()) co_return with_cors(request, open_by_poll(request));

    ConnectionPtr connection = find(request);
    if (!connection) co_return with_cors(request, answer_of(EngineFault::unknown_sid));
    if (connection->session.transport() != EngineTransport::polling)
        co_return with_cors(request, answer_of(EngineFault::bad_request));
    Response response = request.method == http::verb::post
                            ? co_await post(std::move(connection), request)
                            : co_await poll(std::move(connection));
    co_return with_cors(request, std::move(response));
}

Response Engine::with_cors(const Request& request, Response response) const
{
    add_cors(response, request, options_);
    return response;
}

Response Engine::open_by_poll(const Request& request)
{
    if (refusing_ || connections_.size() >= options_.max_clients)
        return problem(http::status::service_unavailable, "TOO_MANY_CLIENTS",
                       refusing_ ? "this server stops" : "this server has too many clients");
    const ConnectionPtr connection = add(request, EngineTransport::polling);
    std::string body;
    append_frame(body, open_frame(connection->session, options_));
    return text_answer(std::move(body), "text/plain; charset=UTF-8");
}

Engine::ConnectionPtr Engine::add(const Request& request, EngineTransport transport)
{
    ClientHandshake handshake{.address = request.client,
                              .url = url_of(request),
                              .cross_domain = !request.header(http::field::origin).empty(),
                              .issued_ms = clock_.wall_ms()};
    auto connection = std::make_shared<Connection>(*this, random_token(kSidBytes), transport,
                                                   std::move(handshake));
    connections_.emplace(connection->sid(), connection);
    schedule(connection);
    listener_.on_open(connection);
    return connection;
}

asio::awaitable<Response> Engine::poll(ConnectionPtr connection)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    EngineSession& session = connection->session;
    if (!session.begin_poll()) {
        lose(*connection, CloseReason::transport_error);
        co_return answer_of(EngineFault::bad_request);
    }
    while (!session.poll_is_due()) {
        // Ends with the next packet, a ping at the latest, or with the session.
        connection->poll_wake.expires_at(asio::steady_timer::time_point::max());
        static_cast<void>(co_await connection->poll_wake.async_wait(kAsValue));
    }
    std::string body = session.take_poll();
    session.end_poll();
    if (session.state() == EngineSession::State::closing) {
        session.closed();
        connection->heartbeat.cancel();
        forget(session.sid());
    }
    co_return text_answer(std::move(body), "text/plain; charset=UTF-8");
}

asio::awaitable<Response> Engine::post(ConnectionPtr connection, Request& request)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    EngineSession& session = connection->session;
    if (request.body.size() > options_.max_payload) {
        lose(*connection, CloseReason::transport_error);
        co_return problem(http::status::payload_too_large, "PAYLOAD_TOO_LARGE",
                          "the payload is too large");
    }
    const bool octets = request.header(http::field::content_type) == "application/octet-stream";
    if (octets || !session.begin_post()) {
        lose(*connection, CloseReason::transport_error);
        co_return answer_of(EngineFault::bad_request);
    }
    EnginePayload payload{request.body};
    bool good = true;
    while (auto packet = good ? payload.next() : std::nullopt) {
        if (!*packet) lose(*connection, CloseReason::parse_error);
        good = packet->has_value() && co_await take(connection, std::move(**packet));
    }
    session.end_post();
    // The client has asked for the end itself: nothing is wrong.
    if (!good && session.state() == EngineSession::State::open)
        co_return answer_of(EngineFault::bad_request);
    co_return text_answer("ok", "text/html");
}

asio::awaitable<bool> Engine::take(ConnectionPtr connection, EnginePacket packet)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto meaning = connection->session.receive(packet, clock_.now());
    // A timer that fires too early looks again; setting it anew for each packet would cost more.
    if (connection->session.deadline() < connection->armed) schedule(connection);
    switch (meaning) {
    case EngineSession::Meaning::nothing:
        break;
    case EngineSession::Meaning::message:
        co_await listener_.on_message(connection, std::move(packet));
        break;
    case EngineSession::Meaning::heartbeat:
        listener_.on_heartbeat(*connection);
        break;
    case EngineSession::Meaning::client_close:
        lose(*connection, CloseReason::transport_close);
        break;
    case EngineSession::Meaning::wrong:
        lose(*connection, CloseReason::transport_error);
        break;
    }
    co_return connection->session.state() != EngineSession::State::closed;
}

asio::awaitable<void> Engine::upgrade(Request& request, StreamSocket& socket,
                                      http::request<http::string_body> head)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    auto fault = fault_of(request, true);
    const std::string* const sid = app::find(request.query, "sid");
    const bool fresh = sid == nullptr || sid->empty();
    if (!fault && !fresh && !find(request)) fault = EngineFault::unknown_sid;
    if (!fault && fresh && (refusing_ || connections_.size() >= options_.max_clients))
        fault = EngineFault::forbidden;
    if (fault) {
        co_await refuse(socket, *fault);
        co_return;
    }

    WebSocketLink link{socket, options_};
    if (co_await link.accept(head)) {
        head = {}; // the connection may last for hours
        ConnectionPtr connection = fresh ? add(request, EngineTransport::websocket) : find(request);
        if (fresh) {
            link.attach(&connection->session);
            connection->link = &link;
            connection->send(open_frame(connection->session, options_));
        }
        const bool going = connection && (fresh || co_await probe(link, connection));
        if (going) co_await serve(link, std::move(connection));
    }
    co_await link.finish();
}

/// "2probe", "3probe", and "5" when the client has stopped polling: then `link` takes over.
asio::awaitable<bool> Engine::probe(WebSocketLink& link, ConnectionPtr connection)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    EngineSession& session = connection->session;
    if (!session.begin_upgrade()) co_return false;
    link.limit(options_.upgrade_timeout);
    const auto first = co_await link.read();
    bool going = first && first->type == EngineType::ping && first->data == "probe";
    if (going) going = co_await link.write(engine_frame(EngineType::pong, "probe"));
    if (going) {
        session.probe();
        connection->wake();
        const auto second = co_await link.read();
        going = second && second->type == EngineType::upgrade &&
                session.state() != EngineSession::State::closed;
    }
    link.cancel_limit();
    session.end_upgrade(going);
    if (going) {
        link.attach(&session);
        connection->link = &link;
    }
    connection->wake();
    co_return going;
}

asio::awaitable<void> Engine::serve(WebSocketLink& link, ConnectionPtr connection)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    bool going = true;
    while (going) {
        auto packet = co_await link.read();
        going = packet.has_value() && co_await take(connection, std::move(*packet));
    }
    connection->link = nullptr;
    // Without effect when it is what ended the connection.
    lose(*connection, CloseReason::transport_close);
}

void Engine::lose(Connection& connection, CloseReason reason)
{
    const auto self = connection.shared_from_this();
    const auto before = connection.session.state();
    if (before == EngineSession::State::closed) return;
    connection.session.closed();
    connection.heartbeat.cancel();
    forget(connection.sid());
    if (connection.link != nullptr) connection.link->cut();
    connection.wake();
    if (before == EngineSession::State::open) listener_.on_close(connection, reason);
}

void Engine::schedule(const ConnectionPtr& connection)
{
    const auto state = connection->session.state();
    if (state == EngineSession::State::closed) return;
    const milliseconds wait = state == EngineSession::State::open
                                  ? connection->session.deadline() - clock_.now()
                                  : kLinger;
    connection->armed = clock_.now() + wait;
    connection->heartbeat.expires_after(wait);
    connection->heartbeat.async_wait(
        [this, weak = std::weak_ptr{connection}](const ErrorCode& code) {
            if (const auto still = code ? nullptr : weak.lock()) tick(still);
        });
}

void Engine::tick(const ConnectionPtr& connection)
{
    if (connection->session.state() == EngineSession::State::closing)
        return lose(*connection, CloseReason::transport_close);
    switch (connection->session.tick(clock_.now())) {
    case EngineSession::Tick::timed_out:
        return lose(*connection, CloseReason::ping_timeout);
    case EngineSession::Tick::ping:
        connection->wake();
        break;
    case EngineSession::Tick::nothing:
        break;
    }
    schedule(connection);
}

} // namespace cluster::app
