// One row per attribute of an app. The parser, to_json, the JSON Schema and docs/configuration.md
// all read this table, so that none of them can know an attribute that the others do not.
#pragma once

#include "ipc/wire/app_spec.hpp"

#include <nlohmann/json_fwd.hpp>

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cluster::ipc {

/// The longest duration of an app: what a timer of JavaScript can hold, 24.8 days.
inline constexpr std::int64_t kMaxMs = 2147483647;
/// `rotate.keep`.
inline constexpr int kMaxRotatedKept = 100'000;

/// What an app is while it is being read: the specification and what only shapes it.
struct Draft {
    AppSpec spec;
    std::string name_prefix;
    bool append_env_to_name = false;
    bool disable_logs = false;
    bool time = false;
    std::optional<std::uint64_t> port;
};

/// Why a value is refused: `<attribute><path> must be <expected>, got <got>`.
struct Mismatch {
    std::string expected; ///< "" stands for what the attribute's type allows
    std::string path;     ///< where inside the value: "[2]", ".PORT"
    std::string got;      ///< as shown to people; "" shows the whole value
};
using Verdict = std::expected<void, Mismatch>;

enum class Type {
    text,
    name,
    variable,
    words,
    flag,
    whole,
    duration,
    memory,
    exec_mode,
    instances,
    signal,
    umask,
    user,
    environment,
    filter,
    exit_codes,
    listen,
    text_list,
    balance,
    depends_on,
    ready_probe,
    health_probe,
    reload_policy,
    rotation,
    cpus,
    rlimits,
    sinks,
    log_file,
    date_format,
    log_type,
    log_on_full,
    schedule,
    any,
};

/// What changing the attribute of a running app takes.
enum class Effect { live, restart };

enum class Support {
    full,
    accepted, ///< PM2's, no effect yet: a warning when it is set to something that would matter
    silent,   ///< PM2's, has no meaning here: accepted without a word
    internal, ///< between CLI and daemon only
};

/// Sections of docs/configuration.md.
enum class Group { program, identity, limits, life, serving, files, other };

struct Attribute;

struct Access {
    Type type;
    Verdict (*read)(Draft&, const nlohmann::json&, const Attribute&);
    nlohmann::json (*write)(const AppSpec&); ///< null when it has its default
};

struct Attribute {
    std::string_view name;
    std::array<std::string_view, 4> aliases; ///< unused ones are ""; camelCase comes by itself
    Access access;
    std::string_view fallback; ///< the default as JSON; "" when absence has a meaning of its own
    Group group;
    Effect effect;
    std::string_view doc; ///< one line of Markdown
    std::int64_t min = 0; ///< of whole and duration
    std::int64_t max = 0;
    Support support = Support::full;
};

[[nodiscard]] std::span<const Attribute> attributes();

/// The attribute with that name, alias or camelCase form of either; null when there is none.
/// `env_<name>` is not in the table.
[[nodiscard]] const Attribute* find_attribute(std::string_view key);

/// "max_restarts" → "maxRestarts"; the same text when there is nothing to change.
[[nodiscard]] std::string camel_case(std::string_view name);

/// What the attribute allows, to stand after "must be" and in the documents.
[[nodiscard]] std::string allowed(const Attribute& attribute);

/// `env` and `env_<name>`: checks `value` and lays it over `into`; null drops a variable.
[[nodiscard]] Verdict read_environment(const nlohmann::json& value, Environment& into);

/// A value as people see it in a message: JSON, shortened, containers as "an array".
[[nodiscard]] std::string shown(const nlohmann::json& value);

} // namespace cluster::ipc
