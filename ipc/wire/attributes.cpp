#include "ipc/wire/attributes.hpp"

#include "ipc/wire/attribute_codecs.hpp"
#include "ipc/wire/attribute_table.hpp"
#include "ipc/wire/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace cluster::ipc {
namespace {

using nlohmann::json;

constexpr std::string_view kEnvPrefix = "env_";

bool is_named_env(std::string_view key)
{
    return key.starts_with(kEnvPrefix) && key.size() > kEnvPrefix.size();
}

/// Where the value of one attribute was found: the key as written, and the value.
struct Given {
    std::string_view key;
    const json* value;
};

/// Reads one app: sorts its keys by attribute, reads them in the order of the table, then puts
/// together what several attributes have a say in.
class AppParser {
public:
    AppParser(const json& app, const Where& where, Diagnostics& diagnostics)
        : app_{app}, where_{where}, diagnostics_{diagnostics}
    {
    }

    std::optional<AppSpec> parse()
    {
        if (!app_.is_object()) {
            add(Severity::error, "", fmt::format("must be an object, got {}", shown(app_)));
            return std::nullopt;
        }
        for (const auto& [key, value] : app_.items())
            sort_in(key, value);
        for (const Attribute& attribute : attributes())
            if (const auto found = given_.find(&attribute); found != given_.end())
                read(attribute, found->second);
        read_named_environments();
        finish();
        return failed_ ? std::nullopt : std::optional{std::move(draft_.spec)};
    }

private:
    void add(Severity severity, std::string_view attribute, std::string message)
    {
        failed_ |= severity == Severity::error;
        diagnostics_.push_back({.severity = severity,
                                .file = where_.file,
                                .app = app_label(app_, where_.index),
                                .attribute = std::string{attribute},
                                .message = std::move(message)});
    }

    void refuse(std::string_view key, const Mismatch& why, const std::string& fallback,
                const json& value)
    {
        add(Severity::error, key,
            fmt::format("{}{} must be {}, got {}", key, why.path,
                        why.expected.empty() ? fallback : why.expected,
                        why.got.empty() ? shown(value) : why.got));
    }

    void sort_in(const std::string& key, const json& value)
    {
        // Null is JavaScript's way to leave something out; "$schema" is for editors.
        if (is_named_env(key) || key == "$schema") return;
        const Attribute* const attribute = find_attribute(key);
        if (attribute == nullptr) return report_unknown(key);
        if (value.is_null()) return;
        auto [at, is_new] = given_.try_emplace(attribute, key, &value);
        if (is_new) return;
        // The canonical name wins, whatever the order.
        Given ignored{key, &value};
        if (key == attribute->name) std::swap(at->second, ignored);
        add(Severity::warning, ignored.key,
            fmt::format("{} is ignored, since {} is given, which is the same attribute",
                        ignored.key, at->second.key));
    }

    void report_unknown(const std::string& key)
    {
        std::vector<std::string_view> known;
        for (const Attribute& attribute : attributes()) {
            if (attribute.support == Support::internal) continue;
            known.push_back(attribute.name);
            std::ranges::copy_if(attribute.aliases, std::back_inserter(known),
                                 [](std::string_view alias) { return !alias.empty(); });
        }
        const std::string_view meant = nearest(key, known);
        add(Severity::warning, key,
            meant.empty()
                ? fmt::format("unknown attribute {} is ignored", shown(key))
                : fmt::format("unknown attribute {}: did you mean \"{}\"?", shown(key), meant));
    }

    void read(const Attribute& attribute, const Given& given)
    {
        if (attribute.support == Support::accepted) return note_accepted(attribute, given);
        const Verdict verdict = attribute.access.read(draft_, *given.value, attribute);
        if (!verdict) refuse(given.key, verdict.error(), allowed(attribute), *given.value);
    }

    void note_accepted(const Attribute& attribute, const Given& given)
    {
        const json& value = *given.value;
        const bool matters =
            value != false && (attribute.fallback.empty() ||
                               value != json::parse(attribute.fallback, nullptr, false));
        if (!matters) return;
        draft_.spec.unsupported.emplace_back(attribute.name);
        add(Severity::warning, given.key,
            fmt::format("{} is accepted for PM2's files and has no effect yet", given.key));
    }

    /// All are checked, the one asked for is used.
    void read_named_environments()
    {
        if (draft_.port) draft_.spec.env["PORT"] = std::to_string(*draft_.port);
        for (const auto& [key, value] : app_.items()) {
            if (!is_named_env(key) || value.is_null()) continue;
            const bool chosen = key.substr(kEnvPrefix.size()) == where_.env_name;
            Environment unused;
            const Verdict verdict = read_environment(value, chosen ? draft_.spec.env : unused);
            if (!verdict) refuse(key, verdict.error(), "an object of variables", value);
        }
    }

