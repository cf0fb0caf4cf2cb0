#include "ipc/wire/rotated_name.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

namespace cluster::ipc {
namespace {

constexpr std::string_view kStampForm = "ddddddddTdddddd.dddZ"; ///< d: a digit
constexpr std::string_view kTemporary = ".tmp";
constexpr std::int64_t kSecondMs = 1000;

bool is_stamp(std::string_view text)
{
    return text.size() == kStampForm.size() &&
           std::ranges::equal(text, kStampForm, [](char given, char wanted) {
               return wanted == 'd' ? given >= '0' && given <= '9' : given == wanted;
           });
}

int number_at(std::string_view text, std::size_t at, std::size_t size)
{
    return std::atoi(std::string{text.substr(at, size)}.c_str());
}

/// Cuts the ending off, if it is there.
bool take_ending(std::string_view& name, std::string_view ending)
{
    if (!name.ends_with(ending)) return false;
    name.remove_suffix(ending.size());
    return true;
}

} // namespace

std::optional<RotatedName> parse_rotated(std::string_view name)
{
    RotatedName parsed;
    parsed.temporary = take_ending(name, kTemporary);
    if (take_ending(name, ".zst"))
        parsed.compression = Compression::zstd;
    else if (take_ending(name, ".gz"))
        parsed.compression = Compression::gzip;
    const auto dot = name.size() > kStampForm.size() ? name.size() - kStampForm.size() - 1 : 0;
    if (dot == 0 || name[dot] != '.' || !is_stamp(name.substr(dot + 1))) return std::nullopt;
    parsed.base = name.substr(0, dot);
    parsed.stamp = name.substr(dot + 1);
    // Digits alone make no time: somebody else's file may end in "20269999T999999.000Z".
    if (rotation_stamp(stamp_time(parsed.stamp)) != parsed.stamp) return std::nullopt;
    return parsed;
}

std::string rotation_stamp(std::int64_t wall_ms)
{
    const std::time_t second = static_cast<std::time_t>(wall_ms / kSecondMs);
    std::tm utc{};
    ::gmtime_r(&second, &utc);
    return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                       utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, wall_ms % kSecondMs);
}

std::int64_t stamp_time(std::string_view stamp)
{
    std::tm utc{};
    utc.tm_year = number_at(stamp, 0, 4) - 1900;
    utc.tm_mon = number_at(stamp, 4, 2) - 1;
    utc.tm_mday = number_at(stamp, 6, 2);
    utc.tm_hour = number_at(stamp, 9, 2);
    utc.tm_min = number_at(stamp, 11, 2);
    utc.tm_sec = number_at(stamp, 13, 2);
    return std::int64_t{::timegm(&utc)} * kSecondMs + number_at(stamp, 16, 3);
}

std::string_view compressed_suffix(Compression compression)
{
    if (compression == Compression::none) return "";
    return compression == Compression::zstd ? ".zst" : ".gz";
}

} // namespace cluster::ipc
