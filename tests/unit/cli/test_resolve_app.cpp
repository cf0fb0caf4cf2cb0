#include "cli/resolve_app.hpp"

#include "cli/paths.hpp"
#include "ipc/wire/attributes.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

using namespace cluster::cli;
using namespace cluster::ipc;
namespace fs = std::filesystem;

namespace {

/// A folder of its own with scripts and a PATH of fake programs, so that nothing depends on what
/// the machine has installed.
class Folder {
public:
    Folder()
    {
        std::string name = (fs::temp_directory_path() / "resolve.XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        root_ = name;
        fs::create_directories(root_ / "bin");
        fs::create_directories(root_ / "work/sub");
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { fs::remove_all(root_); }

    void file(const std::string& name, const std::string& content, bool executable = false) const
    {
        std::ofstream{root_ / name} << content;
        fs::permissions(root_ / name, executable ? fs::perms::owner_all : fs::perms::owner_read);
    }
    void program(const std::string& name) const { file("bin/" + name, "#!/bin/sh\n", true); }

    [[nodiscard]] std::string path(const std::string& name) const
    {
        return (root_ / name).string();
    }

    /// What resolve_app makes of the app; `messages` gets what it complains about. "@" in the
    /// app's texts and in the messages stands for this folder.
    AppSpec resolve(nlohmann::json app, std::string& messages)
    {
        Diagnostics diagnostics;
        auto spec = parse_app(app, {}, diagnostics);
        REQUIRE(spec.has_value());
        LinuxSystem system;
        const SystemClock clock;
        FileContext context{
            system, clock, path("work"), {{"PATH", path("bin")}, {"HOME", path("home")}}};
        resolve_app(*spec, "f.json", context, diagnostics);
        for (const Diagnostic& diagnostic : diagnostics)
            messages += diagnostic.text();
        for (auto at = messages.find(root_.string()); at != messages.npos;
             at = messages.find(root_.string()))
            messages.replace(at, root_.string().size(), "@");
        return *spec;
    }
    AppSpec resolve(const nlohmann::json& app)
    {
        std::string messages;
        AppSpec spec = resolve(app, messages);
        CHECK(messages == "");
        return spec;
    }
    std::string complaint(const nlohmann::json& app)
    {
        std::string messages;
        resolve(app, messages);
        return messages;
    }

private:
    fs::path root_;
};

} // namespace

TEST_CASE("resolve: script and files are found from the app's folder, which is found from ours")
{
    Folder folder;
    folder.program("node");
    folder.file("work/sub/a.js", "");
    const AppSpec spec = folder.resolve({{"script", "./a.js"},
                                         {"cwd", "sub"},
                                         {"out_file", "logs/out.log"},
                                         {"error_file", "/dev/null"},
                                         {"pid_file", "~/a.pid"}});
    CHECK(spec.cwd == folder.path("work/sub"));
    CHECK(spec.script == folder.path("work/sub/a.js"));
    CHECK(spec.interpreter == folder.path("bin/node"));
    CHECK(spec.name == "a");
    CHECK(spec.out_file == folder.path("work/sub/logs/out.log"));
    CHECK(spec.error_file == "/dev/null");
    CHECK(spec.pid_file == folder.path("home/a.pid"));
    CHECK(folder.resolve({{"script", "sub/a.js"}}).cwd == folder.path("work"));
}

TEST_CASE("resolve: the interpreter follows from the extension, else from the file itself")
{
    Folder folder;
    for (const char* program : {"bash", "python3", "node", "ruby", "php", "perl", "bun"})
        folder.program(program);
    const struct {
        const char* script;
        const char* content;
        bool executable;
        const char* want;
    } rows[] = {
        {"a.sh", "", false, "bash"},
        {"a.py", "", false, "python3"},
        {"a.js", "", false, "node"},
        {"a.mjs", "", false, "node"},
        {"a.cjs", "", false, "node"},
        {"a.ts", "", false, "bun"},
        {"a.rb", "", false, "ruby"},
        {"a.php", "", false, "php"},
        {"a.pl", "", false, "perl"},
        {"run", "#!/bin/sh\n", true, "none"},
        {"a.bin",
         "\x7f"
         "ELF",
         true, "none"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.script);
        std::string content = row.content;
        if (content.starts_with('\x7f')) content.push_back('\0');
        folder.file(std::string{"work/"} + row.script, content, row.executable);
        const std::string want = row.want;
        CHECK(folder.resolve({{"script", row.script}}).interpreter ==
              (want == "none" ? want : folder.path("bin/" + want)));
    }
}

TEST_CASE("resolve: python comes as python when there is no python3, and never buffers")
{
    Folder folder;
    folder.program("python");
    folder.file("work/a.py", "");
    const AppSpec spec = folder.resolve({{"script", "a.py"}});
    CHECK(spec.interpreter == folder.path("bin/python"));
    CHECK(spec.env == Environment{{"PYTHONUNBUFFERED", "1"}});
    const AppSpec own = folder.resolve({{"script", "a.py"}, {"env", {{"PYTHONUNBUFFERED", "0"}}}});
    CHECK(own.env.at("PYTHONUNBUFFERED") == "0");
}

TEST_CASE("resolve: a given interpreter is looked up in PATH or taken as a path")
{
    Folder folder;
    folder.program("lua");
    folder.file("work/a.txt", "");
    folder.file("work/sub/own", "", true);
    CHECK(folder.resolve({{"script", "a.txt"}, {"interpreter", "lua"}}).interpreter ==
          folder.path("bin/lua"));
    CHECK(folder.resolve({{"script", "a.txt"}, {"interpreter", "./sub/own"}}).interpreter ==
          folder.path("work/sub/own"));
    folder.file("work/run", "", true);
    CHECK(folder.resolve({{"script", "run"}, {"interpreter", "none"}}).interpreter == "none");
}

TEST_CASE("resolve: a word that is no file is a program in PATH")
{
    Folder folder;
    folder.program("redis-server");
    const AppSpec spec = folder.resolve({{"script", "redis-server"}, {"args", "--port 1"}});
    CHECK(spec.script == folder.path("bin/redis-server"));
    CHECK(spec.interpreter == "none");
    CHECK(spec.args == std::vector<std::string>{"--port", "1"});
    CHECK(spec.name == "redis-server");
}

TEST_CASE("resolve: a command line in one string is run by a shell")
{
    Folder folder;
    folder.program("sh");
    const AppSpec by_sh = folder.resolve({{"script", "/opt/tool.sh --x 'a b'"}});
    CHECK(by_sh.script == folder.path("bin/sh"));
    CHECK(by_sh.interpreter == "none");
    CHECK(by_sh.args == std::vector<std::string>{"-c", "/opt/tool.sh --x 'a b'"});
    CHECK(by_sh.name == "tool");
    folder.program("bash");
    const AppSpec by_bash = folder.resolve({{"script", "tool --x"}, {"args", {"a b"}}});
    CHECK(by_bash.script == folder.path("bin/bash"));
    CHECK(by_bash.args == std::vector<std::string>{"-c", "tool --x \"$@\"", "tool", "a b"});
    folder.program("node");
    folder.file("work/my app.js", "");
    CHECK(folder.resolve({{"script", "my app.js"}}).script == folder.path("work/my app.js"));
}

TEST_CASE("resolve: node with instances is cluster mode unless the file says otherwise")
{
    Folder folder;
    folder.program("node");
    folder.program("bash");
    folder.file("work/a.js", "");
    folder.file("work/a.sh", "");
    const auto mode = [&](const nlohmann::json& app) { return folder.resolve(app).exec_mode; };
    CHECK(mode({{"script", "a.js"}}) == ExecMode::fork);
    CHECK(mode({{"script", "a.js"}, {"instances", 1}}) == ExecMode::cluster);
    CHECK(mode({{"script", "a.js"}, {"instances", 2}, {"exec_mode", "fork"}}) == ExecMode::fork);
    CHECK(mode({{"script", "a.sh"}, {"instances", 2}}) == ExecMode::fork);
}

TEST_CASE("resolve: cluster mode without node is warned about and starts all the same")
{
    Folder folder;
    folder.program("bash");
    folder.file("work/a.sh", "");
    const std::string text = folder.complaint({{"script", "a.sh"}, {"exec_mode", "cluster"}});
    CHECK(text.find("warning: ") != std::string::npos);
    CHECK(text.find("listen") != std::string::npos);
}

TEST_CASE("resolve: what cannot be found or run is told with its path")
{
    Folder folder;
    folder.program("bash");
    folder.file("work/a.sh", "");
    folder.file("work/a.rb", "");
    folder.file("work/a.ts", "");
    folder.file("work/plain", "text");
    folder.file("work/hashbang", "#!/bin/sh\n");
    const std::string api = "f.json: app \"api\": ";
    const struct {
        nlohmann::json app;
        std::string want;
    } rows[] = {
        {{{"script", "b.sh"}}, "script not found: @/work/b.sh"},
        {{{"script", "nothing"}}, "script not found: @/work/nothing"},
        {{{"script", "sub"}}, "script must be a file, got the directory @/work/sub"},
        {{{"script", "a.sh"}, {"cwd", "gone"}},
         "cwd must be an existing directory, got \"@/work/gone\""},
        {{{"script", "b.sh"}, {"cwd", "a.sh"}},
         "cwd must be an existing directory, got \"@/work/a.sh\""},
        {{{"script", "a.sh"}, {"interpreter", "nope"}},
         "interpreter must be \"none\", a program in PATH or the path of one, got \"nope\""},
        {{{"script", "a.sh"}, {"interpreter", "./a.sh"}},
         "interpreter must be \"none\", a program in PATH or the path of one, got \"./a.sh\""},
        {{{"script", "b c.sh"}, {"interpreter", "bash"}}, "script not found: @/work/b c.sh"},
        {{{"script", "a.sh"}, {"interpreter", "none"}}, "script is not executable: @/work/a.sh"},
        {{{"script", "a.rb"}},
         "@/work/a.rb needs ruby, which is not in PATH; interpreter can name another program"},
        {{{"script", "a.ts"}}, "@/work/a.ts needs bun or node 22.6 in PATH"},
        {{{"script", "plain"}},
         "interpreter must be given for @/work/plain, which has no known "
         "extension and no \"#!\" line"},
        {{{"script", "hashbang"}},
         "@/work/hashbang is not executable: use chmod +x, or give an interpreter"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.app.dump());
        nlohmann::json app = row.app;
        app["name"] = "api";
        CHECK(folder.complaint(app) == api + row.want);
    }
}

TEST_CASE("resolve: faulty files that are wrong only in view of the file system")
{
    const std::string faulty = CLUSTER_SOURCE_DIR "/tests/integration/faulty";
    LinuxSystem system;
    const SystemClock clock;
    FileContext context{system, clock, faulty, {{"PATH", "/usr/bin:/bin"}}};
    std::size_t seen = 0;
    for (const auto& entry : fs::directory_iterator{faulty}) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with("fs-") || name.ends_with(".expected")) continue;
        CAPTURE(name);
        Ecosystem ecosystem = load_ecosystem(name, "", context);
        for (AppSpec& app : ecosystem.apps)
            resolve_app(app, name, context, ecosystem.diagnostics);
        std::string got;
        for (const Diagnostic& diagnostic : ecosystem.diagnostics)
            got += diagnostic.text() + "\n";
        for (auto at = got.find(faulty); at != got.npos; at = got.find(faulty))
            got.replace(at, faulty.size(), "{DIR}");
        std::ifstream expected{entry.path().string() + ".expected"};
        CHECK(got == std::string{std::istreambuf_iterator<char>{expected}, {}});
        ++seen;
    }
    CHECK(seen == 5);
}

