#include "app/events/engine_rules.hpp"

#include <algorithm>

namespace cluster::app {

std::string_view text_of(EngineFault fault)
{
    switch (fault) {
    case EngineFault::unknown_transport:
        return "EngineTransport unknown";
    case EngineFault::unknown_sid:
        return "Session ID unknown";
    case EngineFault::bad_handshake_method:
        return "Bad handshake method";
    case EngineFault::bad_request:
        return "Bad request";
    case EngineFault::forbidden:
        return "Forbidden";
    case EngineFault::unsupported_version:
        return "Unsupported protocol version";
    }
    return "?";
}

Response answer_of(EngineFault fault)
{
    const json body = {{"code", static_cast<int>(fault)}, {"message", text_of(fault)}};
    const bool forbidden = fault == EngineFault::forbidden;
    Response response;
    response.status = forbidden ? http::status::forbidden : http::status::bad_request;
    response.body = body.dump();
    return response;
}

std::optional<EngineFault> fault_of(const Request& request, bool upgrade)
{
    const std::string* const transport = find(request.query, "transport");
    const bool websocket = transport != nullptr && *transport == "websocket";
    if (!websocket && (transport == nullptr || *transport != "polling"))
        return EngineFault::unknown_transport;
    const std::string* const sid = find(request.query, "sid");
    const bool known = sid != nullptr && !sid->empty();
    if (!known && request.method != http::verb::get) return EngineFault::bad_handshake_method;
    if (websocket != upgrade) return EngineFault::bad_request;
    const std::string* const version = find(request.query, "EIO");
    if (version == nullptr || *version != "4")
        return known ? EngineFault::bad_request : EngineFault::unsupported_version;
    return std::nullopt;
}

void add_cors(Response& response, const Request& request, const EventsOptions& options)
{
    if (options.origins.empty()) return;
    if (options.origins.front() == "*") {
        response.headers.emplace_back("Access-Control-Allow-Origin", "*");
        return;
    }
    // Caches must know that the answer differs, also when this origin gets none.
    response.headers.emplace_back("Vary", "Origin");
    const std::string origin{request.header(http::field::origin)};
    if (std::ranges::find(options.origins, origin) == options.origins.end()) return;
    response.headers.emplace_back("Access-Control-Allow-Origin", origin);
    response.headers.emplace_back("Access-Control-Allow-Credentials", "true");
}

} // namespace cluster::app
