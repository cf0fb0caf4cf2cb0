#include "ipc/wire/object_codec.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace cluster::ipc {

using nlohmann::json;

std::unexpected<Mismatch> refuse_at(std::string path, std::string expected, const json& got)
{
    return std::unexpected(Mismatch{std::move(expected), std::move(path), shown(got)});
}

Verdict read_members(const json& object, const std::string& path,
                     const std::vector<Member>& members)
{
    for (const auto& [key, value] : object.items()) {
        const auto member = std::ranges::find(members, key, &Member::name);
        if (member == members.end()) {
            std::vector<std::string_view> names;
            names.reserve(members.size());
            for (const Member& known : members)
                names.push_back(known.name);
            return refuse_at(path, fmt::format("an object of {}", fmt::join(names, ", ")), key);
        }
        if (value.is_null()) continue;
        if (auto verdict = member->read(value, fmt::format("{}.{}", path, key)); !verdict)
            return verdict;
    }
    return {};
}

bool has_member(const json& object, std::string_view name)
{
    const auto found = object.find(name);
    return found != object.end() && !found->is_null();
}

Member duration_member(std::string_view name, milliseconds min, milliseconds& into)
{
    return {
        name, [min, &into](const json& value, const std::string& path) -> Verdict {
            const auto read = duration_between(value, min.count(), kMaxMs);
            if (!read)
                return refuse_at(
                    path,
                    fmt::format("a duration of at least {} ms, such as 500 or \"5s\"", min.count()),
                    value);
            into = *read;
            return {};
        }};
}

Member whole_member(std::string_view name, int min, int max, int& into)
{
    return {name, [=, &into](const json& value, const std::string& path) -> Verdict {
                const auto number = whole_between(value, min, max);
                if (!number)
                    return refuse_at(path, fmt::format("a whole number from {} to {}", min, max),
                                     value);
                into = static_cast<int>(*number);
                return {};
            }};
}

Member flag_member(std::string_view name, bool& into)
{
    return {name, [&into](const json& value, const std::string& path) -> Verdict {
                if (!value.is_boolean()) return refuse_at(path, "true or false", value);
                into = value.get<bool>();
                return {};
            }};
}

} // namespace cluster::ipc
