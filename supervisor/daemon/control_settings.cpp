// Control, what is set for the daemon as a whole, and what it tells to Prometheus of itself.
#include "supervisor/daemon/control.hpp"

#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::json;
using ipc::RpcError;

ipc::RpcResult<std::string> string_in(const json& params, const char* name)
{
    const json given = params.value(name, json{});
    if (!given.is_string() || given.get_ref<const std::string&>().empty())
        return ipc::invalid_param(std::string{"/"} + name, "a string", given);
    return given.get<std::string>();
}

RpcError refused(const ipc::Error& error)
{
    // The sentence of a refusal is whole; of what the kernel refuses, it is not.
    const bool ours = error.code == std::errc::invalid_argument;
    return {.code = ours ? ipc::kInvalidParams : ipc::kFailed,
            .message = ours ? error.what : error.text(),
            .data = nullptr};
}

} // namespace

json Control::settings_json() const
{
    const auto values = settings_.values();
    json all = json::array();
    for (const SettingKey& key : setting_keys()) {
        const auto set = values.find(std::string{key.name});
        const std::string variable = settings_.from_environment(key);
        const char* source = !variable.empty()     ? "environment"
                             : set != values.end() ? "file"
                                                   : "default";
        all.push_back({{"name", key.name},
                       {"value", !variable.empty()     ? variable
                                 : set != values.end() ? set->second
                                                       : std::string{key.fallback}},
                       {"source", source},
                       {"variable", key.variable},
                       {"secret", key.secret},
                       {"about", key.brief}});
    }
    return {{"settings", std::move(all)},
            {"file", settings_.path()},
            {"faults", settings_.faults()},
            {"metrics", {{"address", metrics_.address()}, {"fault", metrics_.fault()}}}};
}

Control::Outcome Control::get_settings(const SessionPtr& session, const ipc::Request& request)
{
    session->respond(request, settings_json());
    return {};
}

Control::Outcome Control::set_setting(const SessionPtr& session, const ipc::Request& request)
{
    const auto name = string_in(request.params, "name");
    if (!name) return std::unexpected(name.error());
    const auto value = string_in(request.params, "value");
    if (!value) return std::unexpected(value.error());
    if (const auto set = settings_.set(*name, *value); !set)
        return std::unexpected(refused(set.error()));
    session->respond(request, settings_json());
    return {};
}

Control::Outcome Control::unset_setting(const SessionPtr& session, const ipc::Request& request)
{
    const auto name = string_in(request.params, "name");
    if (!name) return std::unexpected(name.error());
    const auto was_set = settings_.unset(*name);
    if (!was_set) return std::unexpected(refused(was_set.error()));
    if (!*was_set && *name != "all")
        return std::unexpected(RpcError{
            .code = ipc::kNotFound, .message = *name + " is not set", .data = {{"target", *name}}});
    session->respond(request, settings_json());
    return {};
}

DaemonFigures Control::figures() const
{
    return {.reloads = &reloads_.tallies(),
            .reloading = reloads_.names(),
            .clients = 0,
            .dropped_lines = followers_.dropped(),
            .scrapes = metrics_.scrapes(),
            .refused = metrics_.refused()};
}

} // namespace cluster::supervisor
