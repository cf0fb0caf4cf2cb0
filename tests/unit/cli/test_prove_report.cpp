#include "cli/kernel_counters.hpp"
#include "cli/probe_address.hpp"
#include "cli/prove_report.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace cluster::cli;
using namespace std::chrono_literals;

namespace {

ProvedRequest answered(microseconds begin, microseconds wait, int status = 200)
{
    return {.begin = begin, .end = begin + wait, .status = status};
}

ProvedRequest lost(microseconds begin, microseconds wait, Loss loss, std::size_t address = 0)
{
    return {.begin = begin, .end = begin + wait, .address = address, .loss = loss};
}

/// A reload from 1 s to 3 s of a path that answers 200 within 2 ms.
ProveLog log_of(std::vector<ProvedRequest> requests)
{
    ProveLog log{.requests = {answered(100ms, 2ms), answered(200ms, 4ms)},
                 .phases = {{1100ms, "[api](0) starting"}, {2000ms, "[api](0) draining"}},
                 .begin = 1s,
                 .end = 3s,
                 .addresses = {"127.0.0.1:3001", "unix:/x"},
                 .path = "/health",
                 .fresh_clients = 4,
                 .kept_clients = 2,
                 .rate = 200};
    log.requests.insert(log.requests.end(), requests.begin(), requests.end());
    return log;
}

std::vector<std::string> lines(const ProveLog& log)
{
    return report_lines(summarize(log), log);
}

} // namespace

TEST_CASE("prove: what counts as lost, and what does not")
{
    const struct {
        std::string name;
        std::vector<ProvedRequest> requests;
        std::size_t counted;
        std::size_t lost;
    } rows[] = {
        {"nothing was asked", {}, 0, 0},
        {"all went well", {answered(1500ms, 1ms), answered(3200ms, 1ms)}, 2, 0},
        {"before the reload does not count", {lost(500ms, 1ms, Loss::refused)}, 0, 0},
        {"in flight when it began counts", {lost(900ms, 200ms, Loss::cut)}, 1, 1},
        {"after it counts", {lost(3500ms, 1ms, Loss::reset)}, 1, 1},
        {"each kind",
         {lost(2s, 1ms, Loss::refused), lost(2s, 1ms, Loss::reset), lost(2s, 1ms, Loss::cut),
          lost(2s, 10s, Loss::timed_out)},
         4,
         4},
        {"an error status that is new", {answered(2s, 1ms, 503)}, 1, 1},
        {"an error status that was there",
         {answered(300ms, 1ms, 503), answered(2s, 1ms, 503)},
         1,
         0},
        {"another status is no loss", {answered(2s, 1ms, 404)}, 1, 0},
        {"a raced request that was answered",
         {{.begin = 2s, .end = 2001ms, .status = 200, .raced = true}},
         1,
         0},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const ProveReport report = summarize(log_of(row.requests));
        CHECK(report.requests == row.counted);
        CHECK(report.lost == row.lost);
    }
}

TEST_CASE("prove: losses are grouped by kind, address and phase, in order of time")
{
    const ProveReport report = summarize(log_of({
        lost(2500ms, 1ms, Loss::reset),
        lost(1200ms, 1ms, Loss::refused),
        lost(1300ms, 1ms, Loss::refused, 1),
        lost(1400ms, 1ms, Loss::refused),
        lost(1001ms, 1ms, Loss::refused),
        lost(2600ms, 10s, Loss::timed_out),
        lost(1500ms, 600ms, Loss::cut),
        lost(3100ms, 1ms, Loss::reset),
    }));
    const std::vector<std::string> want{
        "refused 127.0.0.1:3001  1 2..2",
        "refused 127.0.0.1:3001 [api](0) starting 2 201..401",
        "refused unix:/x [api](0) starting 1 301..301",
        "cut 127.0.0.1:3001 [api](0) draining 1 1100..1100",
        "reset 127.0.0.1:3001 [api](0) draining 1 1501..1501",
        "timed_out 127.0.0.1:3001 [api](0) draining 1 1600..1600",
        "reset 127.0.0.1:3001 after the reload 1 2101..2101",
    };
    std::vector<std::string> got;
    for (const LossGroup& group : report.losses)
        got.push_back(std::string{loss_name(group.loss)} + " " + group.address + " " + group.phase +
                      " " + std::to_string(group.count) + " " +
                      std::to_string(group.first.count() / 1000) + ".." +
                      std::to_string(group.last.count() / 1000));
    CHECK(got == want);
}

