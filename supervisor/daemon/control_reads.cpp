// Control, the methods that look and change nothing.
#include "supervisor/daemon/control.hpp"

#include "supervisor/daemon/render.hpp"

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::json;
using ipc::RpcError;

/// An array of strings under `name`, empty when left out.
ipc::RpcResult<std::vector<std::string>> strings(const json& params, const char* name)
{
    const json given = params.value(name, json::array());
    const auto is_string = [](const json& entry) { return entry.is_string(); };
    if (!given.is_array() || !std::ranges::all_of(given, is_string))
        return ipc::invalid_param(std::string{"/"} + name, "an array of strings", given);
    return given.get<std::vector<std::string>>();
}

} // namespace

Control::Outcome Control::ping(const SessionPtr& session, const ipc::Request& request)
{
    json pong{{"pong", true}};
    json reloading = json::array();
    for (const std::string& name : reloads_.names())
        reloading.push_back(name);
    if (!reloading.empty()) pong["reloading"] = std::move(reloading);
    if (const auto& last = upgrader_.outcome()) pong["upgrade"] = upgrade_json(*last);
    if (attended_) pong["output_waits"] = supervisor_.logs().busy();
    session->respond(request, pong);
    return {};
}

Control::Outcome Control::list(const SessionPtr& session, const ipc::Request& request)
{
    std::vector<int> ids;
    if (request.params.contains("targets")) {
        auto found = targets_of(request.params);
        if (!found) return std::unexpected(found.error());
        ids = std::move(*found);
    } else {
        for (const auto& [id, worker] : supervisor_.workers())
            ids.push_back(id);
    }
    answer_list(session, request, std::move(ids), &append_process, R"({"processes":[)", "]}");
    return {};
}

Control::Outcome Control::jlist(const SessionPtr& session, const ipc::Request& request)
{
    std::vector<int> ids;
    for (const auto& [id, worker] : supervisor_.workers())
        ids.push_back(id);
    answer_list(session, request, std::move(ids), &append_pm2, "[", "]");
    return {};
}

Control::Outcome Control::describe(const SessionPtr& session, const ipc::Request& request)
{
    auto ids = targets_of(request.params);
    if (!ids) return std::unexpected(ids.error());
    answer_list(session, request, std::move(*ids), &append_description, R"({"processes":[)", "]}");
    return {};
}

Control::Outcome Control::env(const SessionPtr& session, const ipc::Request& request)
{
    const json id = request.params.value("id", json{});
    if (!id.is_number_integer()) return ipc::invalid_param("/id", "a process id", id);
    // Not get<int>: 2^40 must not become some other worker's id.
    const auto number = id.get<std::int64_t>();
    const Worker* worker =
        number >= 0 && number <= INT32_MAX ? supervisor_.find(static_cast<int>(number)) : nullptr;
    if (!worker) {
        return std::unexpected(RpcError{.code = ipc::kNotFound,
                                        .message = "no process " + ipc::dump(id),
                                        .data = {{"target", ipc::dump(id)}}});
    }
    session->respond(request, json{{"id", number}, {"env", supervisor_.environment_of(*worker)}});
    return {};
}

Control::Outcome Control::follow_logs(const SessionPtr& session, const ipc::Request& request)
{
    auto targets = strings(request.params, "targets");
    if (!targets) return std::unexpected(targets.error());
    const auto streams = strings(request.params, "streams");
    if (!streams) return std::unexpected(streams.error());
    const json cwd = request.params.value("cwd", json(""));
    if (!cwd.is_string()) return ipc::invalid_param("/cwd", "a string", cwd);
    const auto has = [&](const char* stream) {
        return streams->empty() || std::ranges::count(*streams, stream) > 0;
    };
    if (!has("out") && !has("err"))
        return ipc::invalid_param("/streams", R"(["out"], ["err"] or both)",
                                  request.params["streams"]);
    const json takes = request.params.value("take", json(false));
    if (!takes.is_boolean()) return ipc::invalid_param("/take", "true or false", takes);
    const int number = followers_.follow_logs(session, {.targets = std::move(*targets),
                                                        .cwd = cwd.get<std::string>(),
                                                        .out = has("out"),
                                                        .err = has("err"),
                                                        .takes = takes == true && attended_});
    session->respond(request, json{{"subscription", number}});
    return {};
}

Control::Outcome Control::follow_events(const SessionPtr& session, const ipc::Request& request)
{
    session->respond(request, json{{"subscription", followers_.follow_events(session)}});
    return {};
}

Control::Outcome Control::unfollow(const SessionPtr& session, const ipc::Request& request)
{
    const json number = request.params.value("subscription", json{});
    if (!number.is_number_integer())
        return ipc::invalid_param("/subscription", "a subscription's number", number);
    // Not get<int>, as above.
    const auto wide = number.get<std::int64_t>();
    const bool known =
        wide >= 0 && wide <= INT32_MAX && followers_.unfollow(session, static_cast<int>(wide));
    if (!known) {
        return std::unexpected(RpcError{.code = ipc::kNotFound,
                                        .message = "no subscription " + ipc::dump(number),
                                        .data = {{"target", ipc::dump(number)}}});
    }
    session->respond(request, json::object());
    return {};
}

} // namespace cluster::supervisor
