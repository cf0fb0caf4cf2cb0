#include "app/live.hpp"

#include <string>
#include <utility>

namespace cluster::app {
namespace {

asio::awaitable<Result<std::optional<Caller>>> caller_of(Authenticator& authenticator,
                                                         std::string token)
{
    http::fields headers;
    headers.set(http::field::authorization, "Bearer " + token);
    Request request;
    request.headers = &headers;
    auto caller = co_await authenticator.authenticate(request);
    if (!caller && caller.error().status != http::status::unauthorized)
        co_return trouble(Trouble::unavailable, "check the token");
    std::optional<Caller> known;
    if (caller) known = std::move(*caller);
    co_return known;
}

asio::awaitable<Result<bool>> holds(Revocation& revocation, Caller caller)
{
    const Claims claims{.user_id = std::move(caller.user_id),
                        .token_id = std::move(caller.token_id),
                        .session_id = std::move(caller.session_id)};
    const auto verdict = co_await revocation.check(claims);
    if (!verdict) co_return std::unexpected(verdict.error());
    co_return !verdict->revoked;
}

/// `without`: what holds for a name that no project has.
asio::awaitable<Result<bool>> may_be_in(Store& store, bool without, std::string user,
                                        std::string project)
{
    // A collaborator may have been added a moment ago, by another instance. What no project is
    // called is a plain room: ids are not to be guessed, so nobody waits there for a project.
    const auto found = co_await store.project(project, user, ReadFrom::primary);
    if (!found) co_return std::unexpected(found.error());
    co_return *found ? (*found)->second != Access::none : without;
}

} // namespace

EventsAccess access_by(Authenticator& authenticator, Revocation& revocation, Store& store)
{
    return {.caller_of =
                [&authenticator](std::string token) {
                    return caller_of(authenticator, std::move(token));
                },
            .holds = [&revocation](Caller caller) { return holds(revocation, std::move(caller)); },
            .may_join =
                [&store](const Caller* caller, std::string project) {
                    return may_be_in(store, true, caller == nullptr ? "" : caller->user_id,
                                     std::move(project));
                },
            .may_stay =
                [&store](const Caller* caller, std::string project) {
                    return may_be_in(store, false, caller == nullptr ? "" : caller->user_id,
                                     std::move(project));
                }};
}

void LiveProjects::changed(const ProjectChange& change)
{
    const std::string room = Events::room_of(change.project_id);
    json data = {{"projectId", change.project_id}, {"userId", change.user_id}};
    switch (change.what) {
    case ProjectChange::What::updated:
        data["version"] = change.version;
        data["title"] = change.title;
        return events_.emit_to_room(room, "project:update", std::move(data));
    case ProjectChange::What::removed:
        events_.emit_to_room(room, "project:removed", std::move(data));
        return events_.check_room_again(change.project_id);
    case ProjectChange::What::collaborators:
        events_.emit_to_room(room, "project:collaborators", std::move(data));
        return events_.check_room_again(change.project_id);
    }
}

} // namespace cluster::app
