// The columns that both forms ask for, and how a row becomes a value. A row is anything with
// `text(column)`, `number(column)` and `is_null(column)`. Column lists are macros, so that a
// statement is one literal that can be read (and prepared) as it stands.
#pragma once

#include "app/store/store.hpp"

#include <cstddef>

// The columns of `user_of`, of a table or alias u.
#define CLUSTER_USER_COLUMNS "u.id, u.email, u.name, u.role, u.created_ms"
// The columns of `job_of`.
#define CLUSTER_JOB_COLUMNS                                                                        \
    "id, owner_id, title, company, location, description, status, max_applications, "              \
    "applications, created_ms"
// The columns of `project_of`, of a table or alias p.
#define CLUSTER_PROJECT_COLUMNS                                                                    \
    "p.id, p.owner_id, p.title, p.content, p.created_ms, p.updated_ms, p.version"

namespace cluster::app {

/// How many applications and collaborators one answer holds at most; the newest ones.
#define CLUSTER_MAX_ROWS "1000"

template <class Row>
User user_of(const Row& row, std::size_t at = 0)
{
    return {.id = std::string{row.text(at)},
            .email = std::string{row.text(at + 1)},
            .name = std::string{row.text(at + 2)},
            .role = std::string{row.text(at + 3)},
            .created_ms = row.number(at + 4)};
}
constexpr std::size_t kUserColumns = 5;

template <class Row>
Job job_of(const Row& row)
{
    Job job{.id = std::string{row.text(0)},
            .owner_id = std::string{row.text(1)},
            .title = std::string{row.text(2)},
            .company = std::string{row.text(3)},
            .location = std::string{row.text(4)},
            .description = std::string{row.text(5)},
            .status = std::string{row.text(6)},
            .applications = static_cast<int>(row.number(8)),
            .created_ms = row.number(9)};
    if (!row.is_null(7)) job.max_applications = static_cast<int>(row.number(7));
    return job;
}

/// Columns id, job_id, user_id, cover_letter, created_ms.
template <class Row>
Application application_of(const Row& row)
{
    return {.id = std::string{row.text(0)},
            .job_id = std::string{row.text(1)},
            .user_id = std::string{row.text(2)},
            .cover_letter = std::string{row.text(3)},
            .created_ms = row.number(4)};
}

template <class Row>
Project project_of(const Row& row)
{
    return {.id = std::string{row.text(0)},
            .owner_id = std::string{row.text(1)},
            .title = std::string{row.text(2)},
            .content = std::string{row.text(3)},
            .created_ms = row.number(4),
            .updated_ms = row.number(5),
            .version = row.number(6)};
}
constexpr std::size_t kProjectColumns = 7;

/// Columns of `user_of`, then role and added_ms.
template <class Row>
Collaborator collaborator_of(const Row& row)
{
    return {.user = user_of(row),
            .role = std::string{row.text(kUserColumns)},
            .added_ms = row.number(kUserColumns + 1)};
}

template <class Rows, class Convert>
auto all_of(const Rows& rows, Convert convert)
{
    std::vector<std::invoke_result_t<Convert, decltype(rows[0])>> values;
    values.reserve(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i)
        values.push_back(convert(rows[i]));
    return values;
}

/// What `user_id` may do with a project of `owner_id` whose collaborator row says `role`.
inline Access access_of(std::string_view user_id, std::string_view owner_id, std::string_view role)
{
    if (user_id == owner_id) return Access::owner;
    if (role == "editor") return Access::editor;
    return role == "viewer" ? Access::viewer : Access::none;
}

/// What becomes of an application, by what stands in the tables; pure.
struct ApplyFacts {
    bool job_found = false;
    bool same_application = false; ///< this very one is in already: an earlier try had worked
    bool applied_before = false;   ///< another one of the same user for this job
    std::string_view status;
};
inline std::optional<Applied> decide(const ApplyFacts& facts)
{
    if (facts.same_application) return Applied::done;
    if (!facts.job_found) return Applied::no_such_job;
    if (facts.applied_before) return Applied::already;
    if (facts.status != "open") return Applied::closed;
    return std::nullopt; // put it in
}

} // namespace cluster::app
