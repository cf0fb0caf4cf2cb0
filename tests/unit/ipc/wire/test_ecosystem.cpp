#include "ipc/wire/ecosystem.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

using namespace cluster::ipc;
namespace fs = std::filesystem;

namespace {

Ecosystem from_json(const std::string& text, const std::string& env_name = "")
{
    return parse_ecosystem(text, Format::json, "f.json", env_name);
}

Ecosystem from_yaml(const std::string& text)
{
    return parse_ecosystem(text, Format::yaml, "f.yaml", "");
}

std::string messages(const Ecosystem& ecosystem)
{
    std::string out;
    for (const Diagnostic& diagnostic : ecosystem.diagnostics)
        out += diagnostic.text() + "\n";
    return out;
}

std::string names(const Ecosystem& ecosystem)
{
    std::string out;
    for (const AppSpec& app : ecosystem.apps)
        out += app.name + " ";
    return out;
}

std::string read(const fs::path& path)
{
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

} // namespace

TEST_CASE("ecosystem: the top level is a list, an object with apps, or one app")
{
    const struct {
        const char* text;
        const char* want;
    } rows[] = {
        {R"([{"script":"a"},{"script":"b"}])", "a b "},
        {R"({"apps":[{"script":"a"}]})", "a "},
        {R"({"pm2":[{"script":"a"}]})", "a "},
        {R"({"apps":{"script":"a"}})", "a "},
        {R"({"script":"a"})", "a "},
        {R"({"$schema":"./x.json","script":"a"})", "a "},
        {R"({"$schema":"./x.json","apps":[{"script":"a"}]})", "a "},
        {R"({"name":"x","cmd":"sleep 5"})", "x "},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const Ecosystem got = from_json(row.text);
        CHECK(messages(got) == "");
        CHECK(names(got) == row.want);
    }
}

TEST_CASE("ecosystem: JSON may hold comments, trailing commas and a byte order mark")
{
    const Ecosystem got = from_json("\xEF\xBB\xBF// first\n{ /* a, */ \"apps\": [\n"
                                    "  {\"script\": \"a\", \"args\": \"/* x */ ,] // y\",}, // b\n"
                                    "  {\"script\": \"b,}\", /* , */ },\n], }\n// end");
    CHECK(messages(got) == "");
    REQUIRE(got.apps.size() == 2);
    CHECK(got.apps[0].args.size() == 6);
    CHECK(got.apps[0].args[3] == ",]");
    CHECK(got.apps[1].script == "b,}");
}

TEST_CASE("ecosystem: a mistake in JSON is shown by its place")
{
    const struct {
        const char* text;
        const char* want;
    } rows[] = {
        {"", "f.json:1:1: not valid JSON: unexpected end of input; expected '[', '{', or a literal "
             "(in value)\n"},
        {"{\n  \"a\": }", "f.json:2:8: not valid JSON: unexpected '}'; expected '[', '{', or a "
                          "literal (in value)\n"},
        {"{'a': 1}",
         "f.json:1:2: not valid JSON: invalid literal; expected string literal (in object key)\n"},
        {"[1] x",
         "f.json:1:5: not valid JSON: invalid literal; expected end of input (in value)\n"},
        {"[\"a\nb\"]", "f.json:1:4: not valid JSON: invalid string: control character U+000A (LF) "
                       "must be escaped to \\u000A or \\n (in value)\n"},
        {"// x\n/* open", "f.json:2:1: not valid JSON: invalid literal (in value)\n"},
        {"[1,,2]", "f.json:1:4: not valid JSON: unexpected ','; expected '[', '{', or a literal "
                   "(in value)\n"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        CHECK(messages(from_json(row.text)) == row.want);
    }
}

TEST_CASE("ecosystem: YAML gives the same apps as JSON")
{
    const Ecosystem yaml =
        from_yaml("# comment\n"
                  "base: &base {instances: 2, env: {A: 1}}\n"
                  "apps:\n"
                  "  - <<: *base\n"
                  "    name: api\n"
                  "    script: a.js\n"
                  "    autorestart: False\n"
                  "    umask: 0027\n"
                  "    args: [--port, 80, '0080']\n"
                  "    env: {PORT: 80, ZIP: 01234, HEX: 0x10, QUOTED: \"1\", NO: ~}\n");
    CHECK(messages(yaml) ==
          "f.yaml: warning: unknown member \"base\" beside \"apps\" is ignored\n");
    const Ecosystem json = from_json(R"({"apps":[{
        "name": "api", "script": "a.js", "instances": 2, "autorestart": false, "umask": "0027",
        "args": ["--port", "80", "0080"],
        "env": {"PORT": "80", "ZIP": "01234", "HEX": "16", "QUOTED": "1"}}]})");
    CHECK(messages(json) == "");
    CHECK(yaml.apps == json.apps);
}

