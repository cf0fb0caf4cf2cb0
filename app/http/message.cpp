#include "app/http/message.hpp"

#include <boost/beast/core/string.hpp>

#include <algorithm>

namespace cluster::app {
namespace {

/// Deeper than any document of ours, and far from what the stack of a recursive reader holds.
constexpr int kMaxDepth = 64;

/// `replace`: dump() throws on a string that is not UTF-8, and much of this is a stranger's.
std::string text_of(const json& value)
{
    return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

/// How deep the brackets of a JSON text go; looks at nothing else, so it may be no JSON at all.
int depth_of(std::string_view text)
{
    int depth = 0;
    int deepest = 0;
    bool quoted = false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char letter = text[at];
        if (quoted && letter == '\\') ++at;
        if (letter == '"') quoted = !quoted;
        if (quoted) continue;
        if (letter == '{' || letter == '[') deepest = std::max(deepest, ++depth);
        if (letter == '}' || letter == ']') --depth;
    }
    return deepest;
}

bool has_nul(const json& value)
{
    if (value.is_string()) return value.get_ref<const std::string&>().contains('\0');
    if (!value.is_structured()) return false;
    return std::ranges::any_of(value.items(), [](const auto& item) {
        return item.key().contains('\0') || has_nul(item.value());
    });
}

/// "application/json", "application/merge-patch+json"; parameters do not matter.
bool is_json(std::string_view content_type)
{
    std::string_view type = content_type.substr(0, content_type.find(';'));
    while (type.ends_with(' ') || type.ends_with('\t'))
        type.remove_suffix(1);
    const auto ends_with = [type](std::string_view end) {
        return type.size() >= end.size() &&
               boost::beast::iequals(type.substr(type.size() - end.size()), end);
    };
    return boost::beast::iequals(type, "application/json") || ends_with("+json");
}

Response retry_later(std::string_view code, std::string_view message)
{
    Response response = problem(http::status::service_unavailable, code, message);
    response.headers.emplace_back("Retry-After", "1");
    return response;
}

Response problem_of(Trouble kind)
{
    switch (kind) {
    case Trouble::unavailable:
        return retry_later("UNAVAILABLE", "A server behind this one is away; try again.");
    case Trouble::unknown_outcome:
        return retry_later("UNKNOWN_OUTCOME",
                           "The connection to a server behind this one broke in the middle; it may "
                           "have been done. Look before you try again.");
    case Trouble::overloaded:
        return retry_later("OVERLOADED", "Too much is waiting already; try again.");
    case Trouble::conflict:
        return problem(http::status::conflict, "CONFLICT",
                       "It exists already, or others change it at the same time.");
    case Trouble::refused:
        break;
    }
    return problem(http::status::internal_server_error, "INTERNAL",
                   "Something went wrong on the server; its log has the details.");
}

} // namespace

const std::string* find(const Pairs& pairs, std::string_view name)
{
    const auto found = std::ranges::find(pairs, name, &Pairs::value_type::first);
    return found == pairs.end() ? nullptr : &found->second;
}

std::string_view Request::header(http::field name) const
{
    const auto value = (*headers)[name];
    return {value.data(), value.size()};
}

const std::string& Request::param(std::string_view name) const
{
    static const std::string kNone;
    const std::string* const value = find(params, name);
    return value == nullptr ? kNone : *value;
}

Response success(const json& data, http::status status)
{
    return {.status = status, .body = text_of({{"success", true}, {"data", data}})};
}

Response problem(http::status status, std::string_view code, std::string_view message)
{
    return {.status = status,
            .body =
                text_of({{"success", false}, {"error", {{"code", code}, {"message", message}}}})};
}

Response problem(const ipc::Error& error)
{
    Response response = problem_of(kind_of(error));
    response.detail = error.text();
    return response;
}

std::expected<json, Response> json_body(const Request& request)
{
    const std::string_view type = request.header(http::field::content_type);
    const auto refuse = [](http::status status, std::string_view code, std::string_view why) {
        return std::unexpected(problem(status, code, why));
    };
    if (!type.empty() && !is_json(type))
        return refuse(http::status::unsupported_media_type, "UNSUPPORTED_MEDIA_TYPE",
                      "The body must be application/json.");
    constexpr auto kBad = http::status::bad_request;
    if (depth_of(request.body) > kMaxDepth)
        return refuse(kBad, "BAD_JSON", "The body is nested deeper than 64 levels.");
    json body = json::parse(request.body, nullptr, false);
    if (body.is_discarded()) return refuse(kBad, "BAD_JSON", "The body is not valid JSON.");
    if (!body.is_object()) return refuse(kBad, "BAD_JSON", "The body must be a JSON object.");
    // No database of ours can hold it in a text.
    if (has_nul(body)) return refuse(kBad, "BAD_JSON", "The body holds a NUL character.");
    return body;
}

} // namespace cluster::app
