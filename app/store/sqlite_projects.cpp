// Projects and who works on them in SQLite.
#include "app/store/rows.hpp"
#include "app/store/sqlite_store.hpp"
#include "app/store/text.hpp"

namespace cluster::app {
namespace {

#define CLUSTER_MY_PROJECTS                                                                        \
    " FROM projects p WHERE p.owner_id = ?1 OR p.id IN "                                           \
    "(SELECT project_id FROM collaborators WHERE user_id = ?1)"

Result<bool> some(const Result<std::int64_t>& changed)
{
    if (!changed) return std::unexpected(changed.error());
    return *changed > 0;
}

Result<Page<Project>> find_projects(Database& database, const std::string& user_id, int page,
                                    int limit)
{
    const auto total = database.query("SELECT count(*)" CLUSTER_MY_PROJECTS, {user_id});
    if (!total) return std::unexpected(total.error());
    const auto rows =
        database.query("SELECT " CLUSTER_PROJECT_COLUMNS CLUSTER_MY_PROJECTS
                       " ORDER BY p.updated_ms DESC, p.id DESC LIMIT ?2 OFFSET ?3",
                       {user_id, std::int64_t{limit}, (std::int64_t{page} - 1) * limit});
    if (!rows) return std::unexpected(rows.error());
    return Page<Project>{.items = all_of(*rows, project_of<SqlRow>),
                         .total = total->front().number(0)};
}

} // namespace

Task<Page<Project>> SqliteStore::projects(std::string user_id, int page, int limit, ReadFrom)
{
    return read(Operation::projects,
                [user_id = std::move(user_id), page, limit](Database& database) {
                    return find_projects(database, user_id, page, limit);
                });
}

Task<std::optional<std::pair<Project, Access>>> SqliteStore::project(std::string id,
                                                                     std::string user_id, ReadFrom)
{
    return read(Operation::project,
                [id = std::move(id), user_id = std::move(user_id)](
                    Database& database) -> Result<std::optional<std::pair<Project, Access>>> {
                    const auto rows = database.query(
                        "SELECT " CLUSTER_PROJECT_COLUMNS ", c.role FROM projects p "
                        "LEFT JOIN collaborators c ON c.project_id = p.id AND c.user_id = ?2 "
                        "WHERE p.id = ?1",
                        {id, user_id});
                    if (!rows) return std::unexpected(rows.error());
                    if (rows->empty()) return std::nullopt;
                    Project project = project_of(rows->front());
                    const Access access =
                        access_of(user_id, project.owner_id, rows->front().text(kProjectColumns));
                    return std::pair{std::move(project), access};
                });
}

Task<void> SqliteStore::create_project(Project project)
{
    return write(Operation::create_project,
                 [given = std::move(project)](Database& database) -> Result<void> {
                     const std::string title = sound_text(given.title);
                     const std::string content = sound_text(given.content);
                     const auto done = database.run(
                         "INSERT INTO projects (id, owner_id, title, content, created_ms, "
                         "updated_ms, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                         {given.id, given.owner_id, title, content, given.created_ms,
                          given.updated_ms, given.version});
                     if (!done) return std::unexpected(done.error());
                     return {};
                 });
}

Task<bool> SqliteStore::update_project(Project project)
{
    return write(Operation::update_project,
                 [given = std::move(project)](Database& database) -> Result<bool> {
                     const std::string title = sound_text(given.title);
                     const std::string content = sound_text(given.content);
                     return some(database.run(
                         "UPDATE projects SET title = ?3, content = ?4, updated_ms = ?5, "
                         "version = version + 1 WHERE id = ?1 AND version = ?2",
                         {given.id, given.version, title, content, given.updated_ms}));
                 });
}

Task<bool> SqliteStore::remove_project(std::string id)
{
    return write(Operation::remove_project, [id = std::move(id)](Database& database) {
        return some(database.run("DELETE FROM projects WHERE id = ?1", {id}));
    });
}

Task<std::vector<Collaborator>> SqliteStore::collaborators(std::string project_id, ReadFrom)
{
    return read(
        Operation::collaborators,
        [id = std::move(project_id)](Database& database) -> Result<std::vector<Collaborator>> {
            const auto rows = database.query(
                "SELECT " CLUSTER_USER_COLUMNS ", c.role, c.added_ms FROM collaborators c "
                "JOIN users u ON u.id = c.user_id WHERE c.project_id = ?1 "
                "ORDER BY c.added_ms, c.user_id LIMIT " CLUSTER_MAX_ROWS,
                {id});
            if (!rows) return std::unexpected(rows.error());
            return all_of(*rows, collaborator_of<SqlRow>);
        });
}

Task<bool> SqliteStore::set_collaborator(std::string project_id, std::string user_id,
                                         std::string role, std::int64_t now_ms)
{
    return write(Operation::set_collaborator, [project_id = std::move(project_id),
                                               user_id = std::move(user_id), role = std::move(role),
                                               now_ms](Database& database) {
        return some(
            database.run("INSERT INTO collaborators (project_id, user_id, role, added_ms) "
                         "SELECT p.id, u.id, ?3, ?4 FROM projects p, users u "
                         "WHERE p.id = ?1 AND u.id = ?2 "
                         "ON CONFLICT (project_id, user_id) DO UPDATE SET role = excluded.role",
                         {project_id, user_id, role, now_ms}));
    });
}

Task<bool> SqliteStore::remove_collaborator(std::string project_id, std::string user_id)
{
    return write(Operation::remove_collaborator, [project_id = std::move(project_id),
                                                  user_id =
                                                      std::move(user_id)](Database& database) {
        return some(database.run("DELETE FROM collaborators WHERE project_id = ?1 AND user_id = ?2",
                                 {project_id, user_id}));
    });
}

} // namespace cluster::app
