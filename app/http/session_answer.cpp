// The middle of a turn: what is asked, who asks, whether they may, and what the handler says.
#include "app/http/target.hpp"
#include "app/http/turn.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <exception>
#include <utility>

namespace cluster::app {
namespace {

constexpr std::size_t kMaxIdBytes = 128;

/// An id that may stand in logs and headers as it is.
bool is_request_id(std::string_view text)
{
    return !text.empty() && text.size() <= kMaxIdBytes &&
           std::ranges::all_of(text, [](unsigned char letter) {
               return std::isalnum(letter) != 0 || letter == '-' || letter == '_' ||
                      letter == '.' || letter == ':' || letter == '/' || letter == '=' ||
                      letter == '+';
           });
}

/// All X-Forwarded-For fields in their order, joined by commas.
std::string forwarded_of(const http::fields& headers)
{
    std::string joined;
    const auto [begin, end] = headers.equal_range("X-Forwarded-For");
    for (auto field = begin; field != end; ++field) {
        if (!joined.empty()) joined += ',';
        joined += text_of(field->value());
    }
    return joined;
}

std::string seconds_of(milliseconds time)
{
    return std::to_string((std::max(time.count(), milliseconds::rep{0}) + 999) / 1000);
}

Response unauthorized()
{
    Response response = problem(http::status::unauthorized, "UNAUTHORIZED",
                                "This needs an access token: Authorization: Bearer TOKEN.");
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
}

} // namespace

Response thrown(std::string what)
{
    Response response = problem(ipc::Error{});
    response.detail = std::move(what);
    return response;
}

Session::Turn::Turn(Service& shared) : service{shared}, parser{shared.limits.header_bytes}
{
    for (Observer* const observer : service.observers)
        observer->request_began();
}

Session::Turn::~Turn()
{
    tell();
}

void Session::Turn::tell()
{
    if (std::exchange(told, true)) {
        return;
    }
    const auto took = std::chrono::steady_clock::now() - began;
    const Finished finished{
        .id = request.id,
        .method = described ? text_of(header().method_string()) : "",
        .verb = described ? header().method() : http::verb::unknown,
        .path = request.path,
        .route = request.route,
        .status = status,
        .duration = std::chrono::duration_cast<std::chrono::microseconds>(took),
        .bytes = bytes,
        .client = request.client,
        .user = request.caller ? std::string_view{request.caller->user_id} : "",
        .detail = detail,
        .quiet = match.route != nullptr && match.route->rules.quiet,
        .complete = complete,
    };
    for (Observer* const observer : service.observers)
        observer->request_finished(finished);
}

/// Fills in what the header tells.
void Session::describe(Turn& turn)
{
    const auto& header = turn.header();
    const Target target = split_target(text_of(header.target()));
    Request& request = turn.request;
    request.method = header.method();
    request.path = target.path;
    request.headers = &header;
    turn.query = target.query;
    turn.match = service_.router.match(request.method, request.path);
    if (turn.match.route != nullptr) request.route = turn.match.route->pattern;
    request.params = std::move(turn.match.params);

    Client client{.address = peer_};
    if (service_.trusted.any()) client = client_of(service_.trusted, peer_, forwarded_of(header));
    request.client = std::move(client.address);
    const std::string_view given =
        client.proxied ? text_of(header["X-Request-Id"]) : std::string_view{};
    request.id = is_request_id(given) ? std::string{given} : service_.ids.next();
    turn.described = true;
}

/// Whether the caller may go on to the handler; else the answer to give.
asio::awaitable<std::optional<Response>> Session::admit(Turn& turn)
{
    const Rules& rules = turn.match.route->rules;
    const bool has_token = turn.request.headers->count(http::field::authorization) > 0;
    const bool limits = rules.limited && service_.limiter != nullptr;
    std::optional<Response> refusal;
    if (rules.caller) refusal = unauthorized();
    // Where none is needed a token still says by whom to count.
    if (has_token && service_.authenticator != nullptr && (rules.caller || limits)) {
        auto caller = co_await service_.authenticator->authenticate(turn.request);
        if (caller) {
            turn.request.caller = std::move(*caller);
            refusal.reset();
        } else if (rules.caller) {
            refusal = std::move(caller.error());
        }
    }
    if (limits) {
        auto exceeded = co_await count(turn);
        if (exceeded) co_return exceeded;
    }
    co_return refusal;
}

/// Counts the request against the caller's limit; the 429 when that is used up.
asio::awaitable<std::optional<Response>> Session::count(Turn& turn)
{
    const auto& caller = turn.request.caller;
    std::string client =
        caller ? "user:" + caller->user_id : "ip:" + rate_key_of(turn.request.client);
    const Quota quota = co_await service_.limiter->take(std::move(client));
    auto& headers = turn.extra_headers;
    headers.emplace_back("RateLimit-Limit", std::to_string(quota.limit));
    headers.emplace_back("RateLimit-Remaining", std::to_string(quota.remaining));
    headers.emplace_back("RateLimit-Reset", seconds_of(quota.reset));
    if (!service_.rate_policy.empty())
        headers.emplace_back("RateLimit-Policy", service_.rate_policy);
    if (quota.allowed) co_return std::nullopt;
    for (Observer* const observer : service_.observers)
        observer->rate_limited();
    Response response = problem(http::status::too_many_requests, "RATE_LIMITED",
                                "Too many requests; try again when the window ends.");
    response.headers.emplace_back("Retry-After",
                                  seconds_of(std::max(quota.reset, milliseconds{1})));
    co_return response;
}

namespace {

/// The answer when no handler fits.
Response unrouted(const Router::Match& match, http::verb method)
{
    if (match.what == Router::Match::What::none)
        return problem(http::status::not_found, "NOT_FOUND", "There is no such path.");
    if (method == http::verb::unknown)
        return problem(http::status::not_implemented, "UNKNOWN_METHOD", "There is no such method.");
    Response response = problem(http::status::method_not_allowed, "METHOD_NOT_ALLOWED",
                                fmt::format("This path has only {}.", match.allow));
    response.headers.emplace_back("Allow", match.allow);
    return response;
}

} // namespace

/// All that comes before the handler; the answer when that is the end of it.
asio::awaitable<std::optional<Response>> Session::prepare(Turn& turn)
{
    if (turn.match.what != Router::Match::What::found)
        co_return unrouted(turn.match, turn.request.method);
    auto query = parse_query(turn.query);
    if (!query)
        co_return problem(http::status::bad_request, "BAD_REQUEST",
                          "The query has a bad escape, or holds NUL or bytes that are no UTF-8.");
    turn.request.query = std::move(*query);
    co_return co_await admit(turn);
}

/// The answer to a request of which all is here. Nothing that a handler throws goes further.
asio::awaitable<Response> Session::respond(Turn& turn)
{
    std::string failure;
    try {
        auto refusal = co_await prepare(turn);
        if (refusal) co_return std::move(*refusal);
        co_return co_await turn.match.route->handler(turn.request);
    } catch (const std::exception& error) {
        failure = error.what();
    }
    co_return thrown(std::move(failure));
}

} // namespace cluster::app
