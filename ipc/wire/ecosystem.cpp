#include "ipc/wire/ecosystem.hpp"

#include "ipc/wire/attribute_table.hpp"
#include "ipc/wire/attributes.hpp"
#include "ipc/wire/dependencies.hpp"
#include "ipc/wire/json_text.hpp"
#include "ipc/wire/yaml.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <utility>

namespace cluster::ipc {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxBytes =
    std::size_t{8} * 1024 * 1024; // as a request to the daemon (docs/protocol.md)

/// Turns the text of one file into apps; each step adds what it finds to the diagnostics.
class Loader {
public:
    Loader(const std::string& file, const std::string& env_name)
        : where_{.file = file, .env_name = env_name}
    {
    }

    Ecosystem load(std::string_view text, Format format)
    {
        if (text.size() > kMaxBytes) {
            error(fmt::format("must be at most {} bytes, got {}", kMaxBytes, text.size()));
            return std::move(result_);
        }
        std::string owned{text};
        auto parsed =
            format == Format::yaml ? parse_yaml(owned) : parse_relaxed_json(std::move(owned));
        if (!parsed) {
            report(parsed.error(), format);
            return std::move(result_);
        }
        const json apps = find_apps(std::move(*parsed));
        for (where_.index = 0; where_.index < apps.size(); ++where_.index)
            add(apps[where_.index]);
        if (!apps.empty()) check_environment_name(apps);
        check_dependencies();
        return std::move(result_);
    }

private:
    void error(std::string message)
    {
        result_.diagnostics.push_back({.file = where_.file, .message = std::move(message)});
    }

    void warning(std::string message)
    {
        result_.diagnostics.push_back(
            {.severity = Severity::warning, .file = where_.file, .message = std::move(message)});
    }

    void report(const TextFault& fault, Format format)
    {
        const char* const language = format == Format::yaml ? "YAML" : "JSON";
        result_.diagnostics.push_back(
            {.file = where_.file,
             .message = fmt::format("not valid {}: {}", language, fault.what),
             .line = fault.line,
             .column = fault.column});
    }

    /// The array of apps; empty after an error.
    json find_apps(json root)
    {
        constexpr const char* kExpected =
            "an object with \"apps\", an array of apps, or one app (an object with \"script\")";
        json apps = json::array();
        if (root.is_array()) {
            apps = std::move(root);
        } else if (root.is_object() && (root.contains("apps") || root.contains("pm2"))) {
            note_other_members(root);
            apps = std::move(root[root.contains("apps") ? "apps" : "pm2"]);
            if (apps.is_object()) apps = json::array({std::move(apps)});
        } else if (root.is_object() && has_attribute(root)) {
            apps.push_back(std::move(root));
        } else {
            error(fmt::format("the file must hold {}, got {}", kExpected,
                              root.is_object() ? "an object with none of its attributes"
                                               : shown(root)));
            return apps;
        }
        if (!apps.is_array()) {
            error(fmt::format("apps must be an array of apps, got {}", shown(apps)));
            return json::array();
        }
        if (apps.empty()) error("there are no apps in the file");
        return apps;
    }

    static bool has_attribute(const json& object)
    {
        return std::ranges::any_of(object.items(),
                                   [](const auto& item) { return is_attribute(item.key()); });
    }

    void note_other_members(const json& root)
    {
        for (const auto& [key, value] : root.items()) {
            if (key == "apps" || key == "$schema" || (key == "pm2" && !root.contains("apps")))
                continue;
            if (key == "deploy" || key == "static")
                warning(fmt::format("\"{}\" has no effect yet", key));
            else
                warning(fmt::format("unknown member {} beside \"apps\" is ignored", shown(key)));
        }
    }

    void add(const json& app)
    {
        auto spec = parse_app(app, where_, result_.diagnostics);
        if (!spec) {
            if (const auto rest = without_the_rest(app)) add_needs(*rest, needs_);
            return;
        }
        add_needs(*spec, needs_);
        const auto [first, is_new] = names_.try_emplace(spec->name, where_.index);
        if (!is_new)
            result_.diagnostics.push_back(
                {.file = where_.file,
                 .app = "app " + shown(spec->name),
                 .attribute = "name",
                 .message =
                     fmt::format("name must be unique in the file, got {} for apps {} and {}",
                                 shown(spec->name), first->second + 1, where_.index + 1)});
        result_.apps.push_back(std::move(*spec));
    }

    /// What is known of an app with a mistake, so that a cycle through it is told as well and not
    /// only after the mistake is gone.
    [[nodiscard]] std::optional<AppSpec> without_the_rest(const json& app) const
    {
        constexpr std::string_view kKept[] = {"script", "name", "name_prefix", "append_env_to_name",
                                              "depends_on"};
        if (!app.is_object()) return std::nullopt;
        json kept = json::object();
        for (const auto& [key, value] : app.items()) {
            const Attribute* const attribute = find_attribute(key);
            if (attribute != nullptr &&
                std::ranges::find(kKept, attribute->name) != std::ranges::end(kKept))
                kept[key] = value;
        }
        Diagnostics told_already;
        return parse_app(kept, where_, told_already);
    }

    /// A name that is not in the file may be an app that runs already: the daemon knows.
    void check_dependencies()
    {
        for (const Cycle& cycle : dependency_cycles(needs_))
            result_.diagnostics.push_back(
                {.file = where_.file,
                 .app = "app " + shown(cycle.front()),
                 .attribute = "depends_on",
                 .message = "depends_on must not be a cycle, got " + cycle_text(cycle)});
    }

    void check_environment_name(const json& apps)
    {
        if (where_.env_name.empty()) return;
        const std::string key = "env_" + where_.env_name;
        const bool known = std::ranges::any_of(
            apps, [&](const json& app) { return app.is_object() && app.contains(key); });
        if (!known) warning(fmt::format("no app has {}, asked for by --env", shown(key)));
    }

    Where where_;
    Ecosystem result_;
    std::map<std::string, std::size_t> names_; ///< name → index of its app
    Needs needs_;
};

} // namespace

Ecosystem parse_ecosystem(std::string_view text, Format format, const std::string& file,
                          const std::string& env_name)
{
    return Loader{file, env_name}.load(text, format);
}

} // namespace cluster::ipc
