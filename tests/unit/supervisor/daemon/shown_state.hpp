// A state that was read, as JSON without the numbers that a text uses inside itself: two texts that
// say the same are equal in this.
#pragma once

#include "supervisor/daemon/state.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <utility>

namespace cluster::tests {

inline nlohmann::json shown(const ipc::ExitStatus& status)
{
    return {status.code, status.signal};
}

inline nlohmann::json shown(const supervisor::ExitRecord& exit)
{
    return {{"at", exit.at_wall_ms},
            {"status", shown(exit.status)},
            {"uptime", exit.uptime.count()},
            {"reason", exit.reason},
            {"errors", exit.errors}};
}

inline nlohmann::json shown(const supervisor::Lifecycle& life)
{
    return {{"state", std::string{name_of(life.state)}},
            {"after", std::to_underlying(life.after)},
            {"restarts", life.restarts},
            {"unstable_restarts", life.unstable_restarts},
            {"previous_delay", life.previous_delay.count()}};
}

/// Without what belongs to a file or a descriptor of this process.
inline nlohmann::json shown(const supervisor::WorkerRecord& record)
{
    nlohmann::json exits = nlohmann::json::array();
    for (const supervisor::ExitRecord& exit : record.exits)
        exits.push_back(shown(exit));
    return {{"id", record.id},
            {"key", record.key},
            {"instance", record.instance},
            {"unique_id", record.unique_id},
            {"user_home", record.user_home},
            {"life", shown(record.life)},
            {"pid", record.pid},
            {"start_time", record.start_time},
            {"tree", record.tree},
            {"started_at", record.started_at.count()},
            {"online_at", record.online_at.count()},
            {"created_at", record.created_at.count()},
            {"started_wall_ms", record.started_wall_ms},
            {"created_wall_ms", record.created_wall_ms},
            {"tree_killed", record.tree_killed},
            {"kill_sent_at", record.kill_sent_at.count()},
            {"due_at", record.due_at.count()},
            {"cause", record.cause},
            {"launch_fault", record.launch_fault},
            {"unready", record.unready},
            {"last_status", record.last_status ? shown(*record.last_status) : nlohmann::json{}},
            {"exits", std::move(exits)},
            {"out_since", record.out_since},
            {"err_since", record.err_since},
            {"incoming", record.incoming},
            {"must_listen", record.must_listen},
            {"leave", std::to_underlying(record.leave)},
            {"draining", record.draining},
            {"told", record.told}};
}

inline nlohmann::json shown(const supervisor::SavedState& state)
{
    nlohmann::json all = {{"boot_id", state.boot_id},
                          {"next_id", state.next_id},
                          {"node", state.node},
                          {"ending", std::to_underlying(state.ending)},
                          {"apps", nlohmann::json::object()},
                          {"rows", nlohmann::json::object()},
                          {"listeners", nlohmann::json::array()},
                          {"reloads", nlohmann::json::array()},
                          {"held", nlohmann::json::array()}};
    for (const auto& [number, app] : state.apps)
        all["apps"][std::to_string(number)] = {
            {"name", app.spec.name},
            {"kill_timeout", app.spec.kill_timeout.count()},
            {"environment", *state.environments.at(app.environment)}};
    for (const auto& [key, row] : state.workers)
        all["rows"][std::to_string(key)] = {{"record", shown(row.known.record)},
                                            {"app", row.app},
                                            {"wanted", row.wanted},
                                            {"hidden", row.known.hidden},
                                            {"out", row.known.out},
                                            {"err", row.known.err},
                                            {"probe", row.known.probe},
                                            {"sockets", row.known.sockets},
                                            {"node", row.known.node},
                                            {"serving", row.known.serving}};
    for (const supervisor::KnownListener& listener : state.listeners) {
        nlohmann::json sockets = nlohmann::json::array();
        for (const auto& [inode, live] : listener.sockets)
            sockets.push_back({inode, live});
        all["listeners"].push_back({listener.address, std::move(sockets)});
    }
    for (const supervisor::SavedReload& reload : state.reloads)
        all["reloads"].push_back({reload.name, reload.ids, reload.app, reload.cause});
    for (const supervisor::Ordering::Held& held : state.held)
        all["held"].push_back({held.key, std::string{name_of(held.event)}, held.cause,
                               held.before ? nlohmann::json(*held.before) : nlohmann::json{}});
    return all;
}

} // namespace cluster::tests
