#include "app/http/head.hpp"

#include "ipc/base/version.hpp"

#include <boost/beast/core/string.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace cluster::app {
namespace {

void append(std::string& out, std::string_view name, std::string_view value)
{
    out += name;
    out += ": ";
    const std::size_t begin = out.size();
    out += value;
    std::replace_if(
        out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(),
        [](unsigned char letter) { return letter < 0x20 || letter == 0x7F; }, ' ');
    out += "\r\n";
}

bool has(const Response& response, std::string_view name)
{
    return std::ranges::any_of(response.headers, [name](const auto& header) {
        return boost::beast::iequals(header.first, name);
    });
}

} // namespace

bool has_no_body(http::status status)
{
    return status == http::status::no_content || status == http::status::not_modified;
}

void append_head(std::string& out, const Response& response, const Framing& framing)
{
    const bool bodiless = has_no_body(response.status);
    const auto reason = http::obsolete_reason(response.status);
    fmt::format_to(std::back_inserter(out), "HTTP/1.{} {} {}\r\nServer: clusterapp/{}\r\n",
                   framing.version == 10 ? 0 : 1, static_cast<unsigned>(response.status),
                   std::string_view{reason.data(), reason.size()}, ipc::version());
    append(out, "Date", framing.date);
    if (!bodiless && !response.content_type.empty())
        append(out, "Content-Type", response.content_type);
    if (!has(response, "Cache-Control")) append(out, "Cache-Control", "no-store");
    if (!has(response, "X-Content-Type-Options")) append(out, "X-Content-Type-Options", "nosniff");
    if (!framing.request_id.empty()) append(out, "X-Request-Id", framing.request_id);
    for (const auto& [name, value] : response.headers)
        append(out, name, value);
    if (bodiless) {
        // The end of the head is the end of the answer (RFC 9112 section 6.3).
    } else if (framing.length) {
        fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", *framing.length);
    } else if (framing.chunked()) {
        out += "Transfer-Encoding: chunked\r\n";
    }
    if (!framing.keep)
        out += "Connection: close\r\n";
    else if (framing.version == 10)
        out += "Connection: keep-alive\r\n";
    out += "\r\n";
}

} // namespace cluster::app