    void finish()
    {
        AppSpec& spec = draft_.spec;
        if (draft_.disable_logs) {
            spec.out_file = spec.error_file = "/dev/null";
            spec.log_file.reset();
        }
        if (draft_.time) spec.log_date_format = "YYYY-MM-DDTHH:mm:ss"; // PM2: it wins
        if (spec.script.empty()) {
            const bool given = std::ranges::any_of(
                given_, [](const auto& entry) { return entry.first->name == "script"; });
            if (!given) add(Severity::error, "script", "script is missing");
            return;
        }
        if (!failed_) check_probes(spec);
        if (!failed_) make_name(spec);
    }

    /// A probe over the network needs to know where: a port of its own, or one that we can tell.
    void check_probes(const AppSpec& spec)
    {
        // A Node app with `instances` gets its cluster mode when its interpreter is known.
        const std::string program = name_of_file(spec.interpreter);
        const bool may_be_node = program.empty() || program == "node" || program == "bun";
        const bool has_place = !spec.listen.empty() || spec.env.contains("PORT") ||
                               spec.exec_mode == ExecMode::cluster ||
                               (!spec.exec_mode_given && spec.instances && may_be_node);
        const auto check = [&](std::string_view attribute, const std::optional<Probe>& probe) {
            if (!probe || probe->port || has_place || probe->kind == Probe::Kind::exec ||
                probe->kind == Probe::Kind::log)
                return;
            add(Severity::error, attribute,
                fmt::format("{} needs a place to ask: give it \"port\", or the app \"listen\" or "
                            "the variable PORT",
                            attribute));
        };
        check("ready", spec.ready);
        check("health", spec.health);
    }

    void make_name(AppSpec& spec)
    {
        if (spec.name.empty()) spec.name = default_name(spec.script);
        const std::string prefix = draft_.name_prefix.empty() ? "" : draft_.name_prefix + ":";
        if (!spec.name.starts_with(prefix)) spec.name.insert(0, prefix);
        if (draft_.append_env_to_name && !where_.env_name.empty())
            spec.name += "-" + where_.env_name;
        const Attribute& attribute = *find_attribute("name");
        const json name = spec.name;
        if (const auto verdict = attribute.access.read(draft_, name, attribute); !verdict)
            refuse("name", verdict.error(), allowed(attribute), name);
    }

    const json& app_;
    const Where& where_;
    Diagnostics& diagnostics_;
    Draft draft_;
    std::map<const Attribute*, Given> given_;
    bool failed_ = false;
};

/// The first value of `key` among all spellings of the attribute that is text; "" when none is.
std::string text_of(const json& app, std::string_view name)
{
    const Attribute* const wanted = find_attribute(name);
    for (const auto& [key, value] : app.items())
        if (value.is_string() && find_attribute(key) == wanted) return value.get<std::string>();
    return {};
}

} // namespace

std::optional<AppSpec> parse_app(const json& app, const Where& where, Diagnostics& diagnostics)
{
    return AppParser{app, where, diagnostics}.parse();
}

json to_json(const AppSpec& spec)
{
    json out = json::object();
    for (const Attribute& attribute : attributes())
        if (json value = attribute.access.write(spec); !value.is_null())
            out[attribute.name] = std::move(value);
    return out;
}

std::string app_label(const json& app, std::size_t index)
{
    std::string name;
    if (app.is_object()) name = text_of(app, "name");
    if (app.is_object() && name.empty()) name = default_name(text_of(app, "script"));
    if (name.empty()) return fmt::format("app {}", index + 1);
    return "app " + shown(name);
}

std::string name_of_file(std::string_view path)
{
    while (path.size() > 1 && path.ends_with('/'))
        path.remove_suffix(1);
    path.remove_prefix(std::min(path.rfind('/') + 1, path.size()));
    const auto dot = path.rfind('.');
    return std::string{dot == 0 || dot == path.npos ? path : path.substr(0, dot)};
}

std::string default_name(std::string_view script)
{
    const auto first = script.find_first_not_of(" \t");
    if (first == script.npos) return {};
    script.remove_prefix(first);
    return name_of_file(script.substr(0, script.find_first_of(" \t\n")));
}

bool is_attribute(std::string_view key)
{
    return is_named_env(key) || find_attribute(key) != nullptr;
}

} // namespace cluster::ipc
