// The codecs of `cpu_max` and `rlimits`.
#include "ipc/base/text.hpp"
#include "ipc/wire/object_codec.hpp"
#include "ipc/wire/units.hpp"

#include <cmath>
#include <limits>
#include <utility>

namespace cluster::ipc {
namespace {

using nlohmann::json;

constexpr const char* kLimit = "a whole number, a string such as \"64M\", or \"unlimited\"";

/// "1.5" and "150%" as thousandths.
std::optional<double> thousandths(std::string_view text)
{
    const bool percent = text.ends_with('%');
    if (percent) text.remove_suffix(1);
    const auto number = parse_number<double>(text);
    if (!number) return std::nullopt;
    return *number * (percent ? 10 : 1000);
}

Verdict read_limit(const json& value, const std::string& path, std::uint64_t& into)
{
    std::optional<std::uint64_t> limit;
    if (value == "unlimited")
        limit = kNoLimit;
    else if (value.is_string())
        limit = parse_bytes(value.get_ref<const std::string&>());
    else if (const auto number = whole_between(value, 0, std::numeric_limits<std::int64_t>::max()))
        limit = static_cast<std::uint64_t>(*number);
    if (!limit) return refuse_at(path, kLimit, value);
    into = *limit;
    return {};
}

json write_limit(std::uint64_t limit)
{
    return limit == kNoLimit ? json("unlimited") : json(limit);
}

Verdict read_rlimit(const json& value, const std::string& path, Rlimit& into)
{
    if (!value.is_object()) {
        if (auto verdict = read_limit(value, path, into.soft); !verdict) return verdict;
        into.hard = into.soft;
        return {};
    }
    const auto limit = [](std::string_view name, std::uint64_t& member) {
        return Member{name, [&member](const json& given, const std::string& at) {
                          return read_limit(given, at, member);
                      }};
    };
    const std::vector<Member> members{limit("soft", into.soft), limit("hard", into.hard)};
    if (auto verdict = read_members(value, path, members); !verdict) return verdict;
    if (!has_member(value, "soft") && !has_member(value, "hard"))
        return refuse_at(path, "an object of soft and hard", value);
    if (!has_member(value, "hard")) into.hard = into.soft;
    if (!has_member(value, "soft")) into.soft = into.hard;
    if (into.soft > into.hard) return refuse_at(path + ".soft", "no more than hard", value["soft"]);
    return {};
}

} // namespace

Verdict Cpus::read(const json& value, int& into, const Attribute&)
{
    constexpr double kMost = 10'000'000;
    std::optional<double> share;
    if (value.is_number())
        share = value.get<double>() * 1000;
    else if (value.is_string())
        share = thousandths(value.get_ref<const std::string&>());
    // The kernel takes a quota of at least 1 ms in 100 ms.
    const bool good = share && (*share == 0 || (*share >= 10 && *share <= kMost));
    if (!good) return refuse_at("", "", value);
    into = static_cast<int>(std::lround(*share));
    return {};
}

Verdict Rlimits::read(const json& value, std::map<std::string, Rlimit>& into, const Attribute&)
{
    if (!value.is_object()) return refuse_at("", "", value);
    std::map<std::string, Rlimit> limits;
    std::vector<Member> members;
    for (const std::string_view name : rlimit_names())
        members.push_back({name, [&limits, name](const json& given, const std::string& path) {
                               return read_rlimit(given, path, limits[std::string{name}]);
                           }});
    if (auto verdict = read_members(value, "", members); !verdict) return verdict;
    into = std::move(limits);
    return {};
}

json Rlimits::write(const std::map<std::string, Rlimit>& value)
{
    json out = json::object();
    for (const auto& [name, limit] : value) {
        if (limit.soft == limit.hard)
            out[name] = write_limit(limit.soft);
        else
            out[name] = {{"soft", write_limit(limit.soft)}, {"hard", write_limit(limit.hard)}};
    }
    return out;
}

} // namespace cluster::ipc
