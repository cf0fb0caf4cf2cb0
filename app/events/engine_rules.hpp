// What Engine.IO answers to a request by its query alone. Pure.
#pragma once

#include "app/events/events_options.hpp"
#include "app/http/message.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace cluster::app {

/// The errors that the official client knows, with their numbers.
enum class EngineFault {
    unknown_transport = 0,
    unknown_sid = 1,
    bad_handshake_method = 2,
    bad_request = 3,
    forbidden = 4,
    unsupported_version = 5,
};

[[nodiscard]] std::string_view text_of(EngineFault fault);

/// 400 with {"code": 1, "message": "Session ID unknown"}.
[[nodiscard]] Response answer_of(EngineFault fault);

/// What is wrong with method, version and transport, before any session is looked up.
[[nodiscard]] std::optional<EngineFault> fault_of(const Request& request, bool upgrade);

/// Access-Control-Allow-Origin and what belongs to it, when the request comes from an origin that
/// is allowed.
void add_cors(Response& response, const Request& request, const EventsOptions& options);

} // namespace cluster::app
