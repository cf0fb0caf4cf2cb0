#include "app/metrics/figure_file.hpp"
#include "app/metrics/host_figures.hpp"
#include "app/metrics/http_figures.hpp"
#include "app/metrics/registry.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

using namespace cluster::app;

namespace {

Snapshot snapshot_of(const std::vector<Series>& series, std::vector<std::uint64_t> cells)
{
    return {.series = std::make_shared<const std::vector<Series>>(series),
            .cells = std::move(cells)};
}

Snapshot counted(const std::string& name, std::uint64_t value)
{
    return snapshot_of({{.name = name, .help = "Help."}}, {value});
}

/// The sums over a folder, seen by a process that counts nothing.
std::string sums_of(const std::string& folder)
{
    return HostFigures{folder}.read(Snapshot{}, "none").text();
}

/// A folder that is gone at the end.
struct Folder {
    std::string path;
    Folder()
    {
        std::string name = (std::filesystem::temp_directory_path() / "figures.XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    Folder(const Folder&) = delete;
    ~Folder() { std::filesystem::remove_all(path); }

    [[nodiscard]] std::vector<std::string> files() const
    {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator{path})
            names.push_back(entry.path().filename());
        std::ranges::sort(names);
        return names;
    }
    void write(const std::string& name, const std::string& text) const
    {
        std::ofstream{path + "/" + name, std::ios::binary} << text;
    }
};

/// A process of the server, as far as counting goes.
struct Process {
    Registry registry;
    Counter& hits = registry.counter("hits_total", "Hits.", {{"route", "/a"}});
    Gauge& open = registry.gauge("open", "Open ones.", {});
    Histogram& wait = registry.histogram("wait_seconds", "Waits.", {});

