// The codecs of the attributes that say how an app is ordered and replaced: `depends_on`, `reload`,
// `balance`.
#include "ipc/wire/object_codec.hpp"
#include "ipc/wire/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace cluster::ipc {
namespace {

using nlohmann::json;

struct ConditionName {
    Condition condition;
    std::string_view name;
};
constexpr ConditionName kConditions[] = {{Condition::started, "started"},
                                         {Condition::ready, "ready"},
                                         {Condition::completed, "completed"}};

Verdict read_condition(const json& value, const std::string& path, Condition& into)
{
    const auto* const found = std::ranges::find_if(
        kConditions, [&](const ConditionName& row) { return value == row.name; });
    if (found == std::end(kConditions))
        return refuse_at(path, "\"started\", \"ready\" or \"completed\"", value);
    into = found->condition;
    return {};
}

Verdict read_share(const json& value, const std::string& path, Share& into)
{
    constexpr int kMost = 10'000; // as many as `instances` may be
    std::optional<std::int64_t> number = whole_between(value, 0, kMost);
    bool percent = false;
    if (!number && value.is_string()) {
        std::string_view text = value.get_ref<const std::string&>();
        percent = text.ends_with('%');
        text.remove_suffix(percent ? 1 : 0);
        if (percent) number = parse_whole(text);
        if (number && (*number < 0 || *number > 100)) number.reset();
    }
    if (!number)
        return refuse_at(path, "a number of workers, or a percentage such as \"25%\"", value);
    into = {.count = static_cast<int>(*number), .percent = percent};
    return {};
}

json write_share(const Share& share)
{
    return share.percent ? json(fmt::format("{}%", share.count)) : json(share.count);
}

} // namespace

Verdict ReloadRules::read(const json& value, ReloadPolicy& into, const Attribute&)
{
    if (!value.is_object()) return refuse_at("", "", value);
    ReloadPolicy policy;
    milliseconds soak{0};
    const std::vector<Member> members{
        {"max_surge",
         [&](const json& given, const std::string& path) {
             return read_share(given, path, policy.max_surge.emplace());
         }},
        {"max_unavailable",
         [&](const json& given, const std::string& path) {
             return read_share(given, path, policy.max_unavailable);
         }},
        duration_member("soak", milliseconds{0}, soak),
    };
    if (auto verdict = read_members(value, "", members); !verdict) return verdict;
    if (has_member(value, "soak")) policy.soak = soak;
    if (policy.max_surge && policy.max_surge->count == 0 && policy.max_unavailable.count == 0)
        return refuse_at(".max_surge",
                         "at least 1 where max_unavailable is 0, since nothing could be replaced",
                         value["max_surge"]);
    into = policy;
    return {};
}

json ReloadRules::write(const ReloadPolicy& value)
{
    json out = json::object();
    if (value.max_surge) out["max_surge"] = write_share(*value.max_surge);
    if (value.max_unavailable != Share{})
        out["max_unavailable"] = write_share(value.max_unavailable);
    if (value.soak) out["soak"] = value.soak->count();
    return out;
}

Verdict Dependencies::read(const json& value, std::map<std::string, Condition>& into,
                           const Attribute& attribute)
{
    std::map<std::string, Condition> dependencies;
    const auto add = [&](const json& given, const std::string& path,
                         Condition condition) -> Verdict {
        std::string name;
        if (!Name::read(given, name, attribute)) return refuse_at(path, "an app's name", given);
        dependencies[name] = condition;
        return {};
    };
    if (value.is_object()) {
        for (const auto& [name, given] : value.items()) {
            Condition condition{};
            if (given.is_null()) continue;
            if (auto verdict = read_condition(given, "." + name, condition); !verdict)
                return verdict;
            if (auto verdict = add(name, " key", condition); !verdict) return verdict;
        }
    } else if (value.is_array()) {
        for (std::size_t i = 0; i < value.size(); ++i)
            if (auto verdict = add(value[i], fmt::format("[{}]", i), Condition::ready); !verdict)
                return verdict;
    } else if (!add(value, "", Condition::ready)) {
        return refuse_at("", "", value);
    }
    into = std::move(dependencies);
    return {};
}

json Dependencies::write(const std::map<std::string, Condition>& value)
{
    json out = json::object();
    for (const auto& [name, condition] : value)
        out[name] = std::ranges::find(kConditions, condition, &ConditionName::condition)->name;
    return out;
}

Verdict BalanceMode::read(const json& value, Balance& into, const Attribute&)
{
    if (value != "shared" && value != "reuseport") return refuse_at("", "", value);
    into = value == "shared" ? Balance::shared : Balance::reuseport;
    return {};
}

json BalanceMode::write(Balance value)
{
    return value == Balance::shared ? "shared" : "reuseport";
}

} // namespace cluster::ipc
