#include "ipc/wire/schema.hpp"

#include "ipc/wire/attribute_table.hpp"
#include "ipc/wire/units.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::ipc {
namespace {

using Json = nlohmann::ordered_json; // properties in the order of the table

constexpr const char* kNumeric = "^-?[0-9]+$"; // PM2 converts numeric strings

Json either(std::initializer_list<Json> forms)
{
    return {{"anyOf", Json(forms)}};
}

Json text()
{
    return {{"type", "string"}, {"minLength", 1}};
}

Json array_of(Json items)
{
    return {{"type", "array"}, {"items", std::move(items)}};
}

Json whole(const Attribute& a)
{
    return {{"type", "integer"}, {"minimum", a.min}, {"maximum", a.max}};
}

Json matching(const char* pattern)
{
    return {{"type", "string"}, {"pattern", pattern}};
}

/// Null means absent, for an attribute and for a member of one.
Json nullable(Json schema)
{
    if (schema.empty()) return schema;
    if (schema.contains("anyOf")) {
        schema["anyOf"].push_back({{"type", "null"}});
        return schema;
    }
    return either({std::move(schema), {{"type", "null"}}});
}

/// An object of these members, each of which may be null, except `required`; those of `absent`,
/// which other forms of the object have, may be nothing but null.
Json object_of(Json members, const char* required = nullptr,
               std::initializer_list<const char*> absent = {})
{
    for (auto& [name, schema] : members.items())
        if (required == nullptr || name != required) schema = nullable(schema);
    for (const char* name : absent)
        if (!members.contains(name)) members[name] = {{"type", "null"}};
    Json object{
        {"type", "object"}, {"properties", std::move(members)}, {"additionalProperties", false}};
    if (required != nullptr) object["required"] = Json::array({required});
    return object;
}

Json boolean()
{
    return {{"type", "boolean"}};
}

/// A whole number as such or as text.
Json number(std::int64_t min, std::int64_t max)
{
    return either({{{"type", "integer"}, {"minimum", min}, {"maximum", max}}, matching(kNumeric)});
}

Json duration(std::int64_t min)
{
    return either({{{"type", "integer"}, {"minimum", min}, {"maximum", kMaxMs}},
                   matching("^[0-9]+(ms|s|m|h)?$")});
}

Json listen_schema()
{
    const Json port{{"type", "integer"}, {"minimum", 0}, {"maximum", 65535}};
    const Json local = matching("^unix:/.+$");
    const Json network = either({port, matching("^(.*:)?[0-9]{1,5}$")});
    const Json name = matching("^[ -9;-~]{1,255}$");
    const Json local_object = object_of({{"address", local},
                                         {"name", name},
                                         {"backlog", number(1, 65535)},
                                         {"mode", matching("^(0o)?[0-7]+$")},
                                         {"owner", either({{{"type", "integer"}, {"minimum", 0}},
                                                           matching("^[!-9;-~]+(:[!-9;-~]+)?$")})}},
                                        "address", {"reuse_port", "ipv6_only", "nodelay"});
    const Json network_object = object_of({{"address", network},
                                           {"name", name},
                                           {"backlog", number(1, 65535)},
                                           {"reuse_port", boolean()},
                                           {"ipv6_only", boolean()},
                                           {"nodelay", boolean()}},
                                          "address", {"mode", "owner"});
    const Json one = either({network, local, network_object, local_object});
    return either({network, local, network_object, local_object, array_of(one)});
}

/// One form per kind of probe, since each has members of its own.
Json probe_schema(bool health)
{
    const Json path = matching("^/[!-~]*$");
    const Json status = either(
        {number(100, 599), {{"type", "array"}, {"minItems", 1}, {"items", number(100, 599)}}});
    const Json port = number(1, 65535);
    const Json yes{{"const", true}};
    const auto form = [&](const char* kind, Json members) {
        members["interval"] = duration(10);
        members["timeout"] = duration(10);
        if (health) {
            members["failures"] = number(1, 1000);
            members["start_period"] = duration(0);
        }
        return object_of(std::move(members), kind,
                         {"http", "tcp", "exec", "log", "path", "port", "status"});
    };
    Json words{{"type", "array"}, {"minItems", 1}, {"items", {{"type", "string"}}}};
    return either(
        {path, form("http", {{"http", path}, {"port", port}, {"status", status}}),
         form("http", {{"http", yes}, {"path", path}, {"port", port}, {"status", status}}),
         form("tcp", {{"tcp", yes}, {"port", port}}), form("tcp", {{"tcp", port}}),
         form("exec", {{"exec", either({text(), std::move(words)})}}),
         form("log", {{"log", {{"type", "string"}, {"minLength", 1}, {"maxLength", 500}}}})});
}

Json reload_schema()
{
    const Json share = either({{{"type", "integer"}, {"minimum", 0}, {"maximum", 10'000}},
                               matching("^([0-9]+|([0-9]|[1-9][0-9]|100)%)$")});
    return object_of({{"max_surge", share}, {"max_unavailable", share}, {"soak", duration(0)}});
}

Json rotation_schema()
{
    const Json size =
        either({{{"type", "integer"}, {"minimum", 0}}, matching("^[0-9]+([KMGkmg][Bb]?)?$")});
    const Json every = either({{{"enum", {"hourly", "daily", "weekly"}}}, duration(1000)});
    const Json compress{{"enum", {"zstd", "gzip", true, false}}};
    return either({boolean(), object_of({{"size", size},
                                         {"every", every},
                                         {"keep", number(0, kMaxRotatedKept)},
                                         {"compress", compress}})});
}

Json rlimits_schema()
{
    const Json value = either(
        {{{"type", "integer"}, {"minimum", 0}}, matching("^([0-9]+([KMGkmg][Bb]?)?|unlimited)$")});
    Json members = Json::object();
    for (const std::string_view name : rlimit_names())
        members[std::string{name}] = either({value, object_of({{"soft", value}, {"hard", value}})});
    return object_of(std::move(members));
}

Json name_schema()
{
    return either(
        {{{"type", "string"}, {"minLength", 1}, {"maxLength", 200}, {"pattern", "^[^/]+$"}},
         {{"type", "number"}}});
}

Json depends_schema()
{
    const Json condition = nullable({{"enum", {"started", "ready", "completed"}}});
    return either(
        {name_schema(),
         array_of(name_schema()),
         {{"type", "object"},
          {"propertyNames", {{"minLength", 1}, {"maxLength", 200}, {"pattern", "^[^/]+$"}}},
          {"additionalProperties", condition}}});
}

Json environment_schema()
{
    return {{"type", "object"}, {"propertyNames", matching("^[^=]+$")}};
}

Json form(const Attribute& a)
{
    Json count = number(a.min, a.max);
    switch (a.access.type) {
    case Type::text:
        return text();
    case Type::name:
        return name_schema();
    case Type::variable:
        return matching("^[^=]*$");
    case Type::words:
        return either(
            {{{"type", "string"}}, array_of({{"type", {"string", "number", "boolean"}}})});
    case Type::flag:
        return boolean();
    case Type::whole:
        return count;
    case Type::duration:
        return duration(a.min);
    case Type::memory:
        return either(
            {{{"type", "integer"}, {"minimum", 0}}, matching("^[0-9]+([KMGkmg][Bb]?)?$")});
    case Type::exec_mode:
        return {{"enum", {"fork", "cluster", "fork_mode", "cluster_mode"}}};
    case Type::instances:
        return either({whole(a), matching("^(max|-?[0-9]+)$")});
    case Type::signal:
        return either({{{"type", "integer"}, {"minimum", 1}, {"maximum", 64}},
                       matching("^([Ss][Ii][Gg])?[A-Za-z0-9]+$")});
    case Type::umask:
        return either(
            {{{"type", "integer"}, {"minimum", 0}, {"maximum", 511}}, matching("^(0o)?[0-7]+$")});
    case Type::user:
        return either({{{"type", "integer"}, {"minimum", 0}}, text()});
    case Type::environment:
        return environment_schema();
    case Type::filter:
        return either(
            {{{"type", "boolean"}}, {{"type", "string"}}, array_of({{"type", "string"}})});
    case Type::exit_codes:
        return either({count, array_of(count)});
    case Type::listen:
        return listen_schema();
    case Type::text_list:
        return array_of({{"type", "string"}});
    case Type::balance:
        return {{"enum", {"shared", "reuseport"}}};
    case Type::depends_on:
        return depends_schema();
    case Type::ready_probe:
        return probe_schema(false);
    case Type::health_probe:
        return probe_schema(true);
    case Type::reload_policy:
        return reload_schema();
    case Type::rotation:
        return rotation_schema();
    case Type::cpus:
        return either({{{"type", "number"}, {"minimum", 0}, {"maximum", 10'000}},
                       matching("^[0-9]+(\\.[0-9]+)?%?$")});
    case Type::rlimits:
        return rlimits_schema();
    case Type::sinks: {
        const Json sink = matching(
            "^(stdout|journald|syslog|syslog:/.+|(syslog|syslog\\+tcp|tcp)://.+:[0-9]+|unix:/.+)$");
        return either({sink, {{"type", "array"}, {"items", sink}}});
    }
    case Type::log_file:
        return either({boolean(), text()});
    case Type::date_format:
        return either({{{"const", false}}, {{"type", "string"}, {"maxLength", 200}}});
    case Type::log_type:
        return {{"enum", {"raw", "json"}}};
    case Type::log_on_full:
        return {{"enum", {"drop", "block", "spill"}}};
    case Type::schedule:
        return either({{{"const", 0}}, {{"type", "string"}, {"maxLength", 200}}});
    case Type::any:
        return Json::object();
    }
    std::unreachable();
}

/// The doc line and what follows from `support`.
std::string description(const Attribute& a)
{
    std::string out{a.doc};
    if (a.support == Support::accepted) out += " PM2's; accepted, no effect yet.";
    if (a.support == Support::silent) out += " PM2's; accepted, without meaning here.";
    return out;
}

std::vector<std::string> aliases(const Attribute& a)
{
    std::vector<std::string> names;
    for (const std::string_view alias : a.aliases)
        if (!alias.empty()) names.emplace_back(alias);
    return names;
}

/// Every other spelling: aliases and the camelCase form of each.
std::vector<std::string> other_names(const Attribute& a)
{
    std::vector<std::string> names;
    const auto add = [&](std::string name) {
        if (name != a.name && std::ranges::find(names, name) == names.end())
            names.push_back(std::move(name));
    };
    add(camel_case(a.name));
    for (const std::string& alias : aliases(a)) {
        add(alias);
        add(camel_case(alias));
    }
    return names;
}

Json app_schema()
{
    Json properties{{"$schema", {{"type", "string"}}}};
    for (const Attribute& a : attributes()) {
        if (a.support == Support::internal) continue;
        Json schema{{"description", description(a)}};
        if (!a.fallback.empty() && a.support == Support::full)
            schema["default"] = Json::parse(a.fallback);
        schema.update(nullable(form(a)));
        properties[std::string{a.name}] = std::move(schema);
        for (const std::string& name : other_names(a))
            properties[name] = {{"$ref", fmt::format("#/definitions/app/properties/{}", a.name)}};
    }
    Json scripts = Json::array();
    const Attribute& script = *find_attribute("script");
    scripts.push_back({{"required", {script.name}}});
    for (const std::string& name : other_names(script))
        scripts.push_back({{"required", {name}}});
    return {{"type", "object"},
            {"properties", std::move(properties)},
            {"patternProperties", {{"^env_.", nullable(environment_schema())}}},
            {"additionalProperties", false},
            {"anyOf", std::move(scripts)}};
}

std::string in_code(const std::vector<std::string>& names)
{
    return names.empty() ? "" : fmt::format("`{}`", fmt::join(names, "`, `"));
}

/// A "|" would end the cell of the table.
std::string cell(std::string_view content)
{
    std::string out;
    for (const char c : content)
        out += c == '|' ? std::string{"\\|"} : std::string{c};
    return out;
}

std::string table(Group group)
{
    std::string out = "| attribute | value | default | change | meaning |\n|---|---|---|---|---|\n";
    for (const Attribute& a : attributes()) {
        if (a.group != group || a.support != Support::full) continue;
        std::string meaning{a.doc};
        if (const auto names = in_code(aliases(a)); !names.empty())
            meaning += " Also " + names + ".";
        out += fmt::format("| `{}` | {} | {} | {} | {} |\n", a.name, cell(allowed(a)),
                           a.fallback.empty() ? "" : fmt::format("`{}`", a.fallback),
                           a.effect == Effect::live ? "live" : "restart", cell(meaning));
    }
    return out;
}

std::string names_with(Support support)
{
    std::vector<std::string> names;
    for (const Attribute& a : attributes())
        if (a.support == support) names.emplace_back(a.name);
    return in_code(names);
}

constexpr std::string_view kIntroduction = R"(# Ecosystem files

<!-- Generated by `clusterctl schema --markdown` from ipc/wire/attribute_table.cpp. -->

An ecosystem file says which apps run and how. PM2's files work as they are.

```json
{
  "$schema": "./ecosystem.schema.json",
  "apps": [
    {
      "name": "api",
      "script": "server.js",
      "instances": "max",
      "listen": "3001",
      "max_memory_restart": "1G",
      "env": { "LOG": "info" },
      "env_production": { "LOG": "warn" }
    }
  ]
}
```

- **Formats:** `.json` (comments and trailing commas are fine), `.yaml` and `.yml`, and
  `.config.js`, `.config.cjs`, `.config.mjs`, which `node` evaluates. `-` reads JSON from standard
  input.
- **Top level:** an object with `apps` (or `pm2`), an array of apps, or a single app.
- **Names:** every attribute also has a camelCase name (`maxRestarts`).
- **Numbers** may be written as strings (`"4"`). **null** is the same as leaving the attribute out.
- **Paths:** `cwd` is relative to where `clusterctl` is called, all other paths are relative to
  `cwd`. `~` is the home directory.
- **Environment,** from low to high: the caller's, `env`, `port`, `env_<name>` with `--env <name>`.
- **Mistakes:** `clusterctl validate FILE` shows all of them at once, each with file, app and
  attribute. A file with a mistake starts nothing. An unknown attribute is a warning.
- **Change:** what a changed value takes to become effective: *live* at once, *restart* with the
  next start of the worker.
)";

} // namespace

std::string ecosystem_schema()
{
    const Json app{{"$ref", "#/definitions/app"}};
    const Json apps{{"type", "array"}, {"minItems", 1}, {"items", app}};
    const Json list = either({apps, app});
    const Json whole_file{{"type", "object"},
                          {"properties",
                           {{"$schema", {{"type", "string"}}},
                            {"apps", list},
                            {"pm2", list},
                            {"deploy", Json::object()},
                            {"static", Json::object()}}},
                          {"additionalProperties", false},
                          {"anyOf", {{{"required", {"apps"}}}, {{"required", {"pm2"}}}}}};
    const Json schema{{"$schema", "http://json-schema.org/draft-07/schema#"},
                      {"title", "Ecosystem file of clusterctl"},
                      {"anyOf", {whole_file, apps, app}},
                      {"definitions", {{"app", app_schema()}}}};
    return schema.dump(2) + "\n";
}

std::string configuration_markdown()
{
    constexpr std::pair<Group, std::string_view> kSections[] = {
        {Group::program, "What runs"},
        {Group::identity, "As whom"},
        {Group::limits, "What it may take"},
        {Group::life, "Its life"},
        {Group::serving, "Whether it serves, and how it leaves"},
        {Group::files, "Its files"},
    };
    std::string out{kIntroduction};
    for (const auto& [group, title] : kSections)
        out += fmt::format("\n## {}\n\n{}", title, table(group));
    out += fmt::format("\n## Accepted for PM2's files\n\n"
                       "With a warning, since they have no effect yet: {}.\n\n"
                       "Without a word, since they have no meaning here: {}.\n",
                       names_with(Support::accepted), names_with(Support::silent));
    return out;
}

} // namespace cluster::ipc
