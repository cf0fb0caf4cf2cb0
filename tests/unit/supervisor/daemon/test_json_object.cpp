#include "supervisor/daemon/json_object.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <string>

using namespace cluster;
using namespace cluster::supervisor;

TEST_CASE("json object: none, one and several members")
{
    std::string out;
    {
        const Object none{out};
    }
    CHECK(out == "{}");
    out.clear();
    {
        Object one{out};
        one.text("a", "b");
    }
    CHECK(out == R"({"a":"b"})");
    out.clear();
    {
        Object several{out};
        several.text("text", "say \"hi\"\n");
        several.flag("yes", true);
        several.flag("no", false);
        several.number("low", std::int64_t{-9'223'372'036'854'775'807} - 1);
        several.number("high", std::uint64_t{18'446'744'073'709'551'615U});
        several.raw("raw", "[1,2]");
        several.value("any", ipc::json{{"k", nullptr}});
        Object inner{several.key("inner")};
        inner.number("n", 1);
    }
    const auto read = ipc::json::parse(out);
    CHECK(read == ipc::json::parse(R"({"text":"say \"hi\"\n","yes":true,"no":false,
        "low":-9223372036854775808,"high":18446744073709551615,"raw":[1,2],"any":{"k":null},
        "inner":{"n":1}})"));
    CHECK(out.starts_with(R"({"text":)")); // in the order of writing
    CHECK(out.ends_with(R"("inner":{"n":1}})"));
}

TEST_CASE("json object: a name is escaped as any text")
{
    std::string out;
    {
        Object one{out};
        one.flag("a\"b\\c\x01\xff", true);
    }
    CHECK(ipc::json::parse(out) == ipc::json{{"a\"b\\c\x01\xef\xbf\xbd", true}});
}
