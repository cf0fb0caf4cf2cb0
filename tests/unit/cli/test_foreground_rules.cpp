#include "cli/foreground_rules.hpp"
#include "cli/paced_output.hpp"

#include <doctest/doctest.h>

#include <csignal>

#include <fcntl.h>
#include <unistd.h>

#include <string>

namespace cluster::cli {
namespace {

/// A process as `describe` tells of it, after an end by itself.
json ended(const char* name, json code, json signal = nullptr, const char* status = "stopped")
{
    return {{"id", 0},
            {"name", name},
            {"status", status},
            {"exit_code", code},
            {"exit_signal", signal},
            {"started_at", 1},
            {"waits_for", ""},
            {"cause", "start asked by clusterctl (uid 0)"},
            {"kill_signal", "SIGINT"}};
}

template <class... Processes>
json list(Processes... each)
{
    json all = json::array();
    (all.push_back(std::move(each)), ...);
    return all;
}

json asked(json process)
{
    process["cause"] = "stop asked by clusterctl (uid 0)";
    return process;
}

json never_ran(const char* status)
{
    json process = ended("api", nullptr, nullptr, status);
    process["started_at"] = 0;
    return process;
}

TEST_CASE("what a signal means")
{
    CHECK(wish_of(SIGTERM) == Wish::stop);
    CHECK(wish_of(SIGINT) == Wish::stop);
    CHECK(wish_of(SIGHUP) == Wish::reload);
    CHECK(wish_of(SIGUSR1) == Wish::forward);
    CHECK(wish_of(SIGUSR2) == Wish::forward);
    CHECK(wish_of(SIGQUIT) == Wish::forward);
    CHECK(wish_of(SIGRTMIN + 3) == Wish::forward);
    CHECK(wish_of(SIGWINCH) == Wish::nothing);
    CHECK(wish_of(SIGCHLD) == Wish::reap);
    for (const int signal : signals_known()) {
        CHECK(signal != SIGTSTP); // job control and faults keep their default meaning
        CHECK(signal != SIGSEGV);
    }
}

TEST_CASE("exit code: of one app its own, of several whether all went well")
{
    const struct {
        const char* name;
        json processes;
        int want;
    } rows[] = {
        {"nothing", json::array(), 0},
        {"well", list(ended("api", 0)), 0},
        {"its code", list(ended("api", 3)), 3},
        {"killed", list(ended("api", nullptr, 9)), 137},
        {"terminated by somebody else", list(ended("api", nullptr, 15)), 143},
        {"interrupted by somebody else", list(ended("api", nullptr, 2)), 130},
        {"too many restarts", list(ended("api", 7, nullptr, "errored")), 7},
        {"ended with 0 too often", list(ended("api", 0, nullptr, "errored")), 1},
        {"could not be started", list(never_ran("errored")), 1},
        {"never wanted", list(never_ran("stopped")), 0},
        {"end unseen", list(ended("api", nullptr)), 1},
        {"one app, two instances", list(ended("api", 0), ended("api", 5)), 5},
        {"several, all well", list(ended("api", 0), ended("db", 0)), 0},
        {"several, one not", list(ended("api", 0), ended("db", 5)), 1},
        {"stopped by its signal", list(asked(ended("api", nullptr, 2))), 0},
        {"says so by its code", list(asked(ended("api", 130))), 0},
        {"stopped, with a code of its own", list(asked(ended("api", 4))), 4},
        {"had to be killed", list(asked(ended("api", nullptr, 9))), 137},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(exit_code_of(row.processes) == row.want);
    }
}

TEST_CASE("an end that the daemon has not seen is known where it was a child of ours")
{
    const Pids pids{{0, 50}};
    CHECK(exit_code_of(with_ends(list(ended("api", nullptr)), pids, {{50, {.code = 3}}})) == 3);
    CHECK(exit_code_of(with_ends(list(ended("api", nullptr)), pids, {{50, {.signal = 9}}})) == 137);
    CHECK(exit_code_of(with_ends(list(ended("api", nullptr)), pids, {{51, {.code = 3}}})) == 1);
    CHECK(exit_code_of(with_ends(list(ended("api", nullptr)), {}, {{50, {.code = 3}}})) == 1);
    CHECK(exit_code_of(with_ends(list(ended("api", 4)), pids, {{50, {.code = 3}}})) == 4);
}

TEST_CASE("something is left while it runs, will run, or waits for another app")
{
    CHECK_FALSE(any_left(json::array()));
    CHECK_FALSE(any_left(list(ended("api", 0), ended("db", 1, nullptr, "errored"))));
    for (const char* status : {"launching", "online", "stopping", "waiting restart"})
        CHECK(any_left(list(ended("db", 0), ended("api", nullptr, nullptr, status))));
    json held = never_ran("stopped");
    held["waits_for"] = "waits for db (ready)";
    CHECK(any_left(list(held)));
}

TEST_CASE("what is said about an end")
{
    const auto note = [](const char* event, json process, const char* cause) {
        return note_of({{"event", event}, {"process", std::move(process)}, {"cause", cause}});
    };
    const char* start = "start asked by clusterctl (uid 0)";
    CHECK(note("exit", ended("api", 3, nullptr, "launching"), start) ==
          "[api](0) exited with code 3, is started again");
    CHECK(note("exit", ended("api", nullptr, 11, "waiting restart"), start) ==
          "[api](0) was killed by SIGSEGV, will be started again");
    CHECK(note("errored", ended("api", 3, nullptr, "errored"), start) ==
          "[api](0) exited with code 3, is not started again: errored");
    CHECK(note("errored", never_ran("errored"), start) == "[api](0) could not be started");
    CHECK(note("stopped", ended("api", 3), start) == "[api](0) exited with code 3");
    CHECK(note("stopped", ended("api", 0), start) == "");
    CHECK(note("stopped", ended("api", nullptr, 2), "stop asked by clusterctl (uid 0)") == "");
    CHECK(note("online", ended("api", nullptr, nullptr, "online"), start) == "");
}

TEST_CASE("what went wrong in a start, without the ends that events tell of")
{
    const json exited{{"stage", "exit"}, {"name", "api"}, {"id", 0}, {"reason", "exited"}};
    const json missing{{"stage", "launch"}, {"name", "db"}, {"id", 1}, {"reason", "no such file"}};
    const auto error = [](json failures) {
        return json{{"message", "in use"}, {"data", {{"failures", std::move(failures)}}}};
    };
    CHECK(failures_of(error(list(exited, missing))) ==
          std::vector<std::string>{"[db](1) no such file"});
    CHECK(failures_of(error(list(exited))).empty());
    CHECK(failures_of(error(json::array())) == std::vector<std::string>{"in use"});
    CHECK(failures_of({{"message", "in use"}}) == std::vector<std::string>{"in use"});
}

TEST_CASE("apps that a daemon has not heard of")
{
    const json api{{"name", "api"}};
    const json db{{"name", "db"}};
    const json declared = list(api, db);
    CHECK(missing_apps(declared, json::array()) == declared);
    CHECK(missing_apps(declared, list(ended("api", 0))) == list(db));
    CHECK(missing_apps(declared, list(ended("api", 0), ended("db", 0))).empty());
}

TEST_CASE("a line in each format")
{
    const LogLine line{
        .id = 2, .name = "api", .error = true, .at = 1790000000000, .text = "say \"x\""};
    CHECK(output_line(line, LogFormat::raw, 10, {}) == "say \"x\"\n");
    CHECK(output_line(line, LogFormat::prefixed, 5, {}) == "2|api   | say \"x\"\n");
    CHECK(output_line(line, LogFormat::json, 5, {}) ==
          R"({"time":"2026-09-21T14:13:20.000Z","app":"api","id":2,"stream":"stderr",)"
          R"("message":"say \"x\""})"
          "\n");
    CHECK(said_line("hello", 1790000000000) ==
          R"({"time":"2026-09-21T14:13:20.000Z","app":null,"id":null,"stream":"supervisor",)"
          R"("message":"hello"})"
          "\n");
}

TEST_CASE("paced output: pieces that do not block, and the end of the reader")
{
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    PacedOutput output{ends[1]};
    const std::string text(200'000, 'x');
    output.add(text);
    std::string got;
    while (output.waiting() > 0) {
        const std::size_t before = output.waiting();
        output.write_some();
        CHECK(before - output.waiting() <= 4096);
        if (before != output.waiting()) continue;
        char chunk[65536]; // it is full
        const auto size = ::read(ends[0], chunk, sizeof chunk);
        REQUIRE(size > 0);
        got.append(chunk, static_cast<std::size_t>(size));
    }
    char chunk[65536];
    for (ssize_t size; (size = ::read(ends[0], chunk, sizeof chunk)) > 0;)
        got.append(chunk, static_cast<std::size_t>(size));
    CHECK(got == text);

    ::close(ends[0]);
    output.add("nobody");
    output.write_some();
    CHECK(output.closed_now());
    CHECK_FALSE(output.closed_now());
    output.add("still nobody");
    CHECK(output.waiting() == 0);
    ::close(ends[1]);
}

} // namespace
} // namespace cluster::cli
