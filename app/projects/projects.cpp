#include "app/projects/projects.hpp"

#include "app/accounts/email.hpp"
#include "app/base/ids.hpp"
#include "app/base/times.hpp"
#include "app/http/fields.hpp"
#include "ipc/base/text.hpp"

#include <limits>
#include <utility>

namespace cluster::app {
namespace {

constexpr int kTries = 5;
constexpr std::int64_t kMaxVersion = std::numeric_limits<std::int64_t>::max() - 1;

std::string_view name_of(Access access)
{
    switch (access) {
    case Access::none:
        return "none";
    case Access::viewer:
        return "viewer";
    case Access::editor:
        return "editor";
    case Access::owner:
        return "owner";
    }
    return "none";
}

Response no_such_project()
{
    return problem(http::status::not_found, "PROJECT_NOT_FOUND", "There is no such project.");
}

Response lost_update()
{
    return problem(http::status::conflict, "VERSION_CONFLICT",
                   "Somebody has changed the project meanwhile; read it again.");
}

ReadFrom source_of(const Request& request)
{
    return request.caller->wrote_lately ? ReadFrom::primary : ReadFrom::replica;
}

/// The document goes out as it is stored: it can be a megabyte, and the loop has other things to do
/// than to take it apart and put it together again.
Response with_content(const Project& project, Access access, http::status status)
{
    json head = project_json(project);
    head["access"] = name_of(access);
    std::string text = head.dump(-1, ' ', false, json::error_handler_t::replace);
    text.pop_back();
    Response response;
    response.status = status;
    response.body = "{\"success\":true,\"data\":" + text +
                    ",\"content\":" + (project.content.empty() ? "null" : project.content) + "}}\n";
    response.headers.emplace_back("ETag", '"' + std::to_string(project.version) + '"');
    return response;
}

json collaborator_json(const Collaborator& collaborator)
{
    const User& user = collaborator.user;
    return {{"user", {{"id", user.id}, {"email", user.email}, {"name", user.name}}},
            {"role", collaborator.role},
            {"addedAt", iso_time(collaborator.added_ms)}};
}

std::string text_of(const json& content)
{
    return content.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace

json project_json(const Project& project)
{
    return {{"id", project.id},
            {"ownerId", project.owner_id},
            {"title", project.title},
            {"version", project.version},
            {"createdAt", iso_time(project.created_ms)},
            {"updatedAt", iso_time(project.updated_ms)}};
}

std::expected<std::optional<std::int64_t>, Response>
expected_version(std::string_view if_match, std::optional<std::int64_t> in_body)
{
    if (if_match.empty()) return in_body;
    if (if_match == "*") return std::nullopt;
    if (if_match.size() > 2 && if_match.front() == '"' && if_match.back() == '"')
        if (const auto version =
                ipc::parse_number<std::int64_t>(if_match.substr(1, if_match.size() - 2)))
            return version;
    // A tag that is not of this project: so it is not the one that the client has seen.
    return std::unexpected(lost_update());
}

asio::awaitable<std::expected<Projects::Found, Response>>
Projects::find_for(const Request& request, Access least, ReadFrom from)
{
    const std::string id = request.param("id");
    if (!is_id(id)) co_return std::unexpected(no_such_project());
    auto asking = store_.project(id, request.caller->user_id, from);
    auto found = co_await std::move(asking);
    const auto hidden = [&found] { return !*found || (**found).second == Access::none; };
    if (found && hidden() && from == ReadFrom::replica && writes_.needed()) {
        // Shared with him a moment ago, by somebody else.
        auto again = store_.project(id, request.caller->user_id, ReadFrom::primary);
        found = co_await std::move(again);
    }
    if (!found) co_return std::unexpected(problem(found.error()));
    if (hidden()) co_return std::unexpected(no_such_project());
    if ((**found).second < least)
        co_return std::unexpected(problem(http::status::forbidden, "FORBIDDEN",
                                          "Your role in this project does not allow that."));
    co_return std::move(**found);
}

asio::awaitable<void> Projects::wrote(const Request& request, ProjectChange change)
{
    change.user_id = request.caller->user_id;
    auto noting = writes_.note(change.user_id);
    co_await std::move(noting);
    events_.changed(change);
}

asio::awaitable<Response> Projects::list(Request& request)
{
    const json no_body = json::object();
    Fields fields{no_body};
    const int page = query_number(request, fields, "page", 1, 1, 1'000'000);
    const int limit = query_number(request, fields, "limit", 20, 1, 100);
    if (fields.wrong()) co_return fields.problem();
    auto asking = store_.projects(request.caller->user_id, page, limit, source_of(request));
    const auto found = co_await std::move(asking);
    if (!found) co_return problem(found.error());
    json items = json::array();
    for (const Project& project : found->items)
        items.push_back(project_json(project));
    co_return success(page_json(std::move(items), page, limit, found->total));
}

asio::awaitable<Response> Projects::create(Request& request)
{
    const auto body = json_body(request);
    if (!body) co_return body.error();
    Fields fields{*body};
    Project project;
    project.title = fields.text("title", {.max = 200});
    if (fields.wrong()) co_return fields.problem();
    project.content = body->contains("content") ? text_of(body->at("content")) : "{}";
    project.owner_id = request.caller->user_id;
    project.created_ms = clock_.wall_ms();
    project.updated_ms = project.created_ms;
    project.id = new_id(project.created_ms);

    auto creating = store_.create_project(project);
    const auto created = co_await std::move(creating);
    if (!created) co_return problem(created.error());
    auto noting = writes_.note(project.owner_id);
    co_await std::move(noting);
    Response response = with_content(project, Access::owner, http::status::created);
    response.headers.emplace_back("Location", "/api/projects/" + project.id);
    co_return response;
}

asio::awaitable<Response> Projects::show(Request& request)
{
    auto finding = find_for(request, Access::viewer, source_of(request));
    const auto found = co_await std::move(finding);
    if (!found) co_return found.error();
    co_return with_content(found->first, found->second, http::status::ok);
}

asio::awaitable<Response> Projects::update(Request& request)
{
    const auto body = json_body(request);
    if (!body) co_return body.error();
    Fields fields{*body};
    const bool new_title = fields.find("title") != nullptr;
    const std::string title = fields.optional_text("title", {.max = 200});
    const auto in_body = fields.optional_number("version", 1, kMaxVersion);
    const bool new_content = body->contains("content");
    if (!new_title && !new_content) fields.fault("content", "or title must be there");
    if (fields.wrong()) co_return fields.problem();
    const auto version = expected_version(request.header(http::field::if_match), in_body);
    if (!version) co_return version.error();

    for (int tries = 1;; ++tries) {
        // Of the primary: a replica would make every second change a lost one.
        auto finding = find_for(request, Access::editor, ReadFrom::primary);
        auto found = co_await std::move(finding);
        if (!found) co_return found.error();
        Project project = std::move(found->first);
        if (*version && **version != project.version) co_return lost_update();
        if (new_title) project.title = title;
        if (new_content) project.content = text_of(body->at("content"));
        project.updated_ms = clock_.wall_ms();
        auto updating = store_.update_project(project);
        const auto updated = co_await std::move(updating);
        if (!updated) co_return problem(updated.error());
        if (!*updated && (*version || tries == kTries)) co_return lost_update();
        if (!*updated) continue; // no version was asked for: the last one wins
        ++project.version;
        ProjectChange change{.what = ProjectChange::What::updated,
                             .project_id = project.id,
                             .user_id{},
                             .version = project.version,
                             .title = project.title};
        auto telling = wrote(request, std::move(change));
        co_await std::move(telling);
        co_return with_content(project, found->second, http::status::ok);
    }
}

asio::awaitable<Response> Projects::remove(Request& request)
{
    auto finding = find_for(request, Access::owner, ReadFrom::primary);
    const auto found = co_await std::move(finding);
    if (!found) co_return found.error();
    const std::string id = found->first.id;
    auto removing = store_.remove_project(id);
    const auto removed = co_await std::move(removing);
    if (!removed) co_return problem(removed.error());
    if (!*removed) co_return no_such_project();
    ProjectChange change{
        .what = ProjectChange::What::removed, .project_id = id, .user_id{}, .version = 0, .title{}};
    auto telling = wrote(request, std::move(change));
    co_await std::move(telling);
    co_return success({{"id", id}, {"deleted", true}});
}

asio::awaitable<Response> Projects::collaborators(Request& request)
{
    auto finding = find_for(request, Access::viewer, source_of(request));
    const auto found = co_await std::move(finding);
    if (!found) co_return found.error();
    auto asking = store_.collaborators(found->first.id, source_of(request));
    const auto list = co_await std::move(asking);
    if (!list) co_return problem(list.error());
    json items = json::array();
    for (const Collaborator& collaborator : *list)
        items.push_back(collaborator_json(collaborator));
    co_return success({{"ownerId", found->first.owner_id}, {"items", std::move(items)}});
}

/// The user that the body names by `userId` or `email`.
asio::awaitable<std::expected<User, Response>> Projects::invited(const json& body)
{
    Fields fields{body};
    const bool by_id = fields.find("userId") != nullptr;
    const std::string given = fields.raw_text(by_id ? "userId" : "email");
    if (fields.wrong()) co_return std::unexpected(fields.problem());
    std::optional<User> user;
    if (by_id && is_id(given)) {
        auto asking = store_.user(given, ReadFrom::primary);
        auto found = co_await std::move(asking);
        if (!found) co_return std::unexpected(problem(found.error()));
        user = std::move(*found);
    } else if (const auto email = normal_email(given); email && !by_id) {
        auto asking = store_.credentials(*email);
        auto found = co_await std::move(asking);
        if (!found) co_return std::unexpected(problem(found.error()));
        if (*found) user = (**found).user;
    }
    if (user) co_return std::move(*user);
    co_return std::unexpected(
        problem(http::status::not_found, "USER_NOT_FOUND", "There is no such user."));
}

asio::awaitable<Response> Projects::add_collaborator(Request& request)
{
    const auto body = json_body(request);
    if (!body) co_return body.error();
    Fields fields{*body};
    const std::string role = fields.choice("role", {"viewer", "editor"});
    if (fields.wrong()) co_return fields.problem();
    auto finding = find_for(request, Access::owner, ReadFrom::primary);
    const auto found = co_await std::move(finding);
    if (!found) co_return found.error();
    auto asking = invited(*body);
    const auto user = co_await std::move(asking);
    if (!user) co_return user.error();
    if (user->id == found->first.owner_id)
        co_return problem(http::status::conflict, "IS_OWNER", "The owner is no collaborator.");

    const std::int64_t now_ms = clock_.wall_ms();
    auto setting = store_.set_collaborator(found->first.id, user->id, role, now_ms);
    const auto set = co_await std::move(setting);
    if (!set) co_return problem(set.error());
    if (!*set) co_return no_such_project();
    ProjectChange change{.what = ProjectChange::What::collaborators,
                         .project_id = found->first.id,
                         .user_id{},
                         .version = 0,
                         .title{}};
    auto telling = wrote(request, std::move(change));
    co_await std::move(telling);
    const Collaborator collaborator{.user = *user, .role = role, .added_ms = now_ms};
    co_return success(collaborator_json(collaborator), http::status::created);
}

asio::awaitable<Response> Projects::remove_collaborator(Request& request)
{
    const std::string user_id = request.param("userId");
    // Everybody may leave.
    const Access least = user_id == request.caller->user_id ? Access::viewer : Access::owner;
    auto finding = find_for(request, least, ReadFrom::primary);
    const auto found = co_await std::move(finding);
    if (!found) co_return found.error();
    bool removed = false;
    if (is_id(user_id)) {
        auto removing = store_.remove_collaborator(found->first.id, user_id);
        const auto done = co_await std::move(removing);
        if (!done) co_return problem(done.error());
        removed = *done;
    }
    if (!removed)
        co_return problem(http::status::not_found, "USER_NOT_FOUND",
                          "There is no such collaborator.");
    ProjectChange change{.what = ProjectChange::What::collaborators,
                         .project_id = found->first.id,
                         .user_id{},
                         .version = 0,
                         .title{}};
    auto telling = wrote(request, std::move(change));
    co_await std::move(telling);
    co_return success({{"userId", user_id}, {"removed", true}});
}

void add_project_routes(Router& router, Projects& projects)
{
    using enum http::verb;
    const auto add = [&](http::verb method, const char* pattern,
                         asio::awaitable<Response> (Projects::*handler)(Request&)) {
        router.add({.method = method,
                    .pattern = pattern,
                    .handler = [&projects,
                                handler](Request& request) { return (projects.*handler)(request); },
                    .rules = {.caller = true}});
    };
    add(get, "/api/projects", &Projects::list);
    add(post, "/api/projects", &Projects::create);
    add(get, "/api/projects/{id}", &Projects::show);
    add(put, "/api/projects/{id}", &Projects::update);
    add(delete_, "/api/projects/{id}", &Projects::remove);
    add(get, "/api/projects/{id}/collaborators", &Projects::collaborators);
    add(post, "/api/projects/{id}/collaborators", &Projects::add_collaborator);
    add(delete_, "/api/projects/{id}/collaborators/{userId}", &Projects::remove_collaborator);
}

} // namespace cluster::app
