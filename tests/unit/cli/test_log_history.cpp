// Which lines of rotated, packed and merged logs are shown: by tables, and at random against a
// plain model that keeps all lines.
#include "cli/log_merge.hpp"
#include "cli/log_start.hpp"

#include <doctest/doctest.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <tuple>
#include <vector>

using namespace cluster;
using namespace cluster::cli;
using Lines = std::vector<std::string>;

namespace {

/// A home with logs in it, gone with the test.
class Home {
public:
    Home()
    {
        std::string name = std::filesystem::temp_directory_path() / "cluster-logs-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        folder_ = name;
        std::filesystem::create_directory(folder_ + "/.times");
    }
    ~Home() { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string path(const std::string& name) const { return folder_ + '/' + name; }
    [[nodiscard]] const std::string& folder() const { return folder_; }

    void write(const std::string& name, const std::string& content,
               const std::vector<ipc::LogTime>& times = {})
    {
        std::ofstream{path(name), std::ios::binary} << content;
        if (times.empty()) return;
        struct stat stat{};
        REQUIRE(::stat(path(name).c_str(), &stat) == 0);
        std::string index;
        std::optional<ipc::LogTime> before;
        for (const ipc::LogTime& time : times) {
            index += ipc::encode_log_time(time, before);
            before = time;
        }
        std::ofstream{folder_ + '/' + ipc::log_times_name(stat.st_dev, stat.st_ino),
                      std::ios::binary}
            << index;
    }

private:
    std::string folder_;
};

std::string zstd(const std::string& text)
{
    std::string packed(::ZSTD_compressBound(text.size()), '\0');
    packed.resize(::ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 1));
    return packed;
}

std::string gzip(const std::string& text)
{
    z_stream stream{};
    REQUIRE(::deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string packed(::deflateBound(&stream, text.size()), '\0');
    std::string input = text;
    stream.next_in = reinterpret_cast<Bytef*>(input.data());
    stream.avail_in = static_cast<uInt>(input.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    REQUIRE(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
    packed.resize(stream.total_out);
    ::deflateEnd(&stream);
    return packed;
}

/// What `logs` reads of these files.
struct Reading {
    explicit Reading(const Home& home)
        : files{system, home.folder(), [this](const auto& text) { warnings.push_back(text); }}
    {
    }

    Lines read(const std::vector<std::string>& paths, const LogFilter& filter,
               std::optional<std::uint64_t> count)
    {
        const auto chains = files.open_chains(paths, 0);
        LogStart start =
            count ? find_start(files, chains, filter, *count) : find_since(files, chains, filter);
        std::vector<std::unique_ptr<LineSource>> sources;
        for (std::size_t at = 0; at < chains.size(); ++at)
            sources.push_back(
                std::make_unique<ChainReader>(files, chains[at], start.places[at], filter));
        Lines lines;
        for (LogMerge merge{std::move(sources)}; merge.next();)
            if (start.skip == 0)
                lines.emplace_back(merge.text());
            else
                --start.skip;
        return lines;
    }

    ipc::LinuxSystem system;
    Lines warnings;
    LogFiles files;
};

class Given final : public LineSource {
public:
    explicit Given(std::vector<std::pair<std::int64_t, std::string>> lines)
        : lines_{std::move(lines)}
    {
    }
    bool next() override { return ++at_ <= lines_.size(); }
    [[nodiscard]] std::string_view text() const override { return lines_[at_ - 1].second; }
    [[nodiscard]] std::int64_t at() const override { return lines_[at_ - 1].first; }

private:
    std::vector<std::pair<std::int64_t, std::string>> lines_;
    std::size_t at_ = 0;
};

} // namespace

TEST_CASE("log merge: by time; a log keeps its order; equal times keep the order of the logs")
{
    std::vector<std::unique_ptr<LineSource>> sources;
    using Rows = std::vector<std::pair<std::int64_t, std::string>>;
    sources.push_back(std::make_unique<Given>(Rows{{1, "a1"}, {5, "a5"}, {3, "a3"}, {7, "a7"}}));
    sources.push_back(std::make_unique<Given>(Rows{}));
    sources.push_back(std::make_unique<Given>(Rows{{1, "b1"}, {4, "b4"}, {5, "b5"}}));
    sources.push_back(std::make_unique<Given>(Rows{{0, "c0"}, {9, "c9"}}));
    Lines lines;
    for (LogMerge merge{std::move(sources)}; merge.next();)
        lines.emplace_back(merge.text());
    CHECK(lines == Lines{"c0", "a1", "b1", "b4", "a5", "a3", "b5", "a7", "c9"});
}

TEST_CASE("rotated logs: by their names, oldest first, the packed form of two")
{
    const auto found = rotated_logs(
        "/l/api-out.log",
        {"api-out.log", "api-out.log.20261122T113000.123Z", "api-out.log.20261122T100000.000Z.gz",
         "api-out.log.20261122T113000.123Z.zst", "api-out.log.20261122T120000.000Z.zst.tmp",
         "api-out.log.1", "api-out.log.old", "api-out.log.20261122T110000.000Z",
         "other.log.20261122T113000.123Z", "api-out.log.20261122X110000.000Z"});
    CHECK(found ==
          std::vector<RotatedLog>{
              {"/l/api-out.log.20261122T100000.000Z.gz", Packing::gzip, 1'795'341'600'000},
              {"/l/api-out.log.20261122T110000.000Z", Packing::none, 1'795'345'200'000},
              {"/l/api-out.log.20261122T113000.123Z.zst", Packing::zstd, 1'795'347'000'123}});
}

TEST_CASE("log places: where reading goes on")
{
    LogChain before{
        .path = "x", .rotated = {}, .device = 1, .inode = 2, .size = 50, .opened_at = 9};
    const auto after = [&](std::vector<RotatedLog> rotated, std::uint64_t inode,
                           std::uint64_t size) {
        return place_after(before, {.path = "x",
                                    .rotated = std::move(rotated),
                                    .device = 1,
                                    .inode = inode,
                                    .size = size});
    };
    const RotatedLog old{"x.0", Packing::none, 5};
    const RotatedLog first{"x.1", Packing::none, 10};
    const RotatedLog second{"x.2", Packing::zstd, 12};
    CHECK(after({}, 2, 70) == LogPlace{0, 50});                   // it has grown
    CHECK(after({}, 2, 10) == LogPlace{0, 0});                    // it was emptied
    CHECK(after({old, first}, 3, 10) == LogPlace{1, 50});         // put aside
    CHECK(after({old, first, second}, 3, 10) == LogPlace{1, 50}); // twice
    CHECK(after({old}, 3, 10) == LogPlace{1, 0});                 // somebody else moved it
}

TEST_CASE("log places: a file that was emptied is read from its beginning, however large it is")
{
    Home home;
    home.write("a.log", "first\nhal");
    Reading reading{home};
    auto before = reading.files.open_chains({home.path("a.log")}, 0);
    reading.files.end_at_whole_line(before[0]);
    CHECK(before[0].size == 6);
    const auto place = [&] {
        const auto now = reading.files.open_chains({home.path("a.log")}, 0);
        return reading.files.place_behind(before[0], now[0]);
    };
    CHECK(place() == LogPlace{0, 6});
    home.write("a.log", "emptied\n"); // the same file, anew
    CHECK(place() == LogPlace{0, 0});
    home.write("a.log", "");
    CHECK(place() == LogPlace{0, 0});
    home.write("a.log", "first\nhalf\n");
    CHECK(place() == LogPlace{0, 6});
}

TEST_CASE("line times: spans, what came before the index, and no index")
{
    LineTimes times{std::make_shared<const LineTimes::Records>(
                        LineTimes::Records{{10, 100}, {20, 200}, {30, 150}}),
                    999};
    CHECK(times.at(0) == 0);
    CHECK(times.at(10) == 100);
    CHECK(times.at(19) == 100);
    CHECK(times.at(20) == 200);
    CHECK(times.at(1'000'000) == 150);
    CHECK(times.at(25) == 200);
    CHECK(times.at(9) == 0);
    CHECK(times.at(12) == 100);
    CHECK(times.first_since(0) == 0);
    CHECK(times.first_since(100) == 10);
    CHECK(times.first_since(101) == 20);
    CHECK(times.first_since(201) == LineTimes::kEnd);
    LineTimes none{nullptr, 999};
    CHECK(none.at(5) == 999);
    CHECK(none.first_since(999) == 0);
    CHECK(none.first_since(1000) == LineTimes::kEnd);
}

TEST_CASE("log history: packed, rotated and written files are one log")
{
    Home home;
    home.write("a.log.20200101T000000.000Z.gz", gzip("1\n2\n") + gzip("3\n"));
    home.write("a.log.20200102T000000.000Z.zst", zstd("4\n5\n") + zstd("6\n"));
    home.write("a.log.20200102T000000.000Z", "its packed form counts\n");
    home.write("a.log.20200103T000000.000Z", "7\n8\n");
    home.write("a.log", "9\nhalf");
    Reading reading{home};
    const Lines all{"1", "2", "3", "4", "5", "6", "7", "8", "9", "half"};
    for (std::size_t count = 0; count <= all.size() + 2; ++count) {
        CAPTURE(count);
        const std::size_t from = all.size() - std::min(count, all.size());
        CHECK(reading.read({home.path("a.log")}, {}, count) ==
              Lines(all.begin() + static_cast<std::ptrdiff_t>(from), all.end()));
    }
    CHECK(reading.warnings.empty());
}

TEST_CASE("log history: a damaged file is told and left out, the others are read")
{
    Home home;
    const std::string whole = zstd(std::string(300'000, 'x') + "\nlost\n");
    home.write("a.log.20200101T000000.000Z.zst", whole.substr(0, whole.size() - 3));
    home.write("a.log.20200102T000000.000Z.gz", "this is no gzip");
    home.write("a.log", "last\n");
    Reading reading{home};
    const Lines lines = reading.read({home.path("a.log")}, {}, 5);
    CHECK(lines.back() == "last");
    REQUIRE(reading.warnings.size() == 2); // each once, although they are read twice
    CHECK(reading.warnings[0].starts_with("unpack"));
}

TEST_CASE("log history: at random, it is what a plain model says")
{
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937 random{seed};
    const auto upto = [&](int most) { return std::uniform_int_distribution{0, most}(random); };
    const auto pattern = LogPattern::compile("7", false);
    REQUIRE(pattern);
    for (int round = 0; round < 60; ++round) {
        Home home;
        struct Known {
            std::int64_t at;
            std::size_t log;
            std::string text;
        };
        std::vector<Known> known;
        std::vector<std::string> paths;
        const int logs = 1 + upto(3);
        for (int log = 0; log < logs; ++log) {
            const std::string name = "app" + std::to_string(log) + ".log";
            paths.push_back(home.path(name));
            std::int64_t at = 1'600'000'000'000 + upto(1000);
            const int files = 1 + upto(3);
            for (int file = 1; file <= files; ++file) {
                std::string content;
                std::vector<ipc::LogTime> times;
                const int lines = upto(upto(3) == 0 ? 4000 : 60);
                for (int line = 0; line < lines; ++line) {
                    if (times.empty() || upto(2) == 0) {
                        at += upto(30);
                        times.push_back({content.size(), at});
                    }
                    std::string text = std::to_string(known.size()) +
                                       std::string(static_cast<std::size_t>(upto(200)), 'x');
                    if (upto(400) == 0) text += std::string(200'000, 'y');
                    content += text + '\n';
                    known.push_back({at, static_cast<std::size_t>(log), text});
                }
                // Rotated at a time that lies behind its lines, as the daemon does.
                const auto stamp = [&] {
                    at += 1;
                    const std::time_t second = at / 1000;
                    std::tm utc{};
                    ::gmtime_r(&second, &utc);
                    char text[32];
                    std::strftime(text, sizeof text, "%Y%m%dT%H%M%S", &utc);
                    std::string digits = std::to_string(1000 + at % 1000).substr(1);
                    return std::string{text} + "." + digits + "Z";
                };
                if (file == files) {
                    home.write(name, content, times);
                } else if (const int kind = upto(2); kind == 0) {
                    home.write(name + "." + stamp(), content, times);
                } else if (kind == 1) {
                    home.write(name + "." + stamp() + ".zst", zstd(content), times);
                } else {
                    home.write(name + "." + stamp() + ".gz", gzip(content), times);
                }
            }
        }
        std::ranges::sort(known, [](const Known& a, const Known& b) {
            return std::tuple{a.at, a.log, std::stoi(a.text)} <
                   std::tuple{b.at, b.log, std::stoi(b.text)};
        });
        LogFilter filter;
        if (upto(2) == 0) filter.grep = &*pattern;
        if (upto(2) == 0 && !known.empty())
            filter.since = known[static_cast<std::size_t>(upto(int(known.size()) - 1))].at;
        if (upto(3) == 0 && !known.empty())
            filter.until = known[static_cast<std::size_t>(upto(int(known.size()) - 1))].at;
        Lines want;
        for (const Known& line : known)
            if (filter.passes(line.text, line.at)) want.push_back(line.text);
        std::optional<std::uint64_t> count;
        if (filter.since == 0 || upto(1) == 0) count = static_cast<std::uint64_t>(upto(3000));
        if (count && want.size() > *count)
            want.erase(want.begin(), want.end() - static_cast<std::ptrdiff_t>(*count));
        Reading reading{home};
        const Lines got = reading.read(paths, filter, count);
        CHECK(got.size() == want.size());
        CHECK((got == want));
        CHECK(reading.warnings.empty());
    }
}