TEST_CASE("ecosystem: YAML that would grow or nest without bounds is refused")
{
    std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 12; ++i) {
        const std::string before = "*a" + std::to_string(i - 1);
        const std::string name = std::to_string(i);
        bomb += "a" + name + ": &a" + name + " [";
        for (int k = 0; k < 10; ++k)
            bomb += before + (k < 9 ? ", " : "]\n");
    }
    CHECK(messages(from_yaml(bomb)).contains("expand to too much"));
    CHECK(messages(from_yaml(std::string(100, '[') + std::string(100, ']')))
              .contains("nested too deeply"));
    CHECK(messages(from_yaml(std::string(100'000, '['))).contains("not valid YAML"));
    CHECK(messages(from_yaml("a: &a [*a]")).contains("an alias inside of what it stands for"));
    CHECK(messages(from_yaml("a: 1\n---\nb: 1\n")).contains("more than one YAML document"));
    CHECK(messages(from_yaml("- script: a\xFF\n")).contains("not UTF-8"));
    CHECK(messages(from_yaml("a: 1\na: 2\n")).contains("the same key stands twice"));
}

TEST_CASE("ecosystem: JSON that nests without bounds is refused")
{
    CHECK(messages(from_json(std::string(1'000'000, '['))) ==
          "f.json:1:65: not valid JSON: nested too deeply\n");
    CHECK(messages(from_json(std::string(9 * 1024 * 1024, ' '))).contains("at most 8388608 bytes"));
}

TEST_CASE("ecosystem: all mistakes of all apps come at once and the good apps as well")
{
    const Ecosystem got = from_json(
        R"([{"script":"a","instances":"x"},{"script":"b"},{"name":"c"},{"script":"b"},5])");
    CHECK(messages(got) ==
          "f.json: app \"a\": instances must be a whole number, \"max\", 0 or negative, got \"x\"\n"
          "f.json: app \"c\": script is missing\n"
          "f.json: app \"b\": name must be unique in the file, got \"b\" for apps 2 and 4\n"
          "f.json: app 5: must be an object, got 5\n");
    CHECK(has_errors(got.diagnostics));
}

TEST_CASE("ecosystem: each cycle of depends_on is an error that names it")
{
    const struct {
        const char* text;
        const char* want;
    } rows[] = {
        {R"([{"script":"a","depends_on":"b"},{"script":"b","depends_on":["c","d"]}])", ""},
        {R"([{"script":"a","depends_on":["not-in-this-file"]}])", ""},
        {R"([{"script":"a","depends_on":"a"}])",
         "f.json: app \"a\": depends_on must not be a cycle, got a → a\n"},
        {R"([{"script":"x","name":"b","depends_on":{"a":"started"}},
             {"script":"x","name":"a","depends_on":{"b":"completed","c":null}}])",
         "f.json: app \"a\": depends_on must not be a cycle, got a → b → a\n"},
        {R"([{"script":"c","depends_on":"a"},{"script":"a","dependsOn":"b"},
             {"script":"b","depends_on":["c"]}])",
         "f.json: app \"a\": depends_on must not be a cycle, got a → b → c → a\n"},
        {R"([{"script":"a","name_prefix":"x","depends_on":"a"}])", ""},
        {R"([{"script":"a","name_prefix":"x","depends_on":"x:a"}])",
         "f.json: app \"x:a\": depends_on must not be a cycle, got x:a → x:a\n"},
        // Together with all other mistakes, also those of the same apps.
        {R"([{"script":"a","depends_on":"b","instances":"x"},{"script":"b","depends_on":"a"},
             {"script":"c","depends_on":"c"},{"script":"d","depends_on":1.5,"treekill":1}])",
         "f.json: app \"a\": instances must be a whole number, \"max\", 0 or negative, got "
         "\"x\"\n"
         "f.json: app \"d\": treekill must be true or false, got 1\n"
         "f.json: app \"a\": depends_on must not be a cycle, got a → b → a\n"
         "f.json: app \"c\": depends_on must not be a cycle, got c → c\n"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        CHECK(messages(from_json(row.text)) == row.want);
    }
}