TEST_CASE("files: what start takes as an ecosystem file")
{
    for (const char* name : {"-", "ecosystem.json", "x/y.yaml", "a.yml", "ecosystem.config.js",
                             "a.config.cjs", "b.config.mjs"}) {
        CAPTURE(name);
        CHECK(is_ecosystem_file(name));
    }
    for (const char* name : {"", "app.js", "json", "config.js", "a.json.sh", "api", "a.yaml2"}) {
        CAPTURE(name);
        CHECK_FALSE(is_ecosystem_file(name));
    }
}

TEST_CASE("files: what cannot be read says so, and JavaScript without node too")
{
    Folder folder;
    folder.file("work/a.config.js", "module.exports = {}");
    LinuxSystem system;
    const SystemClock clock;
    FileContext context{system, clock, folder.path("work"), {{"PATH", folder.path("bin")}}};
    const auto message = [&](const std::string& path) {
        const Ecosystem got = load_ecosystem(path, "", context);
        REQUIRE(got.diagnostics.size() == 1);
        return got.diagnostics[0].text();
    };
    CHECK(message("gone.json") == "gone.json: cannot read the file: no such file or directory");
    CHECK(message("sub") == "sub: cannot read the file: is a directory");
    CHECK(message("a.config.js") == "a.config.js: a JavaScript configuration needs node, which is "
                                    "not in PATH; install it or use JSON or YAML");
}