TEST_CASE("prove: waits are those of the answers, the 99th of 100 and the longest")
{
    std::vector<ProvedRequest> requests;
    for (int i = 1; i <= 200; ++i)
        requests.push_back(answered(1500ms, std::chrono::milliseconds{i}));
    requests.push_back(lost(1500ms, 10s, Loss::timed_out));
    const ProveReport report = summarize(log_of(requests));
    CHECK(report.p99 == 198ms);
    CHECK(report.longest == 200ms);
    CHECK(report.p99_before == 4ms);
    CHECK(summarize(log_of({answered(2s, 7ms)})).p99 == 7ms);
    CHECK(summarize(log_of({})).p99 == 0ms);
}

TEST_CASE("prove: the report for people says first how many were lost")
{
    ProveLog log = log_of({});
    for (int i = 0; i < 1234; ++i)
        log.requests.push_back(answered(1500ms, 3ms));
    log.counters_before = {{"ListenDrops", 5}, {"Gone", 1}};
    log.counters_after = {{"ListenDrops", 7}, {"OutRsts", 3}};
    CHECK(lines(log) ==
          std::vector<std::string>{
              "0 of 1,234 requests lost in a reload of 2.0 s",
              "  asked 127.0.0.1:3001, unix:/x for /health: 4 clients with a connection for each "
              "request, 2 with one that is kept",
              "  p99 3.0 ms, longest wait 3.0 ms (before the reload: p99 4.0 ms)",
              "  kernel, whole network namespace: ListenDrops +2",
          });
}

TEST_CASE("prove: the report says where requests were lost, and all that is odd")
{
    ProveLog log = log_of({
        lost(300ms, 1ms, Loss::refused),
        lost(1200ms, 0ms, Loss::refused),
        lost(1205ms, 0ms, Loss::refused),
        lost(3100ms, 0ms, Loss::reset),
        lost(1050ms, 0ms, Loss::cut),
        answered(2100ms, 150ms, 503),
        answered(2100ms, 1ms, 404),
        {.begin = 2s, .end = 2001ms, .status = 200, .raced = true},
    });
    log.not_sent = 4;
    CHECK(lines(log) ==
          std::vector<std::string>{
              "5 of 7 requests lost in a reload of 2.0 s",
              "  1 cut in the answer at 127.0.0.1:3001, 0.050 s after the reload began",
              "  2 refused at 127.0.0.1:3001, 0.200 s to 0.205 s after the reload began, during "
              "[api](0) starting",
              "  1 answered with an error status at 127.0.0.1:3001, 1.250 s after the reload "
              "began, during [api](0) draining",
              "  1 reset before the answer at 127.0.0.1:3001, 2.100 s after the reload began, when "
              "it was over",
              "  asked 127.0.0.1:3001, unix:/x for /health: 4 clients with a connection for each "
              "request, 2 with one that is kept",
              "  p99 150 ms, longest wait 150 ms (before the reload: p99 4.0 ms)",
              "  1 raced: sent while the server closed the kept connection, and repeated",
              "  1 answers had the status 404, which was not seen before",
              "  1 answers had the status 503, which was not seen before",
              "  1 of 3 requests were lost before the reload already",
              "  4 requests could not be sent: ports or descriptors ran out on this side",
          });
}

TEST_CASE("prove: the report for programs has each lost request")
{
    ProveLog log = log_of(
        {lost(1200ms, 5ms, Loss::refused), answered(2100ms, 1ms, 503), answered(2200ms, 1ms)});
    log.counters_before = {{"ListenDrops", 5}};
    log.counters_after = {{"ListenDrops", 5}};
    const json report = report_json(summarize(log), log);
    CHECK(report["requests"] == 3);
    CHECK(report["lost"] == 2);
    CHECK(report["losses"] == json::parse(R"([
        {"kind":"refused","address":"127.0.0.1:3001","at_ms":205.0,"waited_ms":5.0,"status":0,
         "phase":"[api](0) starting"},
        {"kind":"status","address":"127.0.0.1:3001","at_ms":1101.0,"waited_ms":1.0,"status":503,
         "phase":"[api](0) draining"}])"));
    CHECK(report["statuses"] == json{{"200", 1}, {"503", 1}});
    CHECK(report["new_statuses"] == json{503});
    CHECK(report["reload_ms"] == 2000.0);
    CHECK(report["before"] == json{{"requests", 2}, {"lost", 0}, {"p99_ms", 4.0}});
    CHECK(report["kernel"] ==
          json{{"scope", "network namespace"}, {"counters", {{"ListenDrops", 0}}}});
}

