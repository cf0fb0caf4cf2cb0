#include "supervisor/core/rotation.hpp"
#include "tests/support/time_zone.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using cluster::ipc::Compression;
using Calendar = ipc::Rotation::Calendar;
using Names = std::vector<std::string>;

namespace {

constexpr std::int64_t kTime = 1'795'346'999'123; // 2026-11-22T11:29:59.123Z

ipc::Rotation every(Calendar calendar)
{
    return {.calendar = calendar};
}

Names stamps(const std::vector<RotatedFile>& files)
{
    Names all;
    for (const RotatedFile& file : files)
        all.push_back(file.stamp);
    return all;
}

Names paths(const std::vector<CappedFile>& files)
{
    Names all;
    for (const CappedFile& file : files)
        all.push_back(file.path);
    return all;
}

} // namespace

TEST_CASE("rotation: a stamp says the moment in UTC to the millisecond, and is read back")
{
    CHECK(rotation_stamp(kTime) == "20261122T112959.123Z");
    CHECK(stamp_time("20261122T112959.123Z") == kTime);
    CHECK(rotation_stamp(0) == "19700101T000000.000Z");
    for (std::int64_t ms = 0; ms < 2'000'000'000'000; ms += 86'399'999'977)
        CHECK(stamp_time(rotation_stamp(ms)) == ms);
}

TEST_CASE("rotation: names are taken apart, and foreign ones are left alone")
{
    const struct {
        std::string name;
        std::optional<RotatedName> want;
    } rows[] = {
        {"a.log.20261122T112959.123Z",
         RotatedName{"a.log", "20261122T112959.123Z", Compression::none, false}},
        {"a.log.20261122T112959.123Z.zst",
         RotatedName{"a.log", "20261122T112959.123Z", Compression::zstd, false}},
        {"a.log.20261122T112959.123Z.gz",
         RotatedName{"a.log", "20261122T112959.123Z", Compression::gzip, false}},
        {"a.log.20261122T112959.123Z.zst.tmp",
         RotatedName{"a.log", "20261122T112959.123Z", Compression::zstd, true}},
        {"a.log", {}},
        {"a.log.1", {}},
        {"a.log.gz", {}},
        {"a.log-20261122T112959.123Z", {}},
        {"a.log.20261122T112959.123", {}},
        {"a.log.20261122T112959.12xZ", {}},
        {".20261122T112959.123Z", {}},
        {"20261122T112959.123Z", {}},
        {"", {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(parse_rotated(row.name) == row.want);
    }
}

TEST_CASE("rotation: the files of one log are told from those of others, oldest first")
{
    const Names names{"a.log.20261122T112959.124Z",        "a.log",
                      "a.log.20261122T112959.123Z.zst",    "a.log.20261122T112959.123Z",
                      "b.log.20261122T112959.123Z",        "a.log.20250101T000000.000Z.gz",
                      "a.log.20270101T000000.000Z.zst.tmp"};
    const auto files = rotated_files("a.log", names);
    CHECK(stamps(files) ==
          Names{"20250101T000000.000Z", "20261122T112959.123Z", "20261122T112959.124Z"});
    CHECK(files[0].plain == "");
    CHECK(files[1].plain == "a.log.20261122T112959.123Z");
    CHECK(files[1].names.size() == 2);
    CHECK(files[2].plain == "a.log.20261122T112959.124Z");
}

TEST_CASE("rotation: half a compressed file goes when nobody can complete it")
{
    CHECK(leftovers("a.log", {"a.log.20261122T112959.123Z.zst.tmp", "a.log.20261122T112959.123Z"})
              .empty());
    CHECK(leftovers("a.log", {"a.log.20261122T112959.123Z.zst.tmp"}) ==
          Names{"a.log.20261122T112959.123Z.zst.tmp"});
    CHECK(leftovers("a.log",
                    {"a.log.20261122T112959.123Z.gz.tmp", "a.log.20261122T112959.123Z.zst"}) ==
          Names{"a.log.20261122T112959.123Z.gz.tmp"});
}

TEST_CASE("rotation: stamps go up, also when two fall into one millisecond or the clock goes back")
{
    const auto before = rotated_files("a", {"a.20261122T112959.123Z", "a.20261122T112959.120Z.gz"});
    CHECK(next_stamp({}, kTime) == "20261122T112959.123Z");
    CHECK(next_stamp(before, kTime) == "20261122T112959.124Z");
    CHECK(next_stamp(before, kTime - 3'600'000) == "20261122T112959.124Z");
    CHECK(next_stamp(before, kTime + 5) == "20261122T112959.128Z");
}

TEST_CASE("rotation: the oldest go when there are more than the rule keeps")
{
    const auto files = rotated_files(
        "a", {"a.20261122T112959.121Z", "a.20261122T112959.122Z", "a.20261122T112959.123Z"});
    const std::pair<int, std::size_t> rows[] = {{10, 0}, {3, 0}, {2, 1}, {0, 3}};
    for (const auto& [keep, goes] : rows)
        CHECK(surplus(files, {.keep = keep}) == goes);
}

TEST_CASE("rotation: periods of the calendar are those of the local time")
{
    const tests::Zone zone{"CET-1CEST,M3.5.0,M10.5.0/3"};
    const auto at = [](std::string_view utc) { return stamp_time(utc); };
    const struct {
        const char* name;
        Calendar calendar;
        std::int64_t moment, begin, end;
    } rows[] = {
        {"an hour", Calendar::hourly, kTime, at("20261122T110000.000Z"),
         at("20261122T120000.000Z")},
        {"a day begins at local midnight", Calendar::daily, kTime, at("20261121T230000.000Z"),
         at("20261122T230000.000Z")},
        {"its first moment belongs to it", Calendar::daily, at("20261121T230000.000Z"),
         at("20261121T230000.000Z"), at("20261122T230000.000Z")},
        {"a week begins on Monday; the 22nd is a Sunday", Calendar::weekly, kTime,
         at("20261115T230000.000Z"), at("20261122T230000.000Z")},
        {"a day of 25 hours", Calendar::daily, at("20261025T120000.000Z"),
         at("20261024T220000.000Z"), at("20261025T230000.000Z")},
        {"the hour that comes twice, the second time", Calendar::hourly, at("20261025T013000.000Z"),
         at("20261025T010000.000Z"), at("20261025T020000.000Z")},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const Period period = period_of(every(row.calendar), row.moment);
        CHECK(rotation_stamp(period.begin_ms) == rotation_stamp(row.begin));
        CHECK(rotation_stamp(period.end_ms) == rotation_stamp(row.end));
    }
}

TEST_CASE("rotation: periods of a length begin at its multiples")
{
    const Period period = period_of({.period = ipc::milliseconds{6 * 3'600'000}}, kTime);
    CHECK(rotation_stamp(period.begin_ms) == "20261122T060000.000Z");
    CHECK(rotation_stamp(period.end_ms) == "20261122T120000.000Z");
}

TEST_CASE("rotation: above the cap the oldest of all apps go, and never what is being written")
{
    const std::vector<CappedFile> files{
        {"20260103", "/c", 30}, {"20260101", "/a", 10}, {"20260102", "/b", 20}};
    const struct {
        std::uint64_t current, cap;
        Names want;
    } rows[] = {
        {40, 100, {}},
        {41, 100, {"/a"}},
        {50, 100, {"/a"}},
        {51, 100, {"/a", "/b"}},
        {500, 100, {"/a", "/b", "/c"}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.current);
        CHECK(paths(above_cap(files, row.current, row.cap)) == row.want);
    }
}
