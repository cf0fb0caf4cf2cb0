#include "cli/app_options.hpp"
#include "cli/commands.hpp"
#include "cli/progress.hpp"
#include "cli/run.hpp"
#include "ipc/base/version.hpp"
#include "tests/support/manual_clock.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

using namespace cluster;
using namespace cluster::cli;

namespace {

/// A descriptor whose text a test reads back.
class Captured {
public:
    Captured() : fd_{::memfd_create("output", MFD_CLOEXEC)} {}
    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] std::string text() const
    {
        std::string all(1UL << 16U, '\0');
        const ssize_t size = ::pread(fd_.get(), all.data(), all.size(), 0);
        all.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        return all;
    }

private:
    ipc::UniqueFd fd_;
};

struct Ran {
    int code = 0;
    std::string out;
    std::string err;
};

/// Runs a command line that never gets as far as asking the daemon: the home cannot be one.
Ran run_words(const std::vector<std::string>& words)
{
    const Captured out_text, err_text;
    ipc::SystemClock clock;
    ipc::LinuxSystem system;
    Session session{"/proc/nowhere/" + std::string(200, 'x'), clock, [] {}};
    Ran ran;
    {
        Output out{out_text.fd()}, err{err_text.fd()};
        Context context{out, err, session, clock, system};
        ran.code = run(words, context);
    }
    ran.out = out_text.text();
    ran.err = err_text.text();
    return ran;
}

/// The words that are no options, and no values of options.
std::vector<std::string> targets_of(std::vector<std::string> words)
{
    CLI::App parser;
    AppOptions options;
    std::vector<std::string> targets;
    parser.add_option("target", targets);
    options.add_to(parser);
    std::reverse(words.begin(), words.end());
    parser.parse(words);
    return targets;
}

json attributes_of(std::vector<std::string> words)
{
    CLI::App parser;
    AppOptions options;
    options.add_to(parser);
    std::reverse(words.begin(), words.end());
    parser.parse(words);
    return options.attributes();
}

} // namespace

TEST_CASE("command line: the command is the first word that is no option")
{
    const struct {
        std::vector<std::string> words;
        CommandLine want;
    } rows[] = {
        {{}, {"", {}, {}}},
        {{"list"}, {"list", {}, {}}},
        {{"--no-color", "list", "-m"}, {"list", {"--no-color", "-m"}, {}}},
        {{"-n", "x", "start", "a.js"}, {"start", {"-n", "x", "a.js"}, {}}},
        {{"--name=x", "start", "a.js"}, {"start", {"--name=x", "a.js"}, {}}},
        {{"start", "a.js", "--", "-x", "--", "y"}, {"start", {"a.js"}, {"-x", "--", "y"}}},
        {{"start", "-"}, {"start", {"-"}, {}}},
        {{"scale", "api", "-2"}, {"scale", {"api", "-2"}, {}}},
        {{"--version"}, {"", {"--version"}, {}}},
        {{"-n"}, {"", {"-n"}, {}}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.want.command);
        const CommandLine line = cut_command_line(row.words);
        CHECK(line.command == row.want.command);
        CHECK(line.arguments == row.want.arguments);
        CHECK(line.app_arguments == row.want.app_arguments);
    }
}

TEST_CASE("command line: every name and alias finds its command, and no two share one")
{
    std::vector<std::string_view> seen;
    for (const Command& command : all_commands()) {
        std::vector<std::string_view> names{command.name};
        names.insert(names.end(), command.aliases.begin(), command.aliases.end());
        for (const auto name : names) {
            CAPTURE(name);
            CHECK(find_command(name) == &command);
            CHECK(std::ranges::find(seen, name) == seen.end());
            seen.push_back(name);
        }
    }
    CHECK(find_command("nonsense") == nullptr);
}

