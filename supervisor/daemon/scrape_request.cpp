#include "supervisor/daemon/scrape_request.hpp"

#include "ipc/base/secret.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>

#include <fmt/format.h>

#include <cstddef>

namespace cluster::supervisor {
namespace {

namespace http = boost::beast::http;

constexpr std::uint32_t kMaxHeaderBytes = 8U << 10U;
constexpr std::string_view kPath = "/metrics";

/// What a person reads who has come here with a browser.
std::string_view text_of(int status)
{
    switch (status) {
    case 400:
        return "400 This is no HTTP request.\n";
    case 401:
        return "401 The token of this daemon is needed: Authorization: Bearer TOKEN\n";
    case 404:
        return "404 There is nothing but /metrics.\n";
    case 405:
        return "405 Only GET.\n";
    case 408:
        return "408 The request took too long to arrive.\n";
    case 431:
        return "431 The header is longer than 8 KiB.\n";
    default:
        return "";
    }
}

std::string_view reason_of(int status)
{
    return http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)));
}

} // namespace

ScrapeRequest::ScrapeRequest(std::string_view token) : token_{token}
{
    parser_.header_limit(kMaxHeaderBytes);
    parser_.skip(true); // whatever body is announced, nobody reads it
}

std::optional<ScrapeVerdict> ScrapeRequest::put(std::string_view bytes)
{
    unparsed_ += bytes;
    boost::system::error_code code;
    const std::size_t taken = parser_.put(boost::asio::buffer(unparsed_), code);
    unparsed_.erase(0, taken);
    if (parser_.is_header_done())
        return ScrapeVerdict{.status = status_of(), .chunked = parser_.get().version() >= 11};
    if (code == http::error::header_limit) return ScrapeVerdict{.status = 431};
    if (!code || code == http::error::need_more) return std::nullopt;
    return ScrapeVerdict{.status = 400};
}

/// The token first: who does not know it learns nothing.
int ScrapeRequest::status_of() const
{
    const auto& request = parser_.get();
    if (!token_.empty()) {
        const auto header = request[http::field::authorization];
        if (!is_authorized({header.data(), header.size()}, token_)) return 401;
    }
    const std::string_view target{request.target().data(), request.target().size()};
    if (target.substr(0, target.find('?')) != kPath) return 404;
    return request.method() == http::verb::get ? 200 : 405;
}

bool is_authorized(std::string_view header, std::string_view token)
{
    constexpr std::string_view kScheme = "bearer ";
    if (header.size() <= kScheme.size()) return false;
    for (std::size_t at = 0; at < kScheme.size(); ++at)
        if ((header[at] | 0x20) != kScheme[at]) return false; // of a blank that is a blank
    return ipc::equal_in_constant_time(header.substr(kScheme.size()), token);
}

std::string answer_head(const ScrapeVerdict& verdict)
{
    std::string head = fmt::format("HTTP/1.{} {} {}\r\n", verdict.chunked ? 1 : 0, verdict.status,
                                   reason_of(verdict.status));
    head += "Connection: close\r\nCache-Control: no-store\r\n";
    if (verdict.status == 200) {
        head += "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
        if (verdict.chunked) head += "Transfer-Encoding: chunked\r\n";
        return head + "\r\n";
    }
    if (verdict.status == 401) head += "WWW-Authenticate: Bearer realm=\"clusterd\"\r\n";
    if (verdict.status == 405) head += "Allow: GET\r\n";
    const std::string_view text = text_of(verdict.status);
    return head + fmt::format("Content-Type: text/plain; charset=utf-8\r\n"
                              "Content-Length: {}\r\n\r\n{}",
                              text.size(), text);
}

std::string as_chunk(std::string_view piece)
{
    if (piece.empty()) return "0\r\n\r\n";
    return fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
}

} // namespace cluster::supervisor