TEST_CASE("ecosystem: a chain of thousands of apps is followed")
{
    std::string text = "[";
    for (int i = 0; i < 10'000; ++i)
        text += "{\"script\":\"app" + std::to_string(i) + "\",\"depends_on\":\"app" +
                std::to_string(i + 1) + "\"},";
    CHECK(messages(from_json(text + "]")) == "");
    const Ecosystem round = from_json(text + R"({"script":"app10000","depends_on":"app0"}])");
    REQUIRE(round.diagnostics.size() == 1);
    CHECK(round.diagnostics[0].message.starts_with(
        "depends_on must not be a cycle, got app0 → app1 → "));
    CHECK(round.diagnostics[0].message.ends_with(" → … 9991 more … → app0"));
}

TEST_CASE("ecosystem: --env warns when no app has such a block")
{
    const std::string text = R"([{"script":"a","env_prod":{"X":"1"}},{"script":"b"}])";
    CHECK(messages(from_json(text, "prod")) == "");
    CHECK(from_json(text, "prod").apps[0].env.at("X") == "1");
    const Ecosystem other = from_json(text, "test");
    CHECK(messages(other) == "f.json: warning: no app has \"env_test\", asked for by --env\n");
    CHECK_FALSE(has_errors(other.diagnostics));
}

TEST_CASE("ecosystem: deploy and static are known and have no effect")
{
    const Ecosystem got = from_json(R"({"apps":[{"script":"a"}],"deploy":{},"static":[],"x":1})");
    CHECK(messages(got) == "f.json: warning: \"deploy\" has no effect yet\n"
                           "f.json: warning: \"static\" has no effect yet\n"
                           "f.json: warning: unknown member \"x\" beside \"apps\" is ignored\n");
    CHECK(names(got) == "a ");
}

TEST_CASE("ecosystem: each faulty file gets exactly the messages it should")
{
    std::size_t seen = 0;
    for (const auto& entry :
         fs::directory_iterator{CLUSTER_SOURCE_DIR "/tests/integration/faulty"}) {
        const fs::path& path = entry.path();
        const std::string name = path.filename().string();
        const bool yaml = path.extension() == ".yaml" || path.extension() == ".yml";
        // "fs-" files are wrong only in view of the file system (test_resolve_app.cpp).
        if ((!yaml && path.extension() != ".json") || name.starts_with("fs-")) continue;
        CAPTURE(name);
        const Ecosystem got =
            parse_ecosystem(read(path), yaml ? Format::yaml : Format::json, name, "");
        CHECK(messages(got) == read(path.string() + ".expected"));
        CHECK(has_errors(got.diagnostics));
        ++seen;
    }
    CHECK(seen >= 20);
}