TEST_CASE("options: PM2's spellings become attributes")
{
    const struct {
        std::vector<std::string> words;
        const char* want;
    } rows[] = {
        {{}, "{}"},
        {{"-n", "api"}, R"({"name":"api"})"},
        {{"--name=1"}, R"({"name":"1"})"},
        {{"-i", "4"}, R"({"instances":4})"},
        {{"-i", "-1"}, R"({"instances":-1})"},
        {{"--instances", "max"}, R"({"instances":"max"})"},
        {{"--max-memory-restart", "300M"}, R"({"max_memory_restart":"300M"})"},
        {{"--cron=@daily"}, R"({"cron_restart":"@daily"})"},
        {{"-c", "0 3 * * *"}, R"({"cron_restart":"0 3 * * *"})"},
        {{"--cron-restart", "0"}, R"({"cron_restart":"0"})"},
        {{"-k", "5000"}, R"({"kill_timeout":5000})"},
        {{"--restart-delay", "5s"}, R"({"restart_delay":"5s"})"},
        {{"--no-autorestart", "--no-treekill", "--merge-logs"},
         R"({"autorestart":false,"merge_logs":true,"treekill":false})"},
        {{"--stop-exit-codes", "0", "3"}, R"({"stop_exit_codes":[0,3]})"},
        {{"--stop-exit-codes", "0,3"}, R"({"stop_exit_codes":[0,3]})"},
        {{"--stop-exit-codes", "x"}, R"({"stop_exit_codes":["x"]})"},
        {{"--filter-env", "AWS", "--filter-env", "GIT"}, R"({"filter_env":["AWS","GIT"]})"},
        {{"--listen", "3000", "--listen", "unix:/run/x"}, R"({"listen":["3000","unix:/run/x"]})"},
        {{"--node-args", "--inspect --x=1"}, R"({"interpreter_args":"--inspect --x=1"})"},
        {{"-o", "a", "-o", "b"}, R"({"out_file":"b"})"},
        {{"-u", "www"}, R"({"uid":"www"})"},
        {{"--uid", "33"}, R"({"uid":"33"})"},
        {{"--wait-ready", "--shutdown-with-message"},
         R"({"shutdown_with_message":true,"wait_ready":true})"},
        {{"--listen-timeout", "8000"}, R"({"listen_timeout":8000})"},
        {{"--drain-timeout", "30s"}, R"({"drain_timeout":"30s"})"},
        {{"--ready", "/ready", "--health", "/health"}, R"({"health":"/health","ready":"/ready"})"},
        {{"--balance", "reuseport"}, R"({"balance":"reuseport"})"},
        {{"--depends-on", "db", "--depends-on", "cache"}, R"({"depends_on":["db","cache"]})"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.want);
        CHECK(attributes_of(row.words) == json::parse(row.want));
    }
}

TEST_CASE("options: a value is one word, so that the target may follow it")
{
    const std::vector<std::vector<std::string>> rows{
        {"-n", "api", "a.js"},      {"-i", "4", "a.js"},
        {"-i", "-1", "a.js"},       {"--cwd", "/tmp", "a.js"},
        {"--listen", "80", "a.js"}, {"--filter-env", "AWS", "a.js", "--filter-env", "GIT"},
        {"a.js", "-n", "api"},      {"--no-autorestart", "a.js", "-k", "1"},
        {"--wait-ready", "a.js"},   {"--depends-on", "db", "a.js"},
        {"--ready", "/r", "a.js"},  {"a.js", "--listen-timeout", "5s"},
    };
    for (const auto& words : rows) {
        CAPTURE(words[0]);
        CHECK(targets_of(words) == std::vector<std::string>{"a.js"});
    }
}

TEST_CASE("options: messages name the option that the user wrote")
{
    CHECK(option_of("instances") == "--instances");
    CHECK(option_of("autorestart") == "--no-autorestart");
    CHECK(option_of("uid") == "--user");
    CHECK(option_of("something") == "something");
}

TEST_CASE("usage errors name what is wrong and exit with 2")
{
    const struct {
        std::vector<std::string> words;
        const char* message;
    } rows[] = {
        {{"strat"}, "unknown command 'strat', did you mean 'start'?"},
        {{"qqqqqqqqq"}, "unknown command 'qqqqqqqqq'; `clusterctl help`"},
        {{"start", "a.js", "--watch"}, "start: the option --watch is not supported yet"},
        {{"start", "a.js", "--ext=js"}, "start: the option --ext is not supported yet"},
        {{"start", "--name", "-c", "-x", "a.js"}, "start: the option -x is not supported yet"},
        {{"logs", "--lines", "-1"}, "Value -1 not in range 0 to 1000000000"},
        {{"start", "a.js", "--bogus"}, "--bogus (the program's own arguments go behind --)"},
        {{"list", "--bogus"}, "list: The following argument was not expected: --bogus"},
        {{"list", "--", "x"}, "list: The following arguments were not expected: x"},
        {{"stop"}, "stop: target is required"},
        {{"list", "--sort", "size"}, "--sort must name one of"},
        {{"env", "api"}, "env takes the id of a process"},
        {{"help", "strat"}, "did you mean 'start'?"},
        {{"startOrReload", "api"}, "an ecosystem file must be given, got 'api'"},
        {{"startOrRestart"}, "startOrRestart: file is required"},
        {{"reload", "api", "--abort", "--no-queue"},
         "reload: --no-queue has no meaning beside --abort"},
        {{"reload", "api", "--abort", "-i", "4"},
         "reload: --instances has no meaning beside --abort"},
        {{"reload", "api", "--abort", "-a"}, "reload: --update-env has no meaning beside --abort"},
        {{"reload", "api", "--abort", "--prove"}, "reload: --prove has no meaning beside --abort"},
        {{"reload", "api", "--prove", "--no-wait"}, "--no-wait has no meaning beside it"},
        {{"reload", "api", "--prove-rate", "10"}, "--prove-rate requires --prove"},
        {{"reload", "api", "--prove", "--prove-rate", "0"}, "--prove-rate: Value 0 not in range"},
        {{"reload", "api", "--prove", "--prove-path", "x"}, "must be a path such as /health"},
        {{"reload", "api", "--prove", "--prove-url", "https://x/"},
         "--prove-url: the URL must be http://ADDRESS:PORT/PATH, got \"https://x/\""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.message);
        const Ran ran = run_words(row.words);
        CHECK(ran.code == 2);
        CHECK(ran.out.empty());
        CHECK(ran.err.starts_with("[clusterctl][ERROR] "));
        CHECK(ran.err.find(row.message) != std::string::npos);
    }
}

