// The first part of an answer as it goes over the wire: pure.
#pragma once

#include "app/http/message.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::app {

/// How the body that follows is delimited, and what happens afterwards.
struct Framing {
    unsigned version = 11;                 ///< of the request: 10 or 11
    bool keep = true;                      ///< the connection goes on
    std::optional<std::uint64_t> length{}; ///< without it: chunked, in HTTP/1.0 up to the end
    std::string_view date{};
    std::string_view request_id{};

    [[nodiscard]] bool chunked() const { return !length && version >= 11; }
};

/// Whether an answer with this status never has a body (RFC 9110 sections 15.3.5, 15.4.5).
[[nodiscard]] bool has_no_body(http::status status);

/// Appends status line and headers with the empty line. What a handler has put into a header can
/// end neither it nor the head.
void append_head(std::string& out, const Response& response, const Framing& framing);

} // namespace cluster::app
