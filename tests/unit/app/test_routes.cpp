#include "app/routes.hpp"

#include "ipc/base/version.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace cluster::app;
using namespace std::chrono_literals;
using http::status;
using http::verb;

namespace {

const Status kServing{.instance = 2, .pid = 42, .uptime = 1500ms, .draining = false};
const Status kDraining{.instance = 2, .pid = 42, .uptime = 1500ms, .draining = true};

} // namespace

TEST_CASE("routes: each row is one request")
{
    const struct {
        const char* name;
        verb method;
        const char* target;
        bool draining;
        status want;
        const char* allow;
    } rows[] = {
        {"a greeting", verb::get, "/", false, status::ok, ""},
        {"HEAD is routed like GET", verb::head, "/health", false, status::ok, ""},
        {"a query does not matter", verb::get, "/health?x=1", false, status::ok, ""},
        {"an empty query too", verb::get, "/health?", false, status::ok, ""},
        {"absolute form", verb::get, "http://localhost:3001/health", false, status::ok, ""},
        {"absolute form without path", verb::get, "http://localhost", false, status::ok, ""},
        {"a URL in the query is no absolute form", verb::get, "/health?u=http://x/y", false,
         status::ok, ""},
        {"ready while serving", verb::get, "/health/ready", false, status::ok, ""},
        {"not ready while draining", verb::get, "/health/ready", true, status::service_unavailable,
         ""},
        {"health is what balancers ask", verb::get, "/health", true, status::service_unavailable,
         ""},
        {"alive while draining", verb::get, "/health/live", true, status::ok, ""},
        {"work is still done while draining", verb::get, "/", true, status::ok, ""},
        {"no such path", verb::get, "/nope", false, status::not_found, ""},
        {"a path is not a prefix", verb::get, "/health/", false, status::not_found, ""},
        {"case matters", verb::get, "/Health", false, status::not_found, ""},
        {"an asterisk", verb::options, "*", false, status::not_found, ""},
        {"an empty target", verb::get, "", false, status::not_found, ""},
        {"a path that cannot be posted to", verb::post, "/", false, status::method_not_allowed,
         "GET, HEAD"},
        {"nor deleted", verb::delete_, "/health", false, status::method_not_allowed, "GET, HEAD"},
        {"unknown path before wrong method", verb::post, "/nope", false, status::not_found, ""},
        {"a method nobody knows", verb::unknown, "/", false, status::not_implemented, ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const Reply got = answer(row.method, row.target, row.draining ? kDraining : kServing);
        CHECK(got.status == row.want);
        CHECK(got.allow == row.allow);
        CHECK(got.delay == 0ms);
        CHECK(nlohmann::json::accept(got.body));
        CHECK(got.body.ends_with('\n'));
    }
}

TEST_CASE("routes: health tells instance, pid, uptime and version")
{
    const auto body = nlohmann::json::parse(answer(verb::get, "/health", kServing).body);
    CHECK(body == nlohmann::json{{"status", "ok"},
                                 {"instance", 2},
                                 {"pid", 42},
                                 {"uptime_s", 1.5},
                                 {"version", cluster::ipc::version()}});
    const auto draining = nlohmann::json::parse(answer(verb::get, "/health", kDraining).body);
    CHECK(draining["status"] == "draining");
}

TEST_CASE("routes: without a supervisor there is no instance number")
{
    const auto reply = answer(verb::get, "/", {.instance = std::nullopt, .pid = 7});
    const auto body = nlohmann::json::parse(reply.body);
    CHECK(body["instance"].is_null());
    CHECK(body["pid"] == 7);
}

TEST_CASE("routes: slow waits as long as it is asked to, within limits")
{
    const struct {
        const char* target;
        status want;
        milliseconds delay;
    } rows[] = {
        {"/slow?ms=0", status::ok, 0ms},
        {"/slow?ms=250", status::ok, 250ms},
        {"/slow?a=1&ms=30000&b", status::ok, 30s},
        {"/slow?ms=30001", status::bad_request, 0ms},
        {"/slow?ms=-1", status::bad_request, 0ms},
        {"/slow?ms=", status::bad_request, 0ms},
        {"/slow?ms=1e3", status::bad_request, 0ms},
        {"/slow?ms=99999999999999999999", status::bad_request, 0ms},
        {"/slow?xms=5", status::bad_request, 0ms},
        {"/slow", status::bad_request, 0ms},
    };
    for (const auto& row : rows) {
        CAPTURE(row.target);
        const Reply got = answer(verb::get, row.target, kServing);
        CHECK(got.status == row.want);
        CHECK(got.delay == row.delay);
    }
}

TEST_CASE("routes: bytes that are no UTF-8 do not break the answer")
{
    const Reply got = answer(verb::get, "/slow?ms=\xff\xfe\"", kServing);
    CHECK(got.status == status::bad_request);
    CHECK(nlohmann::json::accept(got.body));
}