TEST_CASE("with --json an error is one object on stderr")
{
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"strat", "--json"}, {"--json", "list", "--sort", "x"}}) {
        const Ran ran = run_words(words);
        CHECK(ran.code == 2);
        const json error = json::parse(ran.err, nullptr, false);
        REQUIRE(error.is_object());
        CHECK(error["error"]["message"].is_string());
    }
}

TEST_CASE("every command has a help with an example")
{
    for (const Command& command : all_commands()) {
        CAPTURE(command.name);
        const Ran ran = run_words({std::string{command.name}, "--help"});
        CHECK(ran.code == 0);
        CHECK(ran.err.empty());
        CHECK(ran.out.find("Examples:\n  clusterctl " + std::string{command.name}) !=
              std::string::npos);
        CHECK(run_words({"help", std::string{command.name}}).out == ran.out);
    }
}

TEST_CASE("the overview and the version")
{
    CHECK(run_words({"--version"}).out == std::string{ipc::version()} + "\n");
    CHECK(run_words({"-V"}).out == std::string{ipc::version()} + "\n");
    const Ran help = run_words({"--help"});
    CHECK(help.code == 0);
    CHECK(help.out.find("  list, ls, l, ps, status ") != std::string::npos);
    CHECK(help.out.find("schema") == std::string::npos); // hidden
    const Ran nothing = run_words({});
    CHECK(nothing.code == 2);
    CHECK(nothing.err == help.out);
}

TEST_CASE("a home that no daemon can have ends with 3 and says why")
{
    const Ran ran = run_words({"list"});
    CHECK(ran.code == 3);
    CHECK(ran.err.find("cannot reach the daemon of /proc/nowhere/") != std::string::npos);
    CHECK(ran.err.find("at most 107 are allowed") != std::string::npos);
}

TEST_CASE("failures are printed with their last words, harmless for the terminal")
{
    const json failures = json::array(
        {{{"id", 3},
          {"name", "api"},
          {"reason", "exited with code 1 after 40 ms"},
          {"stderr", {"Error: \x1b[2Jboom", "\tat x"}}},
         {{"id", 4}, {"name", "b\x07"}, {"reason", "cannot run /x: no such file or directory"}}});
    CHECK(failures_text(failures, {}) ==
          "[clusterctl][ERROR] [api](3) exited with code 1 after 40 ms\n"
          "    Error: \\x1b[2Jboom\n"
          "    \tat x\n"
          "[clusterctl][ERROR] [b\\x07](4) cannot run /x: no such file or directory\n");
    CHECK(failures_text(json("no array"), {}).empty());
}

TEST_CASE("progress tells each process and how it went")
{
    const json good = {{"process", {{"id", 0}, {"name", "api"}, {"status", "online"}}}};
    json bad = good;
    bad["process"]["status"] = "errored";
    json failed = good;
    failed["failed"] = true;
    CHECK(progress_text(good, {.utf8 = true}) == "[api](0) ✓");
    CHECK(progress_text(good, {}) == "[api](0) ok");
    CHECK(progress_text(bad, {.utf8 = true}) == "[api](0) ✗");
    CHECK(progress_text(failed, {.utf8 = true}) == "[api](0) ✗");
    CHECK(progress_text(failed, {.colour = true}) == "[api](0) \x1b[31mfailed\x1b[0m");
}

