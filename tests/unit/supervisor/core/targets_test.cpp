#include "supervisor/core/targets.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster::supervisor;
using Ids = std::vector<int>;

namespace {

const std::vector<TargetView> kWorkers{
    {4, "api", "shop", "/srv/shop/api.js"}, {0, "api", "shop", "/srv/shop/api.js"},
    {1, "web", "shop", "/srv/shop/web.js"}, {2, "worker", "api", "/srv/jobs/worker.py"},
    {3, "1", "numbers", "/srv/one"},        {5, "team/mail", "7", "/srv/mail"},
};

} // namespace

TEST_CASE("targets: each row is one word on the command line")
{
    const struct {
        const char* name;
        const char* target;
        const char* cwd;
        Ids want;
    } rows[] = {
        {"all, in order of id", "all", "/", {0, 1, 2, 3, 4, 5}},
        {"a name means all its instances", "api", "/", {0, 4}},
        {"a name wins over a namespace", "api", "/srv", {0, 4}},
        {"a namespace", "shop", "/", {0, 1, 4}},
        {"an id", "2", "/", {2}},
        {"a name that is a number wins over the id", "1", "/", {3}},
        {"a namespace that is a number wins over the id", "7", "/", {5}},
        {"an id that is not there", "9", "/", {}},
        {"a script by its absolute path", "/srv/shop/web.js", "/", {1}},
        {"a script from the caller's folder", "web.js", "/srv/shop", {1}},
        {"a script by a path with dots", "../shop/./api.js", "/srv/jobs", {0, 4}},
        {"a pattern is not anchored", "/pi/", "/", {0, 4}},
        {"unless it says so", "/^w/", "/", {1, 2}},
        {"a pattern looks at names alone", "/shop/", "/", {}},
        {"a slash inside a pattern", "/m/m/", "/", {5}},
        {"a broken pattern means nobody", "/(/", "/", {}},
        {"a part of a name is no name", "ap", "/", {}},
        {"case counts", "API", "/", {}},
        {"nothing", "", "/srv", {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(resolve_target(row.target, row.cwd, kWorkers) == row.want);
    }
    CHECK(resolve_target("all", "/", {}) == Ids{});
}

TEST_CASE("targets: only a pattern that does not compile is a fault")
{
    CHECK(target_fault("api") == "");
    CHECK(target_fault("/a(b|c)+/") == "");
    CHECK(target_fault("//") == "");
    CHECK(target_fault("/(/").starts_with("/(/ must be a regular expression between slashes: "));
    CHECK(target_fault("/" + std::string(257, 'a') + "/") ==
          "the pattern must have at most 256 characters, got 257");
    CHECK(target_fault("/" + std::string(256, 'a') + "/") == "");
}
