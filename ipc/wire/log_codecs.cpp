// The codecs of the attributes that say what log lines look like and where they go.
#include "ipc/wire/object_codec.hpp"

#include <algorithm>
#include <string_view>

namespace cluster::ipc {
namespace {

using nlohmann::json;

constexpr std::size_t kLongestPattern = 200;

struct PolicyName {
    LogOnFull policy;
    std::string_view name;
};
constexpr PolicyName kPolicies[] = {
    {LogOnFull::drop, "drop"}, {LogOnFull::block, "block"}, {LogOnFull::spill, "spill"}};

} // namespace

Verdict CombinedLog::read(const json& value, std::optional<std::string>& into,
                          const Attribute& attribute)
{
    if (value.is_boolean()) {
        into = value.get<bool>() ? std::optional<std::string>{""} : std::nullopt;
        return {};
    }
    std::string path;
    if (auto verdict = LogPath::read(value, path, attribute); !verdict) return verdict;
    if (path == "/dev/null")
        into.reset();
    else
        into = path;
    return {};
}

json CombinedLog::write(const std::optional<std::string>& value)
{
    if (!value) return false;
    return value->empty() ? json(true) : json(*value);
}

Verdict DatePattern::read(const json& value, std::string& into, const Attribute&)
{
    if (value == false) return into.clear(), Verdict{};
    const bool good = value.is_string() &&
                      value.get_ref<const std::string&>().size() <= kLongestPattern &&
                      std::ranges::none_of(value.get_ref<const std::string&>(),
                                           [](unsigned char c) { return c < ' ' || c == 0x7f; });
    if (!good) return refuse_at("", "", value);
    into = value;
    return {};
}

Verdict LogKind::read(const json& value, LogType& into, const Attribute&)
{
    if (value != "raw" && value != "json") return refuse_at("", "", value);
    into = value == "raw" ? LogType::raw : LogType::json;
    return {};
}

json LogKind::write(LogType value)
{
    return value == LogType::raw ? "raw" : "json";
}

Verdict FullPolicy::read(const json& value, LogOnFull& into, const Attribute&)
{
    const auto* const found =
        std::ranges::find_if(kPolicies, [&](const PolicyName& row) { return value == row.name; });
    if (found == std::end(kPolicies)) return refuse_at("", "", value);
    into = found->policy;
    return {};
}

json FullPolicy::write(LogOnFull value)
{
    return std::ranges::find(kPolicies, value, &PolicyName::policy)->name;
}

} // namespace cluster::ipc
