// Projects and who works on them in PostgreSQL.
#include "app/store/postgres_store.hpp"
#include "app/store/rows.hpp"

namespace cluster::app {
namespace {

#define CLUSTER_MY_PROJECTS                                                                        \
    " FROM projects p WHERE p.owner_id = $1 OR p.id IN "                                           \
    "(SELECT project_id FROM collaborators WHERE user_id = $1)"

constexpr PgStatement kCountProjects{"count_projects", "SELECT count(*)" CLUSTER_MY_PROJECTS};
constexpr PgStatement kProjects{"projects",
                                "SELECT " CLUSTER_PROJECT_COLUMNS CLUSTER_MY_PROJECTS
                                " ORDER BY p.updated_ms DESC, p.id DESC LIMIT $2 OFFSET $3"};
constexpr PgStatement kProject{
    "project", "SELECT " CLUSTER_PROJECT_COLUMNS ", c.role FROM projects p "
               "LEFT JOIN collaborators c ON c.project_id = p.id AND c.user_id = $2 "
               "WHERE p.id = $1"};
constexpr PgStatement kCreateProject{
    "create_project", "INSERT INTO projects (id, owner_id, title, content, created_ms, updated_ms, "
                      "version) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING"};
constexpr PgStatement kUpdateProject{
    "update_project", "UPDATE projects SET title = $3, content = $4, updated_ms = $5, "
                      "version = version + 1 WHERE id = $1 AND version = $2"};
constexpr PgStatement kRemoveProject{"remove_project", "DELETE FROM projects WHERE id = $1"};

constexpr PgStatement kCollaborators{
    "collaborators", "SELECT " CLUSTER_USER_COLUMNS ", c.role, c.added_ms FROM collaborators c "
                     "JOIN users u ON u.id = c.user_id WHERE c.project_id = $1 "
                     "ORDER BY c.added_ms, c.user_id LIMIT " CLUSTER_MAX_ROWS};
// The rows are locked, so that neither can go before the collaborator stands.
constexpr PgStatement kSetCollaborator{
    "set_collaborator",
    "INSERT INTO collaborators (project_id, user_id, role, added_ms) "
    "SELECT p.id, u.id, $3, $4 FROM projects p, users u WHERE p.id = $1 AND u.id = $2 "
    "FOR KEY SHARE "
    "ON CONFLICT (project_id, user_id) DO UPDATE SET role = excluded.role"};
constexpr PgStatement kRemoveCollaborator{
    "remove_collaborator", "DELETE FROM collaborators WHERE project_id = $1 AND user_id = $2"};

bool some(const std::vector<PgRows>& rows)
{
    return rows[0].changed() > 0;
}

} // namespace

Task<Page<Project>> PostgresStore::projects(std::string user_id, int page, int limit, ReadFrom from)
{
    const std::int64_t offset = (std::int64_t{page} - 1) * limit;
    return read(
        Operation::projects, from,
        pg_calls(pg_call(kCountProjects, user_id), pg_call(kProjects, user_id, limit, offset)),
        [](const Rows& rows) {
            return Page<Project>{.items = all_of(rows[1], project_of<PgRow>),
                                 .total = rows[0].front().number(0)};
        });
}

Task<std::optional<std::pair<Project, Access>>>
PostgresStore::project(std::string id, std::string user_id, ReadFrom from)
{
    auto calls = pg_calls(pg_call(kProject, id, user_id));
    return read(Operation::project, from, std::move(calls),
                [user_id = std::move(user_id)](
                    const Rows& rows) -> std::optional<std::pair<Project, Access>> {
                    if (rows[0].empty()) return std::nullopt;
                    const PgRow row = rows[0].front();
                    Project project = project_of(row);
                    const Access access =
                        access_of(user_id, project.owner_id, row.text(kProjectColumns));
                    return std::pair{std::move(project), access};
                });
}

Task<void> PostgresStore::create_project(Project project)
{
    return write(
        Operation::create_project, Twice::same,
        pg_calls(pg_call(kCreateProject, project.id, project.owner_id, project.title,
                         project.content, project.created_ms, project.updated_ms, project.version)),
        [](const Rows&) {});
}

Task<bool> PostgresStore::update_project(Project project)
{
    return write(Operation::update_project, Twice::differs,
                 pg_calls(pg_call(kUpdateProject, project.id, project.version, project.title,
                                  project.content, project.updated_ms)),
                 some);
}

Task<bool> PostgresStore::remove_project(std::string id)
{
    return write(Operation::remove_project, Twice::differs, pg_calls(pg_call(kRemoveProject, id)),
                 some);
}

Task<std::vector<Collaborator>> PostgresStore::collaborators(std::string project_id, ReadFrom from)
{
    return read(Operation::collaborators, from, pg_calls(pg_call(kCollaborators, project_id)),
                [](const Rows& rows) { return all_of(rows[0], collaborator_of<PgRow>); });
}

Task<bool> PostgresStore::set_collaborator(std::string project_id, std::string user_id,
                                           std::string role, std::int64_t now_ms)
{
    return write(Operation::set_collaborator, Twice::same,
                 pg_calls(pg_call(kSetCollaborator, project_id, user_id, role, now_ms)), some);
}

Task<bool> PostgresStore::remove_collaborator(std::string project_id, std::string user_id)
{
    return write(Operation::remove_collaborator, Twice::differs,
                 pg_calls(pg_call(kRemoveCollaborator, project_id, user_id)), some);
}

} // namespace cluster::app
