// Which handler answers which request: a table of method, pattern and handler, filled once at start
// by each role ("/api/jobs/{id}"). Patterns double as the labels of the metrics and as the paths of
// the OpenAPI description, so their number is fixed and no stranger can add to it.
#pragma once

#include "app/http/message.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

namespace asio = boost::asio;

/// Lives at least as long as the server. The request stays where it is until the handler is done.
using Handler = std::function<asio::awaitable<Response>(Request& request)>;

/// The two ends of one request that does not fit in memory: a body that is read piece by piece, an
/// answer that is written so. Every wait in it has the connection's limits.
class Exchange {
public:
    virtual ~Exchange() = default;
    /// The next bytes of the body, at most `space`; 0 at its end. Errors: unavailable when the
    /// client went away or took too long.
    virtual asio::awaitable<Result<std::size_t>> read_some(std::span<char> space) = 0;
    /// Sends status and headers; `length` is what follows (without it: chunked). `head.body` counts
    /// not.
    virtual asio::awaitable<Result<void>> begin(Response head,
                                                std::optional<std::uint64_t> length) = 0;
    /// Waits until the socket has taken it: a slow client slows the handler.
    virtual asio::awaitable<Result<void>> write(std::string_view bytes) = 0;
};

/// Answers by `exchange`, or (before `begin`) by returning a response. After `begin` what it
/// returns is dropped; an answer that is shorter than announced ends the connection.
using StreamHandler =
    std::function<asio::awaitable<std::optional<Response>>(Request& request, Exchange& exchange)>;

using StreamSocket = asio::generic::stream_protocol::socket;

/// Takes the connection over (WebSocket): runs until it has ended; the limits are its own then.
/// When the server drains, it is told by the hook it has given to the server (see server.hpp).
using UpgradeHandler = std::function<asio::awaitable<void>(
    Request& request, StreamSocket& socket, http::request<http::string_body> upgrade)>;

/// What the connection sees to before the handler runs.
struct Rules {
    bool caller = false; ///< needs a valid access token: else 401
    bool limited = true; ///< counts against the rate limit
    bool quiet = false;  ///< a probe: in the access log only when it failed
};

struct Route {
    http::verb method;
    std::string pattern;
    Handler handler{}; ///< the usual form: the whole body in memory (at most MAX_BODY_BYTES)
    Rules rules{};
    StreamHandler stream{};   ///< instead of `handler`
    UpgradeHandler upgrade{}; ///< beside `handler`: for requests that ask for `Upgrade: websocket`
};

class Router {
public:
    void add(Route route);

    /// `none`: no such path. `wrong_method`: the path is there; `allow` is what it has ("GET,
    /// HEAD").
    struct Match {
        enum class What { found, none, wrong_method };
        What what = What::none;
        const Route* route = nullptr;
        Pairs params{};
        std::string allow{};
    };
    /// HEAD is routed like GET. Segments are compared before they are decoded, so that %2F in a
    /// parameter makes no new segment.
    [[nodiscard]] Match match(http::verb method, std::string_view path) const;

    [[nodiscard]] const std::vector<Route>& routes() const { return routes_; }

private:
    std::vector<Route> routes_;
};

} // namespace cluster::app
