#include "ipc/wire/attribute_table.hpp"
#include "ipc/wire/schema.hpp"
#include "tests/unit/ipc/wire/schema_validator.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <iterator>

using namespace cluster::ipc;
using nlohmann::json;

namespace {

std::string committed(const std::string& path)
{
    std::ifstream file{CLUSTER_SOURCE_DIR "/" + path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

} // namespace

TEST_CASE("schema: the committed files are the generated ones")
{
    // After a change of the table: clusterctl schema > ecosystem.schema.json, and
    // clusterctl schema --markdown > docs/configuration.md.
    CHECK(committed("ecosystem.schema.json") == ecosystem_schema());
    CHECK(committed("docs/configuration.md") == configuration_markdown());
}

TEST_CASE("schema: every attribute stands in it under each of its names")
{
    const json schema = json::parse(ecosystem_schema());
    const json& app = schema["definitions"]["app"];
    CHECK(app["additionalProperties"] == false);
    CHECK(app["patternProperties"].contains("^env_."));
    for (const Attribute& attribute : attributes()) {
        CAPTURE(attribute.name);
        const bool is_public = attribute.support != Support::internal;
        CHECK(app["properties"].contains(attribute.name) == is_public);
        if (!is_public) continue;
        CHECK(app["properties"].contains(camel_case(attribute.name)));
        CHECK(app["properties"][attribute.name].contains("description"));
        for (const std::string_view alias : attribute.aliases)
            if (!alias.empty()) CHECK(app["properties"].contains(alias));
    }
}

TEST_CASE("schema: every reference in it leads somewhere")
{
    const json schema = json::parse(ecosystem_schema());
    std::size_t seen = 0;
    for (const auto& [key, value] : schema.flatten().items()) {
        if (!key.ends_with("/$ref")) continue;
        const std::string target = value.get<std::string>();
        CAPTURE(target);
        REQUIRE(target.starts_with("#/"));
        CHECK(schema.contains(json::json_pointer{target.substr(1)}));
        ++seen;
    }
    CHECK(seen > 20);
}

TEST_CASE("schema: the document names every attribute that users can set")
{
    const std::string document = configuration_markdown();
    for (const Attribute& attribute : attributes()) {
        CAPTURE(attribute.name);
        const bool is_public = attribute.support != Support::internal;
        CHECK(document.contains("`" + std::string{attribute.name} + "`") == is_public);
    }
}

TEST_CASE("schema: an app has a script, and nothing that is unknown")
{
    const struct {
        const char* app;
        bool good;
    } rows[] = {
        {R"({"script":"a"})", true},
        {R"({"cmd":"a","$schema":"./x"})", true},
        {R"({"name":"a"})", false},
        {R"({"script":"a","instances":"max","maxRestarts":"3","env_x":{"A":1}})", true},
        {R"({"script":"a","instnaces":4})", false},
        {R"({"script":"a","env_x":5})", false},
        {R"({"script":"a","name":null})", true},
        {R"({"script":"a","unsupported":[]})", false},
        {R"("a")", false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.app);
        CHECK(test::schema_accepts(json::parse(row.app)) == row.good);
    }
}