TEST_CASE("progress of a reload tells phases and seconds")
{
    const auto step = [](const char* phase, json more) {
        json params{{"done", 1},
                    {"total", 4},
                    {"phase", phase},
                    {"elapsed_ms", 1234},
                    {"process", {{"id", 0}, {"name", "api"}, {"status", "online"}}}};
        params.update(more);
        return params;
    };
    const json none = json::object();
    const json note{{"note", "12 connections closed"}};
    const json trick{{"note", "a\x1b[2Jb"}};
    const struct {
        json params;
        std::string pipe;
        std::string terminal;
    } rows[] = {
        {step("starting", none), "[api](0) starting after 1.2 s",
         "reloading 1/4 [api](0) starting 3.2 s"},
        {step("ready", none), "[api](0) ready after 1.2 s", "reloading 1/4 [api](0) ready 3.2 s"},
        {step("draining", note), "[api](0) draining after 1.2 s (12 connections closed)",
         "reloading 1/4 [api](0) draining 3.2 s (12 connections closed)"},
        {step("draining", trick), "[api](0) draining after 1.2 s (a\\x1b[2Jb)",
         "reloading 1/4 [api](0) draining 3.2 s (a\\x1b[2Jb)"},
        {step("done", none), "[api](0) ✓ after 1.2 s", "reloading 1/4 [api](0) ✓"},
        {step("failed", none), "[api](0) ✗ after 1.2 s", "reloading 1/4 [api](0) ✗"},
        // A daemon that knows no phases.
        {{{"done", 1}, {"total", 4}, {"process", {{"id", 0}, {"name", "api"}}}},
         "[api](0) ✓",
         "reloading 1/4 [api](0) ✓"},
        {none, "[]() ✓", "reloading []() ✓"},
    };
    const Style style{.utf8 = true};
    for (const auto& row : rows) {
        CAPTURE(row.params.dump());
        CHECK(progress_text(row.params, style) == row.pipe);
        CHECK(progress_line("reloading", row.params, ipc::milliseconds{2000}, style) ==
              row.terminal);
    }
}

TEST_CASE("progress: in a pipe a line per step, on a terminal one line, and notices on their own")
{
    const json ready{{"total", 1},
                     {"phase", "ready"},
                     {"elapsed_ms", 1000},
                     {"process", {{"id", 0}, {"name", "api"}}}};
    const json notice{{"request", 1}, {"text", "api: listen needs a restart"}};
    const struct {
        std::string name;
        std::size_t width;
        bool json_output;
        std::string want;
    } rows[] = {
        {"pipe", 0, false,
         "[clusterctl] [api](0) ready after 1.0 s\n"
         "[clusterctl] api: listen needs a restart\n"},
        {"terminal", 80, false,
         "\r\x1b[Kreloading 0/1 [api](0) ready 1.0 s"
         "\r\x1b[K[clusterctl] api: listen needs a restart\n"
         "\r\x1b[Kreloading 0/1 [api](0) ready 3.5 s"
         "\r\x1b[K"},
        {"--json", 80, true, ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const Captured text;
        tests::ManualClock clock;
        ipc::LinuxSystem system;
        Session session{"/proc/nowhere", clock, [] {}};
        std::size_t observed = 0;
        {
            Output out{text.fd(), {.width = row.width}}, err{text.fd()};
            Context context{out, err, session, clock, system, row.json_output};
            Progress progress{context,
                              {.verb = "reloading", .on_progress = [&](const json& params) {
                                   observed += params == ready ? 1 : 0;
                               }}};
            progress.on_notification("progress", ready);
            progress.on_notification("notice", notice);
            progress.on_notification("other", ready);
            clock.advance(ipc::milliseconds{2500});
            progress.on_idle();
        }
        CHECK(observed == 1);
        CHECK(text.text() == row.want);
    }
}

TEST_CASE("output: a reader that went away ends the printing, a full disk is told")
{
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    ipc::UniqueFd write_end{ends[1]};
    ::close(ends[0]);
    std::signal(SIGPIPE, SIG_IGN);
    Output gone{write_end.get()};
    gone.write("x");
    CHECK_FALSE(gone.closed()); // still in the buffer
    gone.flush();
    CHECK(gone.error() == EPIPE);
    gone.write("more"); // goes nowhere, and no signal comes

    const ipc::UniqueFd full{::open("/dev/full", O_WRONLY | O_CLOEXEC)};
    Output disk{full.get()};
    disk.write(std::string(200'000, 'x'));
    CHECK(disk.error() == ENOSPC);
}
