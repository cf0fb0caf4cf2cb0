// JSON-RPC 2.0 (jsonrpc.org/specification) as values: text in, Request out; result or error in,
// text out. Pure. docs/protocol.md is the document for people.
#pragma once

#include <nlohmann/json.hpp>

#include <expected>
#include <string>
#include <string_view>

namespace cluster::ipc {

using nlohmann::json;

inline constexpr int kProtocolVersion = 1;

// JSON-RPC 2.0, section 5.1.
inline constexpr int kParseError = -32700;
inline constexpr int kInvalidRequest = -32600;
inline constexpr int kMethodNotFound = -32601;
inline constexpr int kInvalidParams = -32602;
inline constexpr int kInternalError = -32603;
// Ours.
inline constexpr int kFailed = -32000;
inline constexpr int kNotFound = -32001;
inline constexpr int kExists = -32002;
inline constexpr int kForbidden = -32003;
inline constexpr int kHandshake = -32004;
inline constexpr int kShuttingDown = -32005;
/// Never on the wire: the connection itself failed.
inline constexpr int kUnreachable = -32099;

struct RpcError {
    int code = kInternalError;
    std::string message;
    json data = nullptr;
};
template <class T>
using RpcResult = std::expected<T, RpcError>;

struct Request {
    json id;           ///< string, number or null
    bool reply = true; ///< false for a notification (no "id" member): nothing is answered
    std::string method;
    json params; ///< object; empty when left out
};

/// What a bad request can still be answered with: its id where one could be read.
struct BadRequest {
    RpcError error;
    json id = nullptr;
};

/// Reads one frame. Refuses nesting deeper than 64, so that no later walk over it can overflow the
/// stack. Errors: kParseError, kInvalidRequest; params that are no object: kInvalidParams.
[[nodiscard]] std::expected<Request, BadRequest> parse_request(std::string_view frame);

/// `{"jsonrpc":"2.0","id":…,"result":` — the result's text and `}\n` follow. "result" stands last,
/// so that a client may pass it on unparsed.
[[nodiscard]] std::string result_prefix(const json& id);
[[nodiscard]] std::string error_frame(const json& id, const RpcError& error);
[[nodiscard]] std::string request_frame(int id, std::string_view method, const json& params);
[[nodiscard]] std::string notification_frame(std::string_view method, const json& params);

/// "/instances must be an integer, got "many"".
[[nodiscard]] std::unexpected<RpcError> invalid_param(std::string path, std::string expected,
                                                      const json& got);

/// Compact text; bytes that are not UTF-8 become U+FFFD instead of an exception.
[[nodiscard]] std::string dump(const json& value);

/// Appends `text` as a JSON string, without a value in between; the same about bytes.
void append_json(std::string& out, std::string_view text);

} // namespace cluster::ipc
