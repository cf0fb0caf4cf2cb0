// From JSON to AppSpec and back. Both directions, the JSON Schema and docs/configuration.md come
// from the one table in attribute_table.cpp; the CLI and the daemon use the same parser.
#pragma once

#include "ipc/wire/app_spec.hpp"
#include "ipc/wire/diagnostic.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::ipc {

/// Where an app stands, for messages, and which `env_<name>` it gets.
struct Where {
    std::string file{};     ///< as the user named it; "" in a request to the daemon
    std::size_t index = 0;  ///< of the app in its file, from 0
    std::string env_name{}; ///< `--env`; "" none
};

/// Checks one app completely and adds everything that is wrong with it to `diagnostics`; empty when
/// there was an error. Warnings leave the value as it is. Reads no file and no environment, so
/// paths stay as written (`cli/resolve_app.hpp` makes them absolute). The name is derived from the
/// script when it is absent.
[[nodiscard]] std::optional<AppSpec> parse_app(const nlohmann::json& app, const Where& where,
                                               Diagnostics& diagnostics);

/// The app as an object that parse_app reads back to an equal value. Only what differs from the
/// default is written.
[[nodiscard]] nlohmann::json to_json(const AppSpec& spec);

/// How messages call an app: `app "api"` by its name or script, else `app 2` by its place.
[[nodiscard]] std::string app_label(const nlohmann::json& app, std::size_t index);

/// PM2's rule: the file's basename without its last extension; a name that starts with a dot
/// keeps it.
[[nodiscard]] std::string name_of_file(std::string_view path);

/// `name_of_file` of the script; of the first word when it is a command line in one string.
[[nodiscard]] std::string default_name(std::string_view script);

/// True when `key` is an attribute under any of its names, or an `env_<name>`.
[[nodiscard]] bool is_attribute(std::string_view key);

} // namespace cluster::ipc
