// A server of the app's HTTP core with routes of its own, for what the product's routes do not
// show: streams, connections that are handed over, callers, limits, handlers that throw. Settings
// are those of clusterapp; LIMIT is what the rate limiter lets through per client.
#include "app/base/line_log.hpp"
#include "app/http/listener.hpp"
#include "app/http/request_log.hpp"
#include "app/http/server.hpp"
#include "ipc/base/text.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <map>
#include <set>
#include <stdexcept>

namespace {

using namespace cluster;
using namespace cluster::app;
namespace websocket = boost::beast::websocket;

/// "Bearer NAME" is the user NAME, "Bearer away" cannot be looked up, anything else is refused.
class ByName final : public Authenticator {
public:
    asio::awaitable<std::expected<Caller, Response>> authenticate(const Request& request) override
    {
        const std::string_view token = request.header(http::field::authorization);
        if (token == "Bearer away")
            co_return std::unexpected(
                problem(trouble(Trouble::unavailable, "nobody knows").error()));
        if (!token.starts_with("Bearer user-"))
            co_return std::unexpected(
                problem(http::status::unauthorized, "TOKEN_INVALID", "Not one of ours."));
        co_return Caller{.user_id{token.substr(7)}, .token_id{}, .session_id{}};
    }
};

class Counting final : public RateLimiter {
public:
    explicit Counting(int limit) : limit_{limit} {}
    asio::awaitable<Quota> take(std::string client) override
    {
        const int used = ++used_[client];
        co_return Quota{.allowed = used <= limit_,
                        .limit = limit_,
                        .remaining = std::max(0, limit_ - used),
                        .reset = milliseconds{1500}};
    }
    [[nodiscard]] std::string_view form() const override { return "test"; }

private:
    int limit_;
    std::map<std::string, int> used_;
};

std::size_t size_of(const Request& request, std::string_view name)
{
    const std::string* const text = find(request.query, name);
    return text == nullptr ? 0 : ipc::parse_number<std::size_t>(*text).value_or(0);
}

asio::awaitable<Response> show(Request& request)
{
    json params = json::object();
    for (const auto& [name, value] : request.params)
        params[name] = value;
    json query = json::array();
    for (const auto& [name, value] : request.query)
        query.push_back({name, value});
    co_return success({{"path", request.path},
                       {"route", request.route},
                       {"params", params},
                       {"query", query},
                       {"client", request.client},
                       {"id", request.id},
                       {"user", request.caller ? json(request.caller->user_id) : json(nullptr)},
                       {"body", request.body.size()}});
}

asio::awaitable<Response> echo_json(Request& request)
{
    const auto body = json_body(request);
    if (!body) co_return body.error();
    co_return success(*body);
}

asio::awaitable<Response> fail(Request& request)
{
    if (size_of(request, "throw") == 1) throw std::runtime_error{"a secret detail"};
    co_return problem(trouble(Trouble::unavailable, "10.0.0.1:5432 is away").error());
}

asio::awaitable<Response> inject(Request&)
{
    Response response = success(nullptr);
    response.headers.emplace_back("X-Name", "a\r\nSet-Cookie: stolen=1\r\n\r\n<html>");
    co_return response;
}

/// Sends the body back, as it comes.
asio::awaitable<std::optional<Response>> echo(Request&, Exchange& exchange)
{
    Response head;
    head.content_type = "application/octet-stream";
    auto outcome = co_await exchange.begin(std::move(head), std::nullopt);
    std::array<char, 4096> space;
    while (outcome) {
        const auto size = co_await exchange.read_some(space);
        if (!size || *size == 0) break;
        outcome = co_await exchange.write({space.data(), *size});
    }
    co_return std::nullopt;
}

/// `bytes` bytes, `announced` as so many, or in chunks when that is 0; throws after `until`.
asio::awaitable<std::optional<Response>> produce(Request& request, Exchange& exchange)
{
    const std::size_t announced = size_of(request, "announced");
    const std::size_t until = size_of(request, "until");
    const std::string piece(64U << 10U, 'x');
    Response head;
    head.content_type = "application/octet-stream";
    const auto length = announced == 0 ? std::nullopt : std::optional<std::uint64_t>{announced};
    auto outcome = co_await exchange.begin(std::move(head), length);
    std::size_t left = size_of(request, "bytes");
    std::size_t sent = 0;
    while (outcome && left > 0) {
        const std::size_t size = std::min(left, piece.size());
        outcome = co_await exchange.write(std::string_view{piece}.substr(0, size));
        left -= size;
        sent += size;
        if (until > 0 && sent >= until) throw std::runtime_error{"in the middle"};
    }
    if (!outcome) co_return problem(outcome.error());
    co_return std::nullopt;
}

/// Counts the body without keeping it; refuses one that is announced as larger than 100 MB.
asio::awaitable<std::optional<Response>> swallow(Request& request, Exchange& exchange)
{
    const auto announced =
        ipc::parse_number<std::size_t>(request.header(http::field::content_length));
    if (announced > 100'000'000)
        co_return problem(http::status::payload_too_large, "TOO_LARGE", "At most 100 MB.");
    std::size_t total = 0;
    std::array<char, 65536> space;
    while (true) {
        const auto size = co_await exchange.read_some(space);
        if (!size) co_return problem(size.error());
        if (*size == 0) break;
        total += *size;
    }
    co_return success({{"bytes", total}});
}

using Socket = websocket::stream<StreamSocket&>;
std::set<StreamSocket*> open_sockets; ///< told at the draining

/// Echoes messages; "bye" from the server when it drains.
asio::awaitable<void> talk(Request& request, StreamSocket& socket,
                           http::request<http::string_body> upgrade)
{
    Socket stream{socket};
    const std::string hello = "hello " + (request.caller ? request.caller->user_id : "nobody");
    auto accepting = stream.async_accept(upgrade, asio::use_awaitable);
    co_await std::move(accepting);
    open_sockets.insert(&socket);
    std::string failure;
    try {
        const auto bytes = asio::buffer(hello);
        co_await stream.async_write(bytes, asio::use_awaitable);
        boost::beast::flat_buffer message;
        while (true) {
            co_await stream.async_read(message, asio::use_awaitable);
            co_await stream.async_write(message.data(), asio::use_awaitable);
            message.consume(message.size());
        }
    } catch (const boost::system::system_error&) {
        failure = "ended";
    }
    open_sockets.erase(&socket);
}

void add_routes(Router& router)
{
    const auto get = http::verb::get;
    const auto post = http::verb::post;
    const Rules free{.limited = false};
    router.add({.method = get, .pattern = "/show", .handler = show, .rules = free});
    router.add({.method = post, .pattern = "/show", .handler = show, .rules = free});
    router.add({.method = get, .pattern = "/show/{name}", .handler = show, .rules = free});
    router.add({.method = get, .pattern = "/limited", .handler = show});
    router.add({.method = get, .pattern = "/me", .handler = show, .rules = {.caller = true}});
    router.add({.method = post, .pattern = "/json", .handler = echo_json, .rules = free});
    router.add({.method = get, .pattern = "/fail", .handler = fail, .rules = free});
    router.add({.method = get, .pattern = "/inject", .handler = inject, .rules = free});
    router.add({.method = post, .pattern = "/echo", .rules = free, .stream = echo});
    router.add({.method = get, .pattern = "/produce", .rules = free, .stream = produce});
    router.add({.method = post, .pattern = "/swallow", .rules = free, .stream = swallow});
    router.add({.method = post,
                .pattern = "/swallow/mine",
                .rules = {.caller = true, .limited = false},
                .stream = swallow});
    router.add(
        {.method = get, .pattern = "/talk", .handler = show, .rules = free, .upgrade = talk});
}

} // namespace

