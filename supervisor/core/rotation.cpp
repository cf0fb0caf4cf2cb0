#include "supervisor/core/rotation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <tuple>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::Compression;
using Calendar = ipc::Rotation::Calendar;

constexpr std::int64_t kSecondMs = 1000;
constexpr int kDaysOfWeek = 7;

std::int64_t local_ms(std::tm day)
{
    day.tm_isdst = -1; // as it is on that day
    return std::int64_t{std::mktime(&day)} * kSecondMs;
}

Period calendar_period(Calendar calendar, std::int64_t wall_ms)
{
    const std::time_t now = static_cast<std::time_t>(wall_ms / kSecondMs);
    std::tm begin{};
    ::localtime_r(&now, &begin);
    if (calendar == Calendar::hourly) {
        // Not by mktime: an hour that comes twice, when summer time ends, is two hours.
        const std::int64_t into =
            wall_ms % kSecondMs + (begin.tm_min * 60 + begin.tm_sec) * kSecondMs;
        return {wall_ms - into, wall_ms - into + 3600 * kSecondMs};
    }
    begin.tm_sec = begin.tm_min = begin.tm_hour = 0;
    const bool weekly = calendar == Calendar::weekly;
    if (weekly) begin.tm_mday -= (begin.tm_wday + kDaysOfWeek - 1) % kDaysOfWeek; // to Monday
    std::tm end = begin;
    end.tm_mday += weekly ? kDaysOfWeek : 1;
    return {local_ms(begin), local_ms(end)};
}

std::map<std::string, RotatedFile> by_stamp(std::string_view base,
                                            const std::vector<std::string>& names)
{
    std::map<std::string, RotatedFile> files;
    for (const std::string& name : names) {
        if (!name.starts_with(base)) continue;
        const auto parsed = parse_rotated(name);
        if (!parsed || parsed->base != base) continue;
        RotatedFile& file = files[parsed->stamp];
        file.stamp = parsed->stamp;
        file.names.push_back(name);
        if (parsed->compression == Compression::none && !parsed->temporary) file.plain = name;
    }
    return files;
}

bool is_whole(const RotatedFile& file)
{
    return std::ranges::any_of(
        file.names, [](const std::string& name) { return !parse_rotated(name)->temporary; });
}

} // namespace

std::vector<RotatedFile> rotated_files(std::string_view base, const std::vector<std::string>& names)
{
    std::vector<RotatedFile> files;
    for (auto& [stamp, file] : by_stamp(base, names))
        if (is_whole(file)) files.push_back(std::move(file));
    return files;
}

std::vector<std::string> leftovers(std::string_view base, const std::vector<std::string>& names)
{
    std::vector<std::string> left;
    for (const auto& [stamp, file] : by_stamp(base, names))
        for (const std::string& name : file.names)
            if (file.plain.empty() && parse_rotated(name)->temporary) left.push_back(name);
    return left;
}

std::string next_stamp(const std::vector<RotatedFile>& before, std::int64_t wall_ms)
{
    const std::int64_t last = before.empty() ? 0 : stamp_time(before.back().stamp);
    return rotation_stamp(std::max(wall_ms, last + 1));
}

std::size_t surplus(const std::vector<RotatedFile>& files, const ipc::Rotation& rule)
{
    const auto keep = static_cast<std::size_t>(rule.keep);
    return files.size() > keep ? files.size() - keep : 0;
}

Period period_of(const ipc::Rotation& rule, std::int64_t wall_ms)
{
    if (rule.calendar != Calendar::none) return calendar_period(rule.calendar, wall_ms);
    const std::int64_t length = rule.period.count();
    const std::int64_t begin = wall_ms - wall_ms % length;
    return {begin, begin + length};
}

std::vector<CappedFile> above_cap(std::vector<CappedFile> files, std::uint64_t current,
                                  std::uint64_t cap)
{
    std::uint64_t total = current;
    for (const CappedFile& file : files)
        total += file.bytes;
    std::ranges::sort(files, {},
                      [](const CappedFile& file) { return std::tie(file.stamp, file.path); });
    std::size_t count = 0;
    while (count < files.size() && total > cap)
        total -= files[count++].bytes;
    files.resize(count);
    return files;
}

} // namespace cluster::supervisor