    Process(const Folder& folder, const std::string& unique)
    {
        hits.add(); // before others can see it: counts as well
        REQUIRE(registry.seal(folder.path, unique).has_value());
    }
};

} // namespace

TEST_CASE("descriptions of figures come back as they were written")
{
    const std::vector<Series> series{
        {.name = "a_total", .help = "A \"help\"\n", .labels = {{"x", "1"}, {"y", "\\"}}},
        {.name = "b", .help = "", .kind = FigureKind::gauge},
        {.name = "c", .help = "", .kind = FigureKind::float_counter, .rare = true},
        {.name = "d", .help = "", .kind = FigureKind::histogram, .bounds = {0.1, 0.25, 10}}};
    const std::vector<std::string> folded{"1-a.figures"};
    const auto read = parse_description(describe(series, folded));
    REQUIRE(read.has_value());
    CHECK(*read->series == series);
    CHECK(read->folded == folded);
    CHECK(read->cells == 8);
}

TEST_CASE("descriptions that are none are refused")
{
    const char* rows[] = {
        "",
        "null",
        "[]",
        "{}",
        R"({"series":5,"folded":[]})",
        R"({"series":[],"folded":[5]})",
        R"({"series":[{"name":"a","help":"","kind":"pie"}],"folded":[]})",
        R"({"series":[{"name":"a b","help":"","kind":"gauge"}],"folded":[]})",
        R"({"series":[{"name":"a\n","help":"","kind":"gauge"}],"folded":[]})",
        R"({"series":[{"name":"a","help":"","kind":"gauge","labels":[["a:b","x"]]}],"folded":[]})",
        R"({"series":[{"name":"a","help":"","kind":"gauge","bounds":[1]}],"folded":[]})",
        R"({"series":[{"name":"a","help":"","kind":"histogram","bounds":[1,1]}],"folded":[]})",
        R"({"series":[{"name":"a","help":"","kind":"histogram","bounds":[2,1]}],"folded":[]})",
    };
    for (const char* row : rows) {
        CAPTURE(row);
        CHECK_FALSE(parse_description(row).has_value());
    }
}

TEST_CASE("totals: counters of all, gauges of the living, the latest moment")
{
    const std::vector<Series> series{
        {.name = "hits_total", .help = "Hits."},
        {.name = "open", .help = "Open.", .kind = FigureKind::gauge},
        {.name = "start_time_seconds", .help = "Start.", .kind = FigureKind::gauge},
        {.name = "cpu_seconds_total", .help = "CPU.", .kind = FigureKind::float_counter},
        {.name = "errors_total", .help = "Errors.", .rare = true}};
    Totals totals;
    totals.add(snapshot_of(series, {1, cell_of(2), cell_of(50), cell_of(0.25), 0}), true);
    totals.add(snapshot_of(series, {10, cell_of(3), cell_of(40), cell_of(0.5), 0}), true);
    totals.add(snapshot_of(series, {100, cell_of(4), cell_of(90), cell_of(1), 0}), false);
    CHECK(totals.text() == "# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total 111\n"
                           "# HELP open Open.\n# TYPE open gauge\nopen 5\n"
                           "# HELP start_time_seconds Start.\n"
                           "# TYPE start_time_seconds gauge\nstart_time_seconds 50\n"
                           "# HELP cpu_seconds_total CPU.\n# TYPE cpu_seconds_total counter\n"
                           "cpu_seconds_total 1.75\n");
    const Snapshot lasting = totals.lasting();
    CHECK(lasting.series->size() == 2);
    CHECK(lasting.cells == std::vector<std::uint64_t>{111, cell_of(1.75)});
}

TEST_CASE("totals: versions that count otherwise")
{
    Totals totals;
    const Series now{.name = "w", .help = "", .kind = FigureKind::histogram, .bounds = {0.1, 1}};
    Series before = now;
    before.bounds = {0.05, 0.5, 5};
    totals.add(snapshot_of({now}, {1, 2, 3, cell_of(1)}), true);
    totals.add(snapshot_of({before}, {10, 20, 30, 40, cell_of(2)}), true);
    CHECK(totals.lasting().cells == std::vector<std::uint64_t>{11, 22, 73, cell_of(3)});

    // Another kind under the same name, and cells that are missing.
    totals.add(snapshot_of({{.name = "w", .help = "", .kind = FigureKind::gauge}}, {cell_of(7)}),
               true);
    totals.add(snapshot_of({now}, {1, 1, 1}), true);
    CHECK(totals.lasting().cells == std::vector<std::uint64_t>{11, 22, 73, cell_of(3)});
}

TEST_CASE("registry: any process answers for all, also for those that have ended")
{
    const Folder folder;
    auto first = std::make_unique<Process>(folder, "1-a");
    Process second{folder, "2-b"};
    first->hits.add(9);
    first->open.set(2);
    second.open.add(1.5);
    first->wait.observe(0.003);
    second.wait.observe(3);
    second.wait.observe(99);
    for (Registry* registry : {&first->registry, &second.registry}) {
        const std::string text = registry->host_text();
        CHECK_MESSAGE(text.contains("hits_total{route=\"/a\"} 11\n"), text);
        CHECK_MESSAGE(text.contains("\nopen 3.5\n"), text);
        CHECK_MESSAGE(text.contains("wait_seconds_bucket{le=\"0.0025\"} 0\n"), text);
        CHECK_MESSAGE(text.contains("wait_seconds_bucket{le=\"0.005\"} 1\n"), text);
        CHECK_MESSAGE(text.contains("wait_seconds_bucket{le=\"5\"} 2\n"), text);
        CHECK_MESSAGE(text.contains("wait_seconds_count 3\n"), text);
        CHECK_MESSAGE(text.contains("wait_seconds_sum 102.003\n"), text);
    }
    CHECK(
        second.registry.instance_text("1").contains("hits_total{route=\"/a\",instance=\"1\"} 1\n"));

    first.reset(); // the lock on its file goes with it, as when it is killed
    for (int scrape = 0; scrape < 2; ++scrape) {
        const std::string text = second.registry.host_text();
        CHECK_MESSAGE(text.contains("hits_total{route=\"/a\"} 11\n"), text);
        CHECK_MESSAGE(text.contains("\nopen 1.5\n"), text);
        CHECK_MESSAGE(text.contains("wait_seconds_count 3\n"), text);
    }
    CHECK(folder.files() == std::vector<std::string>{"2-b.figures", "ended.figures", "lock"});
}

TEST_CASE("registry: the same name and labels are the same figure")
{
    Registry registry;
    CHECK(&registry.counter("a_total", "A.", {}) == &registry.counter("a_total", "A.", {}));
    CHECK(&registry.counter("a_total", "A.", {}) !=
          &registry.counter("a_total", "A.", {{"x", "1"}}));
}

TEST_CASE("registry: without a folder it counts for itself")
{
    Registry registry;
    registry.counter("a_total", "A.", {}).add(3);
    double measured = 1;
    Gauge& gauge = registry.gauge("g", "G.", {});
    registry.before_scrape([&] { gauge.set(measured); });
    CHECK_FALSE(registry.seal("/proc/no/such", "1-a").has_value());
    measured = 4;
    registry.counter("a_total", "A.", {}).add();
    const std::string text = registry.host_text();
    CHECK(text.contains("a_total 4\n"));
    CHECK(text.contains("g 4\n"));
}

TEST_CASE("host figures: a kill between writing the sums and removing the files")
{
    const Folder folder;
    // The state that such a kill leaves: "ended" holds the file, which is still there.
    const std::vector<std::string> folded{"1-a.figures"};
    REQUIRE(replace_figures(folder.path + "/1-a.figures", counted("n_total", 5), {}, 0));
    REQUIRE(replace_figures(folder.path + "/ended.figures", counted("n_total", 5), folded, 7));
    CHECK(sums_of(folder.path).contains("n_total 5\n"));
    REQUIRE(HostFigures{folder.path}.fold().has_value());
    CHECK(sums_of(folder.path).contains("n_total 5\n"));
    CHECK(folder.files() == std::vector<std::string>{"ended.figures", "lock"});

    REQUIRE(replace_figures(folder.path + "/2-b.figures", counted("n_total", 1), {}, 0));
    CHECK(sums_of(folder.path).contains("n_total 6\n"));
    REQUIRE(HostFigures{folder.path}.fold().has_value());
    CHECK(sums_of(folder.path).contains("n_total 6\n"));
    CHECK(read_generation(folder.path + "/ended.figures") == 8);
}

TEST_CASE("host figures: files that are none change nothing and stay")
{
    const Folder folder;
    Process process{folder, "1-a"};
    std::string own(200, '\0');
    std::ifstream{folder.path + "/1-a.figures", std::ios::binary}.read(own.data(), 200);
    folder.write("2-empty.figures", "");
    folder.write("3-noise.figures", std::string(5000, '\xFF'));
    folder.write("4-cut.figures", own);
    std::string huge = own;
    std::memset(huge.data() + 8, 0xFF, 16); // lengths
    folder.write("5-huge.figures", huge);
    folder.write("ended.figures", "garbage");
    folder.write("other.txt", "x");
    std::filesystem::create_directory(folder.path + "/6-folder.figures");
    REQUIRE(::mkfifo((folder.path + "/7-pipe.figures").c_str(), 0600) == 0);
    CHECK(process.registry.host_text().contains("hits_total{route=\"/a\"} 1\n"));
    CHECK(folder.files().size() == 10);
}

TEST_CASE("http figures: by route, method and status")
{
    Registry registry;
    const std::vector<HttpFigures::RouteName> routes{{"GET", "/a/{id}"}, {"POST", "/a/{id}"}};
    HttpFigures http{registry, routes};
    http.connected();
    http.connected();
    http.disconnected();
    const struct {
        const char* method;
        const char* route;
        unsigned status;
    } requests[] = {{"GET", "/a/{id}", 200},  {"GET", "/a/{id}", 200}, {"HEAD", "/a/{id}", 404},
                    {"POST", "/a/{id}", 503}, {"BREW", "", 404},       {"GET", "/a/{id}", 418}};
    for (const auto& request : requests) {
        http.began();
        http.ended(request.method, request.route, request.status, 0.002);
    }
    http.began();
    http.refused(431);
    http.rate_limited();
    const std::string text = registry.host_text();
    for (const char* line : {
             "http_requests_total{route=\"/a/{id}\",method=\"GET\",status=\"200\"} 2\n",
             "http_requests_total{route=\"/a/{id}\",method=\"HEAD\",status=\"404\"} 1\n",
             "http_requests_total{route=\"/a/{id}\",method=\"POST\",status=\"503\"} 1\n",
             "http_requests_total{route=\"/a/{id}\",method=\"GET\",status=\"other\"} 1\n",
             "http_requests_total{route=\"(none)\",method=\"(other)\",status=\"404\"} 1\n",
             "http_requests_total{route=\"(none)\",method=\"(other)\",status=\"431\"} 1\n",
             "http_request_duration_seconds_bucket{route=\"/a/{id}\",le=\"0.0025\"} 5\n",
             "http_request_duration_seconds_count{route=\"(none)\"} 1\n",
             "http_errors_total{class=\"4xx\"} 4\n",
             "http_errors_total{class=\"5xx\"} 1\n",
             "http_connections_active 1\n",
             "http_requests_in_flight 1\n",
             "rate_limited_total 1\n",
         })
        CHECK_MESSAGE(text.contains(line), line << "is missing in\n" << text);
    CHECK_FALSE(text.contains("status=\"500\""));
}
