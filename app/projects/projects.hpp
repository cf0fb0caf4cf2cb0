// Projects: a JSON document each, with an owner and those who work on it with him.
//
//            see it   change it   delete it, choose collaborators
//   owner    yes      yes         yes
//   editor   yes      yes         no (may leave)
//   viewer   yes      no          no (may leave)
//   others   nothing tells them that it exists
#pragma once

#include "app/accounts/sessions.hpp"
#include "app/http/router.hpp"
#include "app/projects/events.hpp"
#include "app/store/store.hpp"
#include "ipc/base/clock.hpp"

#include <boost/asio/awaitable.hpp>

#include <expected>
#include <optional>
#include <string>
#include <utility>

namespace cluster::app {

namespace asio = boost::asio;

class Projects {
public:
    /// All that it is given must outlive it.
    Projects(const ipc::Clock& clock, Store& store, RecentWrites& writes, ProjectEvents& events)
        : clock_{clock}, store_{store}, writes_{writes}, events_{events}
    {
    }

    asio::awaitable<Response> list(Request& request);
    asio::awaitable<Response> create(Request& request);
    asio::awaitable<Response> show(Request& request);
    asio::awaitable<Response> update(Request& request);
    asio::awaitable<Response> remove(Request& request);
    asio::awaitable<Response> collaborators(Request& request);
    asio::awaitable<Response> add_collaborator(Request& request);
    asio::awaitable<Response> remove_collaborator(Request& request);

private:
    using Found = std::pair<Project, Access>;

    /// The project of the path if the caller may do what `least` may; else the answer.
    asio::awaitable<std::expected<Found, Response>> find_for(const Request& request, Access least,
                                                             ReadFrom from);
    asio::awaitable<std::expected<User, Response>> invited(const json& body);
    asio::awaitable<void> wrote(const Request& request, ProjectChange change);

    const ipc::Clock& clock_;
    Store& store_;
    RecentWrites& writes_;
    ProjectEvents& events_;
};

[[nodiscard]] json project_json(const Project& project);

/// The version that a change is meant for: what `If-Match` says ("\"3\"", RFC 9110 section 13.1.1),
/// else the `version` of the body. nullopt: any. Errors: an If-Match that is none of ours.
[[nodiscard]] std::expected<std::optional<std::int64_t>, Response>
expected_version(std::string_view if_match, std::optional<std::int64_t> in_body);

/// `projects` must outlive the router.
void add_project_routes(Router& router, Projects& projects);

} // namespace cluster::app
