#include "ipc/wire/rpc.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster::ipc;

TEST_CASE("rpc: a good request is read with its id, method and params")
{
    const auto request =
        parse_request(R"({"jsonrpc":"2.0","id":"a","method":"list","params":{"x":1}})");
    REQUIRE(request);
    CHECK(request->id == "a");
    CHECK(request->reply);
    CHECK(request->method == "list");
    CHECK(request->params == json{{"x", 1}});
}

TEST_CASE("rpc: params may be left out, and no id means that nothing is answered")
{
    const auto request = parse_request(R"({"jsonrpc":"2.0","method":"ping"})");
    REQUIRE(request);
    CHECK_FALSE(request->reply);
    CHECK(request->params == json::object());
}

TEST_CASE("rpc: what is no request gets the code of JSON-RPC 2.0 section 5.1")
{
    const struct {
        const char* name;
        std::string text;
        int code;
        json id;
    } rows[] = {
        {"not JSON", "hello", kParseError, nullptr},
        {"half a message", R"({"jsonrpc":"2.0","id":1,)", kParseError, nullptr},
        {"not UTF-8", "{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}", kParseError, nullptr},
        {"a batch", R"([{"jsonrpc":"2.0","id":1,"method":"ping"}])", kInvalidRequest, nullptr},
        {"a number", "5", kInvalidRequest, nullptr},
        {"no version", R"({"id":1,"method":"ping"})", kInvalidRequest, 1},
        {"another version", R"({"jsonrpc":"1.0","id":1,"method":"ping"})", kInvalidRequest, 1},
        {"no method", R"({"jsonrpc":"2.0","id":1})", kInvalidRequest, 1},
        {"method is no string", R"({"jsonrpc":"2.0","id":1,"method":7})", kInvalidRequest, 1},
        {"id is an object", R"({"jsonrpc":"2.0","id":{},"method":"a"})", kInvalidRequest, nullptr},
        {"params are an array", R"({"jsonrpc":"2.0","id":1,"method":"a","params":[1]})",
         kInvalidParams, 1},
        {"nested too deep", std::string(100'000, '['), kInvalidRequest, nullptr},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto request = parse_request(row.text);
        REQUIRE_FALSE(request);
        CHECK(request.error().error.code == row.code);
        CHECK(request.error().id == row.id);
        CHECK_FALSE(request.error().error.message.empty());
    }
}

TEST_CASE("rpc: brackets inside strings are no nesting")
{
    const std::string text = R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"x":")" +
                             std::string(500, '[') + R"(\"]"}})";
    CHECK(parse_request(text));
}

TEST_CASE("rpc: frames end in one newline and hold no other")
{
    const std::string text =
        notification_frame("log", {{"lines", {"a\nb", std::string{"\xff\xfe"}}}});
    CHECK(text.find('\n') == text.size() - 1);
    const json back = json::parse(text);
    CHECK(back["params"]["lines"][0] == "a\nb");
    CHECK(back["params"]["lines"][1] == "\xEF\xBF\xBD\xEF\xBF\xBD"); // U+FFFD twice
}

TEST_CASE("rpc: an error frame carries data only when there is some")
{
    const json bare = json::parse(error_frame(3, {.code = -1, .message = "m", .data = nullptr}));
    CHECK(bare == json::parse(R"({"jsonrpc":"2.0","id":3,"error":{"code":-1,"message":"m"}})"));
    const json full = json::parse(error_frame(3, {.code = -1, .message = "m", .data = {{"a", 1}}}));
    CHECK(full["error"]["data"] == json{{"a", 1}});
}

TEST_CASE("rpc: a wrong parameter is named with what was expected and what came")
{
    const auto error = invalid_param("/instances", "an integer", "many").error();
    CHECK(error.code == kInvalidParams);
    CHECK(error.message == R"(/instances must be an integer, got "many")");
    CHECK(error.data["path"] == "/instances");
    CHECK(invalid_param("/a", "b", std::string(5000, 'x')).error().message.size() < 200);
}
