#include "ipc/wire/schema.hpp"

#include "ipc/wire/attribute_table.hpp"

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

Json listen_schema()
{
    const Json port{{"type", "integer"}, {"minimum", 0}, {"maximum", 65535}};
    const Json address = matching("^(unix:/.+|(.*:)?[0-9]{1,5})$");
    const Json object{{"type", "object"},
                      {"properties",
                       {{"address", either({port, address})},
                        {"name", text()},
                        {"backlog", {{"type", "integer"}, {"minimum", 1}, {"maximum", 65535}}},
                        {"mode", matching("^(0o)?[0-7]+$")}}},
                      {"required", {"address"}},
                      {"additionalProperties", false}};
    const Json one = either({port, address, object});
    return either({port, address, array_of(one)});
}

Json environment_schema()
{
    return {{"type", "object"}, {"propertyNames", matching("^[^=]+$")}};
}

Json form(const Attribute& a)
{
    const Json count = either({whole(a), matching(kNumeric)});
    switch (a.access.type) {
    case Type::text:
        return text();
    case Type::name:
        return either(
            {{{"type", "string"}, {"minLength", 1}, {"maxLength", 200}, {"pattern", "^[^/]+$"}},
             {{"type", "number"}}});
    case Type::variable:
        return matching("^[^=]*$");
    case Type::words:
        return either(
            {{{"type", "string"}}, array_of({{"type", {"string", "number", "boolean"}}})});
    case Type::flag:
        return {{"type", "boolean"}};
    case Type::whole:
        return count;
    case Type::duration:
        return either({whole(a), matching("^[0-9]+(ms|s|m|h)?$")});
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

/// Null means absent for every attribute.
Json nullable(Json schema)
{
    if (schema.empty()) return schema;
    if (schema.contains("anyOf")) {
        schema["anyOf"].push_back({{"type", "null"}});
        return schema;
    }
    return either({std::move(schema), {{"type", "null"}}});
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
        {Group::life, "Its life"},
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
