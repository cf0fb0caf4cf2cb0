#include "tests/unit/ipc/wire/schema_validator.hpp"

#include "ipc/wire/schema.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <regex>

namespace cluster::ipc::test {
namespace {

using nlohmann::json;

bool has_type(const json& value, const std::string& type)
{
    if (type == "integer")
        return value.is_number_integer() ||
               (value.is_number() && std::trunc(value.get<double>()) == value.get<double>());
    if (type == "number") return value.is_number();
    if (type == "boolean") return value.is_boolean();
    return value.type_name() == type;
}

bool is_one_type(const json& value, const json& types)
{
    if (types.is_string()) return has_type(value, types);
    return std::ranges::any_of(types, [&](const json& type) { return has_type(value, type); });
}

bool matches(const json& value, const std::string& pattern)
{
    return !value.is_string() || std::regex_search(value.get<std::string>(), std::regex{pattern});
}

/// Keywords about the value itself.
bool obeys_simple(const json& value, const std::string& keyword, const json& rule)
{
    if (keyword == "type") return is_one_type(value, rule);
    if (keyword == "const") return value == rule;
    if (keyword == "enum") return std::ranges::find(rule, value) != rule.end();
    if (keyword == "minimum") return !value.is_number() || value >= rule;
    if (keyword == "maximum") return !value.is_number() || value <= rule;
    if (keyword == "pattern") return matches(value, rule);
    if (keyword == "minItems") return !value.is_array() || value.size() >= rule.get<std::size_t>();
    if (keyword == "required")
        return !value.is_object() || std::ranges::all_of(rule, [&](const json& name) {
            return value.contains(name.get_ref<const std::string&>());
        });
    const std::size_t size = value.is_string() ? value.get_ref<const std::string&>().size() : 0;
    if (keyword == "minLength") return !value.is_string() || size >= rule.get<std::size_t>();
    if (keyword == "maxLength") return !value.is_string() || size <= rule.get<std::size_t>();
    FAIL("unknown keyword " << keyword);
    return false;
}

bool obeys_members(const json& object, const json& schema, const json& root)
{
    const json none = json::object();
    const json properties = schema.value("properties", none);
    const json patterns = schema.value("patternProperties", none);
    for (const auto& [name, value] : object.items()) {
        if (schema.contains("propertyNames") && !obeys(name, schema["propertyNames"], root))
            return false;
        bool known = properties.contains(name);
        if (known && !obeys(value, properties[name], root)) return false;
        for (const auto& [pattern, rule] : patterns.items()) {
            if (!matches(name, pattern)) continue;
            known = true;
            if (!obeys(value, rule, root)) return false;
        }
        if (known || !schema.contains("additionalProperties")) continue;
        const json& rest = schema["additionalProperties"];
        if (rest.is_boolean() ? !rest.get<bool>() : !obeys(value, rest, root)) return false;
    }
    return true;
}

} // namespace

bool obeys(const json& value, const json& schema, const json& root)
{
    constexpr const char* kForPeople[] = {"description", "default", "title"};
    constexpr const char* kOfMembers[] = {"properties", "patternProperties", "propertyNames",
                                          "additionalProperties"};
    if (schema.contains("$ref")) {
        const std::string target = schema["$ref"];
        return obeys(value, root.at(json::json_pointer{target.substr(1)}), root);
    }
    if (value.is_object() && !obeys_members(value, schema, root)) return false;
    for (const auto& [keyword, rule] : schema.items()) {
        if (std::ranges::find(kForPeople, keyword) != std::end(kForPeople) ||
            std::ranges::find(kOfMembers, keyword) != std::end(kOfMembers))
            continue;
        if (keyword == "anyOf") {
            if (std::ranges::none_of(rule,
                                     [&](const json& one) { return obeys(value, one, root); }))
                return false;
        } else if (keyword == "items") {
            if (value.is_array() && !std::ranges::all_of(value, [&](const json& item) {
                    return obeys(item, rule, root);
                }))
                return false;
        } else if (!obeys_simple(value, keyword, rule)) {
            return false;
        }
    }
    return true;
}

bool schema_accepts(const json& app)
{
    static const json root = json::parse(ecosystem_schema());
    return obeys(app, root["definitions"]["app"], root);
}

} // namespace cluster::ipc::test
