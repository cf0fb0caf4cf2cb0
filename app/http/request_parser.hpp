// Bytes of a connection into one request, with limits: pure, no socket. Bytes may come in pieces of
// any size; what a piece holds beyond the request is left for the next one.
#pragma once

#include "app/http/message.hpp"

#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace cluster::app {

class RequestParser {
public:
    using ErrorCode = boost::system::error_code;
    using Header = http::request<http::buffer_body>;

    explicit RequestParser(std::size_t header_limit);

    /// What became of a piece.
    struct Step {
        std::size_t used = 0;   ///< bytes of the piece that are not needed any more
        std::size_t filled = 0; ///< bytes of the body that were put into the space
        bool starved = false;   ///< it can only go on with more bytes than these
        ErrorCode code{};       ///< the request is no request
    };
    /// Until `has_header`. Errors: header_limit, and those of bad syntax (http::error).
    [[nodiscard]] Step take_header(std::string_view bytes);
    /// Then, until `is_done`. `space` must not be empty.
    [[nodiscard]] Step take_body(std::string_view bytes, std::span<char> space);

    [[nodiscard]] bool has_header() const { return parser_.is_header_done(); }
    [[nodiscard]] bool is_done() const { return parser_.is_done(); }
    [[nodiscard]] const Header& header() const { return parser_.get(); }
    /// What the header announces; nullopt for chunks.
    [[nodiscard]] std::optional<std::uint64_t> content_length() const;
    /// Whether the client wants the connection to go on.
    [[nodiscard]] bool keep_alive() const { return parser_.keep_alive(); }
    /// To WebSocket (RFC 6455 section 4.1); any other protocol is one that we may ignore.
    [[nodiscard]] bool wants_websocket() const;
    /// Whether the client waits for "100 Continue" (RFC 9110 section 10.1.1).
    [[nodiscard]] bool expects_continue() const;
    /// Why a header that is well formed cannot be taken; nullopt when it can.
    [[nodiscard]] std::optional<Response> refusal() const;

private:
    http::request_parser<http::buffer_body> parser_;
    std::size_t header_limit_;
    std::size_t header_bytes_ = 0;
    bool in_chunk_head_ = false; ///< its first part was seen
};

} // namespace cluster::app