TEST_CASE("prove: the kernel's counters are read by name")
{
    const KernelCounters got = parse_counters("TcpExt: SyncookiesSent ListenOverflows ListenDrops\n"
                                              "TcpExt: 1 2 3\n"
                                              "IpExt: InNoRoutes\n"
                                              "IpExt: 9\n");
    CHECK(got == KernelCounters{{"ListenOverflows", 2}, {"ListenDrops", 3}});
    CHECK(parse_counters("Tcp: MaxConn EstabResets OutRsts\nTcp: -1 4 5\n") ==
          KernelCounters{{"EstabResets", 4}, {"OutRsts", 5}});
    CHECK(parse_counters("").empty());
    CHECK(parse_counters("Tcp: OutRsts\n").empty());
    CHECK(parse_counters("Tcp: OutRsts\nTcp: x\n").empty());
    CHECK(parse_counters("Tcp: EstabResets OutRsts\nTcp: 1\n") ==
          KernelCounters{{"EstabResets", 1}});
}

TEST_CASE("prove: numbers are grouped by thousands")
{
    CHECK(grouped(0) == "0");
    CHECK(grouped(999) == "999");
    CHECK(grouped(1000) == "1,000");
    CHECK(grouped(1234567) == "1,234,567");
}

TEST_CASE("prove: an address is one to connect to, a wildcard this machine")
{
    const struct {
        const char* text;
        std::string want;
    } rows[] = {
        {"3001", "127.0.0.1:3001"},
        {"0.0.0.0:3001", "127.0.0.1:3001"},
        {"10.0.0.1:80", "10.0.0.1:80"},
        {"[::]:3001", "[::1]:3001"},
        {"[2001:db8::1]:80", "[2001:db8::1]:80"},
        {"unix:/run/x.sock", "unix:/run/x.sock"},
        {"127.0.0.1:0", "error: the address has no port yet"},
        {"nonsense", "error: the address must be a port from 0 to 65535, \"ADDRESS:PORT\" with an "
                     "IPv4 or [IPv6] address, or \"unix:/PATH\", got \"nonsense\""},
    };
    for (const auto& row : rows) {
        CAPTURE(std::string{row.text});
        const auto address = parse_probe_address(row.text);
        CHECK((address ? address->text : "error: " + address.error()) == row.want);
        if (address) CHECK(address->size > 0);
    }
}

TEST_CASE("prove: a URL is an address and a path")
{
    const struct {
        const char* text;
        std::string address;
        std::string path;
    } rows[] = {
        {"http://127.0.0.1:3001/health?x=1", "127.0.0.1:3001", "/health?x=1"},
        {"http://127.0.0.1:3001", "127.0.0.1:3001", "/"},
        {"http://127.0.0.1", "127.0.0.1:80", "/"},
        {"http://[::1]", "[::1]:80", "/"},
        {"http://[::1]:3001/a", "[::1]:3001", "/a"},
    };
    for (const auto& row : rows) {
        CAPTURE(std::string{row.text});
        const auto url = parse_probe_url(row.text);
        REQUIRE(url.has_value());
        CHECK(url->address.text == row.address);
        CHECK(url->path == row.path);
    }
    for (const char* text : {"https://x/", "127.0.0.1:80", "http://", "http:///x", "http://a b/",
                             "http://u:p@127.0.0.1:80/"}) {
        CAPTURE(std::string{text});
        const auto url = parse_probe_url(text);
        REQUIRE_FALSE(url.has_value());
        CHECK(url.error().starts_with("the URL must be http://ADDRESS:PORT/PATH, got "));
    }
}
