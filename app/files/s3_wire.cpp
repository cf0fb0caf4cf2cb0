#include "app/files/s3_wire.hpp"

#include "ipc/base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>

namespace cluster::app {
namespace {

constexpr std::size_t kPartsPerSize = 1000;

/// "%C3%A4" back into bytes; what is no escape stays.
std::string percent_decode(std::string_view text)
{
    std::string result;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const auto value = text[at] == '%' ? ipc::parse_number<unsigned>(text.substr(at + 1, 2), 16)
                                           : std::nullopt;
        if (value && at + 2 < text.size()) {
            result += static_cast<char>(*value);
            at += 2;
        } else {
            result += text[at];
        }
    }
    return result;
}

std::string without_entities(std::string_view text)
{
    constexpr std::array<std::pair<std::string_view, char>, 5> kEntities{
        {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}}};
    std::string result;
    while (!text.empty()) {
        const auto* const found = std::ranges::find_if(
            kEntities, [&](const auto& entity) { return text.starts_with(entity.first); });
        result += found == kEntities.end() ? text.front() : found->second;
        text.remove_prefix(found == kEntities.end() ? 1 : found->first.size());
    }
    return result;
}

/// "Sun, 06 Nov 1994 08:49:37 GMT" in milliseconds since 1970; 0 for what is none.
std::int64_t http_date_ms(const std::string& text)
{
    std::tm parts{};
    if (::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr) return 0;
    return static_cast<std::int64_t>(::timegm(&parts)) * 1000;
}

} // namespace

std::string S3Answer::header(std::string_view name) const
{
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
}

S3Request object_request(const S3Options& options, std::string method, std::string_view key)
{
    const std::string object = percent_encode(options.prefix + std::string{key}, true);
    if (options.path_style)
        return {.method = std::move(method),
                .host = options.host,
                .path = "/" + options.bucket + "/" + object};
    return {.method = std::move(method),
            .host = options.bucket + "." + options.host,
            .path = "/" + object};
}

std::string address_of(const S3Options& options, const S3Request& request, std::string_view query)
{
    return fmt::format("{}://{}{}{}{}", options.scheme, request.host, request.path,
                       query.empty() ? "" : "?", query);
}

std::string xml_text(std::string_view body, std::string_view name)
{
    const std::string open = fmt::format("<{}>", name);
    const std::size_t begin = body.find(open);
    if (begin == std::string_view::npos) return "";
    body.remove_prefix(begin + open.size());
    const std::size_t end = body.find('<');
    if (end == std::string_view::npos) return "";
    return without_entities(body.substr(0, end));
}

std::string complete_body(const std::vector<std::string>& tags)
{
    std::string text = "<CompleteMultipartUpload>";
    for (std::size_t i = 0; i < tags.size(); ++i) {
        std::string tag;
        for (const char letter : tags[i])
            tag += letter == '"'   ? "&quot;"
                   : letter == '&' ? "&amp;"
                   : letter == '<' ? "&lt;"
                                   : std::string(1, letter);
        text += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", i + 1, tag);
    }
    return text + "</CompleteMultipartUpload>";
}

S3Fields describe(const NewFile& file)
{
    // Encoded: a header holds no UTF-8.
    return {{"content-type", file.content_type},
            {"x-amz-meta-name", percent_encode(file.name)},
            {"x-amz-meta-owner", percent_encode(file.owner)}};
}

FileInfo read_info(const std::string& key, const S3Answer& answer)
{
    std::string tag = answer.header("etag");
    std::erase(tag, '"');
    return {.key = key,
            .name = percent_decode(answer.header("x-amz-meta-name")),
            .content_type = answer.header("content-type"),
            .owner = percent_decode(answer.header("x-amz-meta-owner")),
            .size = ipc::parse_number<std::uint64_t>(answer.header("content-length")).value_or(0),
            .tag = std::move(tag),
            .changed_ms = http_date_ms(answer.header("last-modified"))};
}

bool is_passing(const S3Answer& answer)
{
    return answer.status >= 500 || answer.status == 429 || answer.status == 408;
}

std::unexpected<ipc::Error> failure_of(const S3Answer& answer, std::string_view what)
{
    const std::string code = xml_text(answer.body, "Code");
    const std::string message = xml_text(answer.body, "Message");
    return trouble(is_passing(answer) ? Trouble::unavailable : Trouble::refused,
                   fmt::format("s3: {}: status {}{}{}{}{}", what, answer.status,
                               code.empty() ? "" : " ", code, message.empty() ? "" : ", ",
                               message));
}

std::uint64_t part_size(std::uint64_t base, std::size_t sent)
{
    return base << std::min<std::size_t>(sent / kPartsPerSize, 6U);
}

std::string content_disposition(std::string_view kind, std::string_view name)
{
    // What is no plain letter is told in the second form alone; that one every browser prefers.
    std::string plain;
    for (const char letter : name) {
        const bool safe = letter >= ' ' && letter < 0x7F && letter != '"' && letter != '\\' &&
                          letter != '/' && letter != '%';
        plain += safe ? letter : '_';
    }
    if (name.empty()) return std::string{kind};
    return fmt::format("{}; filename=\"{}\"; filename*=UTF-8''{}", kind, plain,
                       percent_encode(name));
}

} // namespace cluster::app
