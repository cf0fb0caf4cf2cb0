#include "ipc/wire/rpc.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::ipc {
namespace {

constexpr int kMaxDepth = 64;

/// Depth of [] and {} outside strings, without parsing.
bool too_deep(std::string_view text)
{
    int depth = 0;
    bool quoted = false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (quoted) {
            if (c == '\\') ++at;
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > kMaxDepth) return true;
        } else if (c == ']' || c == '}') {
            --depth;
        }
    }
    return false;
}

std::unexpected<BadRequest> bad(int code, std::string message, json id = nullptr)
{
    return std::unexpected(
        BadRequest{.error = {.code = code, .message = std::move(message), .data = nullptr},
                   .id = std::move(id)});
}

/// The library's text without its own exception number: "[json.exception.parse_error.101] parse…".
std::string parse_message(const json::exception& error)
{
    const std::string_view text = error.what();
    const auto end = text.find("] ");
    return std::string{end == std::string_view::npos ? text : text.substr(end + 2)};
}

} // namespace

std::string dump(const json& value)
{
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

void append_json(std::string& out, std::string_view text)
{
    const bool plain = std::ranges::all_of(
        text, [](char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; });
    if (!plain) {
        out += dump(json(std::string{text}));
        return;
    }
    out += '"';
    out += text;
    out += '"';
}

std::expected<Request, BadRequest> parse_request(std::string_view frame)
{
    if (too_deep(frame)) return bad(kInvalidRequest, "nested deeper than 64 levels");
    json message;
    try {
        message = json::parse(frame);
    } catch (const json::exception& error) {
        return bad(kParseError, "not JSON: " + parse_message(error));
    }
    if (message.is_array()) return bad(kInvalidRequest, "batches are not supported");
    if (!message.is_object()) return bad(kInvalidRequest, "a request is an object");

    Request request;
    const auto id = message.find("id");
    request.reply = id != message.end();
    if (request.reply) {
        if (!id->is_string() && !id->is_number() && !id->is_null())
            return bad(kInvalidRequest, "id must be a string, a number or null");
        request.id = *id;
    }
    if (message.value("jsonrpc", json{}) != "2.0")
        return bad(kInvalidRequest, R"(jsonrpc must be "2.0")", request.id);
    const auto method = message.find("method");
    if (method == message.end() || !method->is_string())
        return bad(kInvalidRequest, "method must be a string", request.id);
    request.method = method->get<std::string>();
    request.params = json::object();
    if (const auto params = message.find("params"); params != message.end()) {
        if (!params->is_object())
            return bad(kInvalidParams, "params must be an object", request.id);
        request.params = std::move(*params);
    }
    return request;
}

std::string result_prefix(const json& id)
{
    return fmt::format(R"({{"jsonrpc":"2.0","id":{},"result":)", dump(id));
}

std::string error_frame(const json& id, const RpcError& error)
{
    json body = {{"code", error.code}, {"message", error.message}};
    if (!error.data.is_null()) body["data"] = error.data;
    return fmt::format("{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{}}}\n", dump(id), dump(body));
}

std::string request_frame(int id, std::string_view method, const json& params)
{
    return fmt::format("{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"{}\",\"params\":{}}}\n", id,
                       method, dump(params));
}

std::string notification_frame(std::string_view method, const json& params)
{
    return fmt::format("{{\"jsonrpc\":\"2.0\",\"method\":\"{}\",\"params\":{}}}\n", method,
                       dump(params));
}

std::unexpected<RpcError> invalid_param(std::string path, std::string expected, const json& got)
{
    std::string shown = got.is_null() ? "nothing" : dump(got);
    if (shown.size() > 120) shown = shown.substr(0, 117) + "...";
    return std::unexpected(
        RpcError{.code = kInvalidParams,
                 .message = fmt::format("{} must be {}, got {}", path, expected, shown),
                 .data = {{"path", path}, {"expected", expected}}});
}

} // namespace cluster::ipc
