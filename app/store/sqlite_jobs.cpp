// Jobs and applications in SQLite.
#include "app/store/rows.hpp"
#include "app/store/sqlite_store.hpp"
#include "app/store/text.hpp"

namespace cluster::app {
namespace {

/// "WHERE …" of a search with so many words; ?1 is the status, the patterns are ?2 and on.
std::string condition(std::size_t words)
{
    std::string sql = " WHERE (?1 = '' OR status = ?1)";
    for (std::size_t i = 0; i < words; ++i)
        sql += " AND search_text LIKE ?" + std::to_string(i + 2) + " ESCAPE '\\'";
    return sql;
}

Result<Page<Job>> find_jobs(Database& database, const JobQuery& query,
                            const std::vector<std::string>& patterns)
{
    std::vector<SqlValue> values{std::string_view{query.status}};
    values.insert(values.end(), patterns.begin(), patterns.end());
    const std::string where = condition(patterns.size());
    const auto total = database.query("SELECT count(*) FROM jobs" + where, values);
    if (!total) return std::unexpected(total.error());

    const std::size_t at = patterns.size() + 2;
    values.emplace_back(std::int64_t{query.limit});
    values.emplace_back((std::int64_t{query.page} - 1) * query.limit);
    const auto rows = database.query("SELECT " CLUSTER_JOB_COLUMNS " FROM jobs" + where +
                                         " ORDER BY created_ms DESC, id DESC LIMIT ?" +
                                         std::to_string(at) + " OFFSET ?" + std::to_string(at + 1),
                                     values);
    if (!rows) return std::unexpected(rows.error());
    return Page<Job>{.items = all_of(*rows, job_of<SqlRow>), .total = total->front().number(0)};
}

Result<void> insert_job(Database& database, const Job& job)
{
    const std::string title = sound_text(job.title);
    const std::string company = sound_text(job.company);
    const std::string location = sound_text(job.location);
    const std::string description = sound_text(job.description);
    const std::string search = search_text({title, company, location, description});
    SqlValue most = nullptr;
    if (job.max_applications) most = std::int64_t{*job.max_applications};
    const auto done = database.run(
        "INSERT INTO jobs (id, owner_id, title, company, location, description, status, "
        "max_applications, applications, created_ms, search_text) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        {job.id, job.owner_id, title, company, location, description, job.status, most,
         std::int64_t{job.applications}, job.created_ms, search});
    if (!done) return std::unexpected(done.error());
    return {};
}

Result<ApplyFacts> facts_about(Database& database, const Application& application,
                               std::string& status)
{
    const auto job = database.query("SELECT status FROM jobs WHERE id = ?1", {application.job_id});
    if (!job) return std::unexpected(job.error());
    const auto before =
        database.query("SELECT id FROM applications WHERE job_id = ?1 AND user_id = ?2",
                       {application.job_id, application.user_id});
    if (!before) return std::unexpected(before.error());
    if (!job->empty()) status = job->front().text(0);
    return ApplyFacts{.job_found = !job->empty(),
                      .same_application =
                          !before->empty() && before->front().text(0) == application.id,
                      .applied_before = !before->empty(),
                      .status = status};
}

Result<Applied> put_in(Database& database, const Application& application)
{
    const std::string letter = sound_text(application.cover_letter);
    auto done = database.run(
        "INSERT INTO applications (id, job_id, user_id, cover_letter, "
        "created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        {application.id, application.job_id, application.user_id, letter, application.created_ms});
    if (done)
        done = database.run(
            "UPDATE jobs SET applications = applications + 1, status = CASE WHEN "
            "applications + 1 >= max_applications THEN 'closed' ELSE status END WHERE id = ?1",
            {application.job_id});
    if (done)
        done = database.run(
            "INSERT INTO application_history (application_id, user_id, job_id, "
            "event, at_ms) VALUES (?1, ?2, ?3, 'applied', ?4)",
            {application.id, application.user_id, application.job_id, application.created_ms});
    if (!done) return std::unexpected(done.error());
    return Applied::done;
}

} // namespace

Task<Page<Job>> SqliteStore::jobs(JobQuery query, ReadFrom)
{
    auto patterns = search_patterns(query.search);
    return read(Operation::jobs,
                [query = std::move(query), patterns = std::move(patterns)](Database& database) {
                    return find_jobs(database, query, patterns);
                });
}

Task<std::optional<Job>> SqliteStore::job(std::string id, ReadFrom)
{
    return read(
        Operation::job, [id = std::move(id)](Database& database) -> Result<std::optional<Job>> {
            const auto rows =
                database.query("SELECT " CLUSTER_JOB_COLUMNS " FROM jobs WHERE id = ?1", {id});
            if (!rows) return std::unexpected(rows.error());
            if (rows->empty()) return std::nullopt;
            return job_of(rows->front());
        });
}

Task<void> SqliteStore::create_job(Job job)
{
    return write(Operation::create_job,
                 [job = std::move(job)](Database& database) { return insert_job(database, job); });
}

Task<Applied> SqliteStore::apply(Application application)
{
    return write(Operation::apply,
                 [application = std::move(application)](Database& database) -> Result<Applied> {
                     std::string status;
                     const auto facts = facts_about(database, application, status);
                     if (!facts) return std::unexpected(facts.error());
                     if (const auto decided = decide(*facts)) return *decided;
                     return put_in(database, application);
                 });
}

Task<std::vector<Application>> SqliteStore::applications_of(std::string user_id, ReadFrom)
{
    return read(
        Operation::applications_of,
        [user_id = std::move(user_id)](Database& database) -> Result<std::vector<Application>> {
            const auto rows = database.query(
                "SELECT id, job_id, user_id, cover_letter, created_ms FROM applications "
                "WHERE user_id = ?1 ORDER BY created_ms DESC, id DESC "
                "LIMIT " CLUSTER_MAX_ROWS,
                {user_id});
            if (!rows) return std::unexpected(rows.error());
            return all_of(*rows, application_of<SqlRow>);
        });
}

} // namespace cluster::app
