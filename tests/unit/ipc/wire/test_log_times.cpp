#include "ipc/wire/log_times.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

using cluster::ipc::decode_log_times;
using cluster::ipc::encode_log_time;
using cluster::ipc::log_times_name;
using cluster::ipc::LogTime;
using cluster::ipc::whole_log_times;
using Times = std::vector<LogTime>;

namespace {

std::string encoded(const Times& times)
{
    std::string bytes;
    std::optional<LogTime> before;
    for (const LogTime& time : times) {
        bytes += encode_log_time(time, before);
        before = time;
    }
    return bytes;
}

constexpr std::int64_t kNow = 1'790'000'000'000;

} // namespace

TEST_CASE("log times: an anchor and steps have the bytes that other programs expect")
{
    using namespace std::string_literals;
    const LogTime first{.offset = 0x0102, .wall_ms = 0x0304};
    CHECK(encode_log_time(first, std::nullopt) == "\0\x02\x01\0\0\0\0\0\0\x04\x03\0\0\0\0\0\0"s);
    CHECK(encode_log_time({0x0102 + 300, 0x0304 + 10}, first) == "\xac\x02\x0a"s);
    CHECK(encode_log_time({0x0103, 0x0304}, first) == "\x01\x00"s);
}

TEST_CASE("log times: what was encoded comes back")
{
    const struct {
        const char* name;
        Times given, want;
    } rows[] = {
        {"nothing", {}, {}},
        {"steps",
         {{0, kNow}, {100, kNow}, {70'000, kNow + 12}},
         {{0, kNow}, {100, kNow}, {70'000, kNow + 12}}},
        {"the clock is set back", {{0, kNow}, {10, kNow - 5}}, {{0, kNow}, {10, kNow - 5}}},
        {"a shorter file makes later records invalid",
         {{0, kNow}, {10, kNow + 1}, {20, kNow + 2}, {10, kNow + 3}, {15, kNow + 4}},
         {{0, kNow}, {10, kNow + 3}, {15, kNow + 4}}},
        {"an emptied file begins anew",
         {{0, kNow}, {10, kNow + 1}, {0, kNow + 3}},
         {{0, kNow + 3}}},
        {"far", {{0, 0}, {UINT64_MAX, INT64_MAX}}, {{0, 0}, {UINT64_MAX, INT64_MAX}}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(decode_log_times(encoded(row.given)) == row.want);
    }
}

TEST_CASE("log times: a torn end is no record, wherever it is torn")
{
    const Times times{{0, kNow}, {300, kNow + 200}, {500, kNow + 100}, {501, kNow + 100}};
    const std::string bytes = encoded(times);
    for (std::size_t size = 0; size <= bytes.size(); ++size) {
        CAPTURE(size);
        const std::string_view cut = std::string_view{bytes}.substr(0, size);
        const std::size_t whole = whole_log_times(cut);
        CHECK(whole <= size);
        CHECK(whole_log_times(cut.substr(0, whole)) == whole);
        CHECK(decode_log_times(cut) == decode_log_times(cut.substr(0, whole)));
    }
    CHECK(whole_log_times(bytes) == bytes.size());
}

TEST_CASE("log times: what makes no sense ends the file")
{
    using namespace std::string_literals;
    const std::string good = encoded({{5, kNow}});
    const Times kept{{5, kNow}};
    CHECK(decode_log_times("\x05\x05"s + good).empty()); // since which record?
    CHECK(decode_log_times(good + "\x80\x00\x01"s) == kept);
    CHECK(decode_log_times(good + std::string(11, '\xff') + "\x01\x01"s) == kept);
    CHECK(decode_log_times(good + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01"s) == kept);
}

TEST_CASE("log times: random bytes are no trouble, and what comes out ascends")
{
    std::mt19937 chance{42};
    for (int round = 0; round < 2000; ++round) {
        std::string bytes = round % 2 == 0 ? encoded({{5, kNow}}) : "";
        const auto size = chance() % 64;
        while (bytes.size() < size)
            bytes += static_cast<char>(chance() % (round % 3 == 0 ? 256 : 3));
        const Times times = decode_log_times(bytes);
        for (std::size_t i = 1; i < times.size(); ++i)
            CHECK(times[i - 1].offset < times[i].offset);
    }
}

TEST_CASE("log times: an index is named after the file's identity")
{
    CHECK(log_times_name(0x801, 0xabcdef) == ".times/801-abcdef");
}
