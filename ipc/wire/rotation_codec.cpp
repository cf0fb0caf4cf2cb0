// The codec of `rotate`.
#include "ipc/wire/object_codec.hpp"
#include "ipc/wire/units.hpp"

#include <algorithm>
#include <iterator>
#include <limits>

namespace cluster::ipc {
namespace {

using nlohmann::json;
using Calendar = Rotation::Calendar;

constexpr std::int64_t kShortestPeriod = 1000;

struct CalendarName {
    Calendar calendar;
    std::string_view name;
};
constexpr CalendarName kCalendars[] = {
    {Calendar::hourly, "hourly"}, {Calendar::daily, "daily"}, {Calendar::weekly, "weekly"}};

Verdict read_size(const json& value, const std::string& path, std::uint64_t& into)
{
    std::optional<std::uint64_t> size;
    if (value.is_string())
        size = parse_bytes(value.get_ref<const std::string&>());
    else if (const auto number = whole_between(value, 0, std::numeric_limits<std::int64_t>::max()))
        size = static_cast<std::uint64_t>(*number);
    if (!size) return refuse_at(path, "a number of bytes, or a string such as \"100M\"", value);
    into = *size;
    return {};
}

Verdict read_every(const json& value, const std::string& path, Rotation& into)
{
    const auto* const named = std::ranges::find_if(
        kCalendars, [&](const CalendarName& row) { return value == row.name; });
    if (named != std::end(kCalendars)) {
        into.calendar = named->calendar;
        return {};
    }
    const auto period = duration_between(value, kShortestPeriod, kMaxMs);
    if (!period)
        return refuse_at(
            path, R"("hourly", "daily", "weekly", or a duration of at least 1 s such as "6h")",
            value);
    into.period = *period;
    return {};
}

Verdict read_compression(const json& value, const std::string& path, Compression& into)
{
    if (value == "zstd" || value == true)
        into = Compression::zstd;
    else if (value == "gzip")
        into = Compression::gzip;
    else if (value == false)
        into = Compression::none;
    else
        return refuse_at(path, "\"zstd\", \"gzip\" or false", value);
    return {};
}

json write_every(const Rotation& value)
{
    if (value.calendar == Calendar::none) return value.period.count();
    return std::ranges::find(kCalendars, value.calendar, &CalendarName::calendar)->name;
}

json write_compression(Compression value)
{
    if (value == Compression::none) return false;
    return value == Compression::zstd ? "zstd" : "gzip";
}

} // namespace

Verdict LogRotationRule::read(const json& value, Rotation& into, const Attribute&)
{
    Rotation rule;
    if (value.is_boolean()) {
        rule.on = value.get<bool>();
        into = rule;
        return {};
    }
    if (!value.is_object()) return refuse_at("", "", value);
    const std::vector<Member> members{
        {"size", [&](const json& given,
                     const std::string& path) { return read_size(given, path, rule.size); }},
        {"every",
         [&](const json& given, const std::string& path) { return read_every(given, path, rule); }},
        whole_member("keep", 0, kMaxRotatedKept, rule.keep),
        {"compress",
         [&](const json& given, const std::string& path) {
             return read_compression(given, path, rule.compress);
         }},
    };
    if (auto verdict = read_members(value, "", members); !verdict) return verdict;
    into = rule;
    return {};
}

json LogRotationRule::write(const Rotation& value)
{
    if (!value.on) return false;
    const Rotation usual;
    json out = json::object();
    if (value.size != usual.size) out["size"] = value.size;
    if (value.by_time()) out["every"] = write_every(value);
    if (value.keep != usual.keep) out["keep"] = value.keep;
    if (value.compress != usual.compress) out["compress"] = write_compression(value.compress);
    return out;
}

} // namespace cluster::ipc
