#include "cli/settings_view.hpp"

#include <doctest/doctest.h>

using namespace cluster::cli;

namespace {

json answer(const char* address)
{
    return {{"settings",
             {{{"name", "metrics.listen"}, {"value", "9209"}, {"source", "file"}},
              {{"name", "metrics.token"},
               {"value", "geheim"},
               {"source", "environment"},
               {"variable", "CLUSTER_METRICS_TOKEN"},
               {"secret", true}}}},
            {"faults", {"one", 2, "t\x1bwo"}},
            {"metrics", {{"address", address}, {"fault", ""}}}};
}

} // namespace

TEST_CASE("settings_view: PM2's colon is a dot")
{
    CHECK(setting_name("metrics:listen") == "metrics.listen");
    CHECK(setting_name("") == "");
}

TEST_CASE("settings_view: secrets are not shown, and where a value comes from is")
{
    const std::string text = settings_text(answer("127.0.0.1:9209"), {});
    CHECK(text.find("geheim") == std::string::npos);
    CHECK(text.find("(set)") != std::string::npos);
    CHECK(text.find("CLUSTER_METRICS_TOKEN") != std::string::npos);
    CHECK(text.ends_with("Metrics are served at http://127.0.0.1:9209/metrics\n"));
    CHECK(metrics_text(answer("")).empty());
}

TEST_CASE("settings_view: a stranger is told what there is")
{
    CHECK(setting_in(answer(""), "x").is_null());
    CHECK(no_setting(answer(""), "x") ==
          "there is no setting x; known are metrics.listen, metrics.token");
    CHECK(faults_in(answer("")) == std::vector<std::string>{"one", "t\\x1bwo"});
}
