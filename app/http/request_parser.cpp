#include "app/http/request_parser.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>

namespace cluster::app {
namespace {

/// "0\r\n\r\n". Beast 1.81 asserts (parse_chunk_header) that a last chunk of which it has seen a
/// part comes again with at least so many bytes; no body ends with fewer.
constexpr std::size_t kLastChunkBytes = 5;

} // namespace

RequestParser::RequestParser(std::size_t header_limit) : header_limit_{header_limit}
{
    parser_.header_limit(static_cast<std::uint32_t>(header_limit));
    parser_.body_limit(boost::none); // counted by whoever reads it, because a stream has none
}

RequestParser::Step RequestParser::take_header(std::string_view bytes)
{
    Step step{.starved = true};
    if (bytes.empty()) return step;
    step.used = parser_.put(boost::asio::buffer(bytes), step.code);
    // The parser counts what it sees at once; a header that drips in would have no limit.
    header_bytes_ += step.used;
    if (header_bytes_ > header_limit_) step.code = http::error::header_limit;
    step.starved = step.code == http::error::need_more || step.used == bytes.size();
    if (step.code == http::error::need_more) step.code = {};
    return step;
}

RequestParser::Step RequestParser::take_body(std::string_view bytes, std::span<char> space)
{
    auto& body = parser_.get().body();
    body.data = space.data();
    body.size = space.size();
    Step step{.starved = true};
    if (in_chunk_head_ && bytes.size() < kLastChunkBytes) return step;
    while (!parser_.is_done() && step.used < bytes.size() && body.size == space.size()) {
        const std::string_view rest = bytes.substr(step.used);
        step.used += parser_.put(boost::asio::buffer(rest), step.code);
        if (step.code == http::error::need_buffer) step.code = {}; // the space is full
        if (step.code) break;                                      // or it is starved
    }
    step.filled = space.size() - body.size;
    in_chunk_head_ = step.code == http::error::need_more;
    step.starved = in_chunk_head_ || step.used == bytes.size();
    if (in_chunk_head_) step.code = {};
    return step;
}

std::optional<std::uint64_t> RequestParser::content_length() const
{
    const auto length = parser_.content_length();
    if (!length) return std::nullopt;
    return *length;
}

bool RequestParser::expects_continue() const
{
    return header().version() >= 11 &&
           boost::beast::iequals(header()[http::field::expect], "100-continue");
}

bool RequestParser::wants_websocket() const
{
    return parser_.upgrade() && header().version() >= 11 &&
           boost::beast::iequals(header()[http::field::upgrade], "websocket");
}

std::optional<Response> RequestParser::refusal() const
{
    const auto bad = [](std::string_view why) {
        return problem(http::status::bad_request, "BAD_REQUEST", why);
    };
    // RFC 9112 section 3.2: exactly one Host in HTTP/1.1.
    const auto hosts = header().count(http::field::host);
    if (hosts > 1 || (hosts == 0 && header().version() >= 11))
        return bad("Exactly one Host header is needed.");
    // Equal ones could be taken for one (RFC 9110 section 8.6), but nobody honest sends them.
    const auto lengths = header().count(http::field::content_length);
    if (lengths > 1 || header()[http::field::content_length].find(',') != std::string_view::npos)
        return bad("Only one Content-Length is understood.");
    if (header().count(http::field::transfer_encoding) == 0) return std::nullopt;
    // Whoever stands before us may see another end of the request (RFC 9112 section 6.1).
    if (header().version() < 11) return bad("HTTP/1.0 has no Transfer-Encoding.");
    const auto coding = header()[http::field::transfer_encoding];
    if (parser_.chunked() && boost::beast::iequals(coding, "chunked")) return std::nullopt;
    return problem(http::status::not_implemented, "UNKNOWN_CODING",
                   "The only Transfer-Encoding that is understood is chunked.");
}

} // namespace cluster::app
