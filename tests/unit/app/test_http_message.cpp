#include "app/http/head.hpp"
#include "app/http/message.hpp"
#include "app/http/request_log.hpp"
#include "app/http/service.hpp"

#include <doctest/doctest.h>

using namespace cluster::app;
using namespace std::chrono_literals;

namespace {

Request request_of(http::fields& fields, std::string_view body, std::string_view type)
{
    if (!type.empty()) fields.set(http::field::content_type, {type.data(), type.size()});
    Request request;
    request.headers = &fields;
    request.body = body;
    return request;
}

std::string code_of(const Response& response)
{
    return json::parse(response.body)["error"]["code"];
}

} // namespace

TEST_CASE("message: the envelope of a success and of a problem")
{
    CHECK(success({{"a", 1}}).body == "{\"success\":true,\"data\":{\"a\":1}}\n");
    const Response response = problem(http::status::conflict, "TAKEN", "It is taken.");
    CHECK(response.status == http::status::conflict);
    CHECK(response.body ==
          "{\"success\":false,\"error\":{\"code\":\"TAKEN\",\"message\":\"It is taken.\"}}\n");
    CHECK(json::accept(success("\xff").body)); // bytes that are no UTF-8 do not throw
}

TEST_CASE("message: what failed behind us becomes a status, its details stay inside")
{
    const struct {
        Trouble kind;
        http::status status;
        bool retry;
    } rows[] = {
        {Trouble::unavailable, http::status::service_unavailable, true},
        {Trouble::unknown_outcome, http::status::service_unavailable, true},
        {Trouble::overloaded, http::status::service_unavailable, true},
        {Trouble::conflict, http::status::conflict, false},
        {Trouble::refused, http::status::internal_server_error, false},
    };
    for (const auto& row : rows) {
        const Response response = problem(trouble(row.kind, "password=x").error());
        CHECK(response.status == row.status);
        CHECK(response.headers.empty() != row.retry);
        CHECK(response.body.find("password") == std::string::npos);
        CHECK(response.detail.find("password") != std::string::npos);
    }
    CHECK(problem(cluster::ipc::Error{.code = {}, .what = "x"}).status ==
          http::status::internal_server_error);
}

TEST_CASE("message: a JSON body is an object of a known type, not too deep and without NUL")
{
    const struct {
        std::string body;
        const char* type;
        const char* code; ///< "" it is taken
    } rows[] = {
        {"{}", "application/json", ""},
        {"{}", "application/json ; charset=utf-8", ""},
        {"{}", "application/problem+JSON", ""},
        {"{}", "", ""},
        {"{}", "text/json", "UNSUPPORTED_MEDIA_TYPE"},
        {"", "application/json", "BAD_JSON"},
        {"[]", "application/json", "BAD_JSON"},
        {"{} x", "application/json", "BAD_JSON"},
        {R"({"a":"\u0000"})", "application/json", "BAD_JSON"},
        {R"({"\u0000":1})", "application/json", "BAD_JSON"},
        {R"({"a":[{"b":"\u0000"}]})", "application/json", "BAD_JSON"},
        {R"({"a":")" + std::string(100, '[') + R"(\"["})", "application/json", ""},
        {"{\"a\":" + std::string(63, '[') + std::string(63, ']') + "}", "application/json", ""},
        {"{\"a\":" + std::string(64, '[') + std::string(64, ']') + "}", "application/json",
         "BAD_JSON"},
        {std::string(1'000'000, '{'), "application/json", "BAD_JSON"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.body.substr(0, 60));
        http::fields fields;
        const auto body = json_body(request_of(fields, row.body, row.type));
        CHECK((body ? "" : code_of(body.error())) == row.code);
    }
}

TEST_CASE("head: nobody can end a header early")
{
    Response response = success(1);
    response.headers.emplace_back("X", "a\r\nY: b\r\n\r\nc");
    std::string out;
    append_head(out, response, {.length = 5, .date = "now", .request_id = "7"});
    CHECK(out == "HTTP/1.1 200 OK\r\nServer: clusterapp/0.1.0\r\nDate: now\r\n"
                 "Content-Type: application/json\r\nCache-Control: no-store\r\n"
                 "X-Content-Type-Options: nosniff\r\nX-Request-Id: 7\r\n"
                 "X: a  Y: b    c\r\nContent-Length: 5\r\n\r\n");
}

TEST_CASE("head: how the end of the body is told")
{
    const struct {
        Framing framing;
        const char* end;
    } rows[] = {
        {{.length = 0}, "Content-Length: 0\r\n\r\n"},
        {{}, "Transfer-Encoding: chunked\r\n\r\n"},
        {{.keep = false}, "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"},
        {{.version = 10, .keep = false}, "nosniff\r\nConnection: close\r\n\r\n"},
        {{.version = 10, .length = 3}, "Content-Length: 3\r\nConnection: keep-alive\r\n\r\n"},
    };
    for (const auto& row : rows) {
        std::string out;
        append_head(out, Response{}, row.framing);
        CHECK(out.starts_with(row.framing.version == 10 ? "HTTP/1.0 200 OK" : "HTTP/1.1 200 OK"));
        CHECK(out.ends_with(row.end));
    }
}

TEST_CASE("head: an answer that can have no body says nothing of one")
{
    for (const auto status : {http::status::no_content, http::status::not_modified}) {
        std::string out;
        append_head(out, Response{.status = status}, {.length = 0});
        CHECK(out.find("Content-Length") == std::string::npos);
        out.clear();
        append_head(out, Response{.status = status}, {});
        CHECK(out.find("Transfer-") == std::string::npos);
    }
}

TEST_CASE("head: a handler's own Cache-Control replaces ours")
{
    Response response;
    response.headers.emplace_back("cache-control", "max-age=60");
    std::string out;
    append_head(out, response, {});
    CHECK(out.find("no-store") == std::string::npos);
}

TEST_CASE("request log: one line, whatever a stranger wrote")
{
    const Finished finished{.id = "i-1",
                            .method = "GET",
                            .path = "/a\"\\\n\xff",
                            .route = "",
                            .status = 404,
                            .duration = 1234us,
                            .bytes = 9,
                            .client = "::1",
                            .user = "",
                            .detail = ""};
    const std::string line =
        access_line(LogFormat::json, 1'790'000'000'123, LogLevel::info, finished);
    CHECK(line ==
          "{\"time\":\"2026-09-21T14:13:20.123Z\",\"level\":\"info\",\"message\":\"request\","
          "\"id\":\"i-1\",\"method\":\"GET\",\"path\":\"/a\\\"\\\\\\n\xEF\xBF\xBD\",\"route\":null,"
          "\"status\":404,\"duration_ms\":1.234,\"bytes\":9,\"client\":\"::1\",\"user\":null}\n");
    CHECK(json::accept(line));
    const std::string text =
        access_line(LogFormat::text, 1'790'000'000'123, LogLevel::info, finished);
    CHECK(text == "2026-09-21T14:13:20.123Z info  ::1 GET \"/a\\\"\\\\\\n\xEF\xBF\xBD\" 404 "
                  "1.234 ms 9 bytes - i-1\n");
}

TEST_CASE("service: the date is that of RFC 9110, ids do not repeat")
{
    DateText date;
    CHECK(date.of(784'111'777'999) == "Sun, 06 Nov 1994 08:49:37 GMT");
    CHECK(date.of(784'111'778'000) == "Sun, 06 Nov 1994 08:49:38 GMT");
    RequestIds one;
    RequestIds other;
    CHECK(one.next() != one.next());
    CHECK(one.next() != other.next());
}
