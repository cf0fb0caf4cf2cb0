#include "cli/inspect.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster::cli;
using Json = nlohmann::ordered_json;

// Expectations are what `util.inspect(value, {depth: null})` of Node 20 prints.
TEST_CASE("inspect: single values")
{
    const struct {
        const char* json;
        const char* want;
    } rows[] = {
        {"null", "null"},
        {"true", "true"},
        {"0", "0"},
        {"-12", "-12"},
        {"1790000000000", "1790000000000"},
        {"0.3", "0.3"},
        {"-0.5", "-0.5"},
        {"12.0", "12"},
        {"1e21", "1e+21"},
        {"-1.5e300", "-1.5e+300"},
        {"-0.0", "-0"},
        {"123456789012345680000.0", "123456789012345680000"},
        {"1e-7", "1e-7"},
        {"0.00001", "0.00001"},
        {"0.0000123", "0.0000123"},
        {R"("")", "''"},
        {R"("a")", "'a'"},
        {R"("it's")", "\"it's\""},
        {R"("it's \"x\"")", "`it's \"x\"`"},
        {R"("it's \"x\" `y`")", "'it\\'s \"x\" `y`'"},
        {R"("say \"x\"")", "'say \"x\"'"},
        {R"("a\nb\tc\\d")", "'a\\nb\\tc\\\\d'"},
        {R"("\u001b[0m\u0000\u007f\u0085")", "'\\x1B[0m\\x00\\x7F\\x85'"},
        {R"("größe 🚀")", "'größe 🚀'"},
        {"[]", "[]"},
        {"{}", "{}"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.json);
        CHECK(inspect(Json::parse(row.json)) == row.want);
    }
}

TEST_CASE("inspect: keys are quoted only when they are no identifiers")
{
    CHECK(inspect(Json::parse(R"({"a_1":1,"k-k":2,"0":3,"":4,"_x":5,"$y":6,"it's":7})")) ==
          "{ a_1: 1, 'k-k': 2, '0': 3, '': 4, _x: 5, '$y': 6, \"it's\": 7 }");
}

TEST_CASE("inspect: short values stand on one line, three levels at most")
{
    CHECK(inspect(Json::parse(R"(["a","b"])")) == "[ 'a', 'b' ]");
    CHECK(inspect(Json::parse(R"({"enabled":false,"outbound":false})")) ==
          "{ enabled: false, outbound: false }");
    CHECK(inspect(Json::parse(R"({"a":{"b":{"c":{}}}})")) == "{ a: { b: { c: {} } } }");
    CHECK(inspect(Json::parse(R"({"a":{"b":{"c":{"d":1}}}})")) ==
          "{\n  a: { b: { c: { d: 1 } } }\n}");
}

TEST_CASE("inspect: a value is broken when its line would pass column 80")
{
    // Sum of the entries + 2 per entry + indentation + 11 may be 80 at most.
    const std::string fits(65, 'x'); // 67 with quotes, + 2 + 0 + 11 = 80
    CHECK(inspect(Json::array({fits})) == "[ '" + fits + "' ]");
    const std::string longer(66, 'x');
    CHECK(inspect(Json::array({longer})) == "[\n  '" + longer + "'\n]");
}

TEST_CASE("inspect: a long text with line ends is broken at them")
{
    const std::string line(80, 'x');
    CHECK(inspect(Json{{"a", line + "\nend"}}) == "{\n  a: '" + line + "\\n' +\n    'end'\n}");
    CHECK(inspect(Json(line + "\n")) == "'" + line + "\\n'");
}

TEST_CASE("inspect: more than six small entries stand in columns")
{
    CHECK(inspect(Json::parse("[1,22,333,4,5,6,7]")) == "[\n  1, 22, 333, 4,\n  5,  6,   7\n]");
    CHECK(inspect(Json::parse(R"(["a","bb","ccc","d","e","f","g"])")) ==
          "[\n  'a', 'bb', 'ccc',\n  'd', 'e',  'f',\n  'g'\n]");
    CHECK(inspect(Json::parse("[1,2,3,4,5,6]")) == "[ 1, 2, 3, 4, 5, 6 ]");
}

TEST_CASE("inspect: arrays end after a hundred entries, texts after ten thousand characters")
{
    Json many = Json::array();
    for (int i = 0; i < 101; ++i)
        many.push_back(Json::object({{"some_key", "a value that is rather long"}}));
    CHECK(inspect(many).ends_with(",\n  ... 1 more item\n]"));
    many.push_back(nullptr);
    CHECK(inspect(many).ends_with(",\n  ... 2 more items\n]"));
    CHECK(inspect(Json(std::string(10'002, 'x'))) ==
          "'" + std::string(10'000, 'x') + "'... 2 more characters");
}

TEST_CASE("inspect: a process as prettylist prints it")
{
    const Json list = Json::parse(R"([{"pid":0,"name":"api","pm2_env":{"filter_env":[],"env":{
        "NOTE":"it's","PATH":"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/node/bin",
        "api":{}},"args":["--port","3000"],"axm_options":{"error":true,"heapdump":true},
        "codes":[0,1,2,130,137,143,255]},"pm_id":0,"monit":{"memory":0,"cpu":0.3}}])");
    CHECK(inspect(list) == R"([
  {
    pid: 0,
    name: 'api',
    pm2_env: {
      filter_env: [],
      env: {
        NOTE: "it's",
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/node/bin',
        api: {}
      },
      args: [ '--port', '3000' ],
      axm_options: { error: true, heapdump: true },
      codes: [
          0,   1,   2, 130,
        137, 143, 255
      ]
    },
    pm_id: 0,
    monit: { memory: 0, cpu: 0.3 }
  }
])");
}
