// The one question that the metrics listener answers, as HTTP: bytes in, a verdict out. Pure.
#pragma once

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace cluster::supervisor {

/// What is to be answered.
struct ScrapeVerdict {
    int status = 200;
    bool chunked = false; ///< HTTP/1.1: an answer that is cut off is seen to be
};

class ScrapeRequest {
public:
    /// `token`: what the client has to know; "" nothing.
    explicit ScrapeRequest(std::string_view token);
    /// More of what the client has sent; once there is a verdict the rest does not matter. A header
    /// of more than 8 KiB is refused.
    std::optional<ScrapeVerdict> put(std::string_view bytes);

private:
    [[nodiscard]] int status_of() const;

    std::string token_;
    std::string unparsed_;
    boost::beast::http::request_parser<boost::beast::http::empty_body> parser_;
};

/// Whether an Authorization header names the token; takes the same time wherever they differ.
[[nodiscard]] bool is_authorized(std::string_view header, std::string_view token);

/// Status line, headers and the blank line; of a refusal the text for a person as well.
[[nodiscard]] std::string answer_head(const ScrapeVerdict& verdict);

/// `piece` as one chunk (RFC 9112 section 7.1); the empty one ends the answer.
[[nodiscard]] std::string as_chunk(std::string_view piece);

} // namespace cluster::supervisor
