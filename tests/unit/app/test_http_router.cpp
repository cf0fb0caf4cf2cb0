#include "app/http/router.hpp"
#include "app/http/target.hpp"

#include <doctest/doctest.h>

using namespace cluster::app;
using http::verb;
using What = Router::Match::What;

namespace {

asio::awaitable<Response> nothing(Request&)
{
    co_return Response{};
}

Router router_of(std::initializer_list<std::pair<verb, const char*>> routes)
{
    Router router;
    for (const auto& [method, pattern] : routes)
        router.add({.method = method, .pattern = pattern, .handler = nothing});
    return router;
}

} // namespace

TEST_CASE("router: each row is one request")
{
    const Router router = router_of({{verb::get, "/"},
                                     {verb::get, "/api/jobs"},
                                     {verb::post, "/api/jobs"},
                                     {verb::get, "/api/jobs/{id}"},
                                     {verb::get, "/api/jobs/mine"},
                                     {verb::post, "/api/jobs/{id}/apply"},
                                     {verb::delete_, "/api/p/{id}/c/{userId}"}});
    const struct {
        verb method;
        const char* path;
        What what;
        const char* pattern;
        Pairs params;
        const char* allow;
    } rows[] = {
        {verb::get, "/", What::found, "/", {}, ""},
        {verb::head, "/", What::found, "/", {}, ""},
        {verb::get, "", What::none, "", {}, ""},
        {verb::get, "//", What::none, "", {}, ""},
        {verb::options, "*", What::none, "", {}, ""},
        {verb::get, "/nope", What::none, "", {}, ""},
        {verb::get, "/api", What::none, "", {}, ""},
        {verb::get, "/api/jobs/", What::none, "", {}, ""},
        {verb::get, "/API/jobs", What::none, "", {}, ""},
        {verb::get, "/api/jobs", What::found, "/api/jobs", {}, ""},
        {verb::post, "/api/jobs", What::found, "/api/jobs", {}, ""},
        {verb::put, "/api/jobs", What::wrong_method, "", {}, "GET, HEAD, POST"},
        {verb::unknown, "/api/jobs", What::wrong_method, "", {}, "GET, HEAD, POST"},
        {verb::get, "/api/jobs/7", What::found, "/api/jobs/{id}", {{"id", "7"}}, ""},
        {verb::get, "/api/jobs/a%2Fb", What::found, "/api/jobs/{id}", {{"id", "a/b"}}, ""},
        {verb::get, "/api/jobs/%C3%A4", What::found, "/api/jobs/{id}", {{"id", "\xC3\xA4"}}, ""},
        {verb::get, "/api/jobs/a+b", What::found, "/api/jobs/{id}", {{"id", "a+b"}}, ""},
        {verb::get, "/api/jobs/mine", What::found, "/api/jobs/mine", {}, ""},
        {verb::get, "/api/jobs/%", What::none, "", {}, ""},
        {verb::get, "/api/jobs/%zz", What::none, "", {}, ""},
        {verb::get, "/api/jobs/%00", What::none, "", {}, ""},
        {verb::get, "/api/jobs/%FF", What::none, "", {}, ""},
        {verb::delete_,
         "/api/p/1/c/2",
         What::found,
         "/api/p/{id}/c/{userId}",
         {{"id", "1"}, {"userId", "2"}},
         ""},
        {verb::get, "/api/p/1/c/2", What::wrong_method, "", {}, "DELETE"},
        {verb::get, "/api/jobs/7/apply/x", What::none, "", {}, ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.path);
        const auto got = router.match(row.method, row.path);
        CHECK(got.what == row.what);
        CHECK((got.route == nullptr ? "" : got.route->pattern) == row.pattern);
        CHECK(got.params == row.params);
        CHECK(got.allow == row.allow);
    }
}

TEST_CASE("target: each row is one request line")
{
    const struct {
        const char* target;
        const char* path;
        const char* query;
    } rows[] = {
        {"/", "/", ""},
        {"/a/b?x=1&y=2", "/a/b", "x=1&y=2"},
        {"/a?", "/a", ""},
        {"/a?b?c", "/a", "b?c"},
        {"http://host:1/a?b", "/a", "b"},
        {"http://host", "/", ""},
        {"http://host?q=1", "/", "q=1"},
        {"/a?u=http://x/y", "/a", "u=http://x/y"},
        {"*", "*", ""},
        {"", "", ""},
        {"host:443", "host:443", ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.target);
        const Target got = split_target(row.target);
        CHECK(got.path == row.path);
        CHECK(got.query == row.query);
    }
}

TEST_CASE("query: names and values are decoded")
{
    CHECK(parse_query("") == Pairs{});
    CHECK(parse_query("a=1&b=x%20y+z&&c&=d") ==
          Pairs{{"a", "1"}, {"b", "x y z"}, {"c", ""}, {"", "d"}});
    CHECK(parse_query("a=1&a=2") == Pairs{{"a", "1"}, {"a", "2"}});
    for (const char* const bad : {"a=%", "a=%4", "%zz=1", "a=%00", "a=%ff"})
        CHECK(parse_query(bad) == std::nullopt);
}