int main()
{
    std::signal(SIGPIPE, SIG_IGN);
    const ipc::SystemClock clock;
    LineSink out{STDOUT_FILENO};
    LineSink err{STDERR_FILENO};
    LineLog log{clock, LogLevel::debug, LogFormat::json, out, err};
    Environment environment{read_environment(environ)};
    const HttpOptions options = read_http_options(environment, ::getpid());
    for (const auto& fault : environment.faults())
        log.error(fault);
    const int limit = environment.number("LIMIT", 3, 0, 1'000'000);

    Router router;
    add_routes(router);
    ByName names;
    Counting counting{limit};
    RequestLog requests{clock, log, out, LogFormat::json, true};
    Service service{.clock = clock,
                    .router = router,
                    .log = log,
                    .limits = options.limits,
                    .trusted = options.trusted,
                    .limiter = &counting,
                    .authenticator = &names,
                    .rate_policy = "3;w=2",
                    .observers = {&requests}};
    asio::io_context io{1};
    asio::signal_set signals{io, SIGTERM};
    auto bound = bind_listener(options.host, options.port);
    if (!bound) return EXIT_FAILURE;
    std::vector<ListeningSocket> sockets;
    sockets.push_back(std::move(*bound));
    Server server{io, service, std::move(sockets), [] {}};
    server.on_drain([] {
        for (StreamSocket* const socket : open_sockets)
            socket->shutdown(asio::socket_base::shutdown_both);
    });
    signals.async_wait([&](const boost::system::error_code&, int) { server.drain(); });
    for (const std::string& label : server.labels())
        log.info("listening on " + label);
    server.start();
    io.run();
    return server.dropped() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