TEST_CASE("files: a dash reads JSON from standard input")
{
    LinuxSystem system;
    const SystemClock clock;
    auto pipe = system.pipe();
    REQUIRE(pipe.has_value());
    const std::string text = R"({"script":"a.js","instances":"x"})";
    REQUIRE(system.write(pipe->write.get(), text.data(), text.size()).has_value());
    pipe->write.reset();
    FileContext context{system, clock, "/", {}, pipe->read.get()};
    const Ecosystem got = load_ecosystem("-", "", context);
    REQUIRE(got.diagnostics.size() == 1);
    CHECK(got.diagnostics[0].text().starts_with("stdin: app \"a\": instances must be"));
}

TEST_CASE("paths: absolute, without dots, with the home folder for a tilde")
{
    const Environment environment{{"HOME", "/home/u"}};
    const struct {
        const char* path;
        const char* want;
    } rows[] = {
        {"", "/base"},        {"x", "/base/x"},   {"./x/../y", "/base/y"},
        {"../x", "/x"},       {"/a//b/", "/a/b"}, {"~", "/home/u"},
        {"~/x", "/home/u/x"}, {"~x", "/base/~x"}, {"/", "/"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.path);
        CHECK(absolute_path(row.path, "/base", environment) == row.want);
    }
    CHECK(absolute_path("~", "/base", {}) == "/base/~");
}
