// What a route gets and gives: a request whose parts are taken apart already, and a response that
// the connection sends.
#pragma once

#include "app/base/trouble.hpp"

#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/verb.hpp>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::app {

namespace http = boost::beast::http;
using json = nlohmann::ordered_json;
using std::chrono::milliseconds;

/// Names and values in the order in which they came, percent-decoded.
using Pairs = std::vector<std::pair<std::string, std::string>>;

/// The value of `name`, nullptr when it is not there.
[[nodiscard]] const std::string* find(const Pairs& pairs, std::string_view name);

/// Who calls: what a valid access token says.
struct Caller {
    std::string user_id;
    std::string token_id;       ///< `jti` of the access token
    std::string session_id;     ///< the log-in that it stems from
    std::int64_t expires_s = 0; ///< `exp`, seconds since 1970
    std::string role = "user";
    bool wrote_lately = false; ///< replicas may lack it: his reads go to the primary
};

struct Request {
    http::verb method = http::verb::get;
    std::string path;       ///< as it came, without the query
    std::string_view route; ///< the pattern that it matched: "/api/jobs/{id}"
    Pairs params;           ///< what stood in the pattern's braces
    Pairs query;
    const http::fields* headers = nullptr; ///< never null for a handler
    std::string_view body;
    std::string client;           ///< address of the client, proxies we trust left out
    std::string id;               ///< X-Request-Id of a trusted proxy, or a new one
    std::optional<Caller> caller; ///< on routes that need one: there

    /// "" when it is not there.
    [[nodiscard]] std::string_view header(http::field name) const;
    /// What stood in the braces; the router sees to it that it is there.
    [[nodiscard]] const std::string& param(std::string_view name) const;
};

struct Response {
    http::status status = http::status::ok;
    std::string body{};
    std::string content_type = "application/json";
    std::vector<std::pair<std::string, std::string>> headers{}; ///< beside those that all have
    milliseconds delay{0};                                      ///< to wait before it is sent
    std::string detail{};                                       ///< for the error log, never sent
};

/// {"success": true, "data": data}
[[nodiscard]] Response success(const json& data, http::status status = http::status::ok);

/// {"success": false, "error": {"code": "EMAIL_TAKEN", "message": "…"}}
[[nodiscard]] Response problem(http::status status, std::string_view code,
                               std::string_view message);

/// The answer when something behind us failed: by its kind 503 with Retry-After, 409 or 500. What
/// it says to a stranger has no inner details; those are for the log (`Response::detail`).
[[nodiscard]] Response problem(const ipc::Error& error);

/// The body as a JSON object, at most 64 levels deep, its texts without NUL; else the 400 (or 415)
/// to answer.
[[nodiscard]] std::expected<json, Response> json_body(const Request& request);

} // namespace cluster::app
