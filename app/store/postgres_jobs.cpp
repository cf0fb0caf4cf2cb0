// Jobs and applications in PostgreSQL.
#include "app/store/postgres_store.hpp"
#include "app/store/rows.hpp"

namespace cluster::app {
namespace {

#define CLUSTER_JOBS_WANTED                                                                        \
    " FROM jobs WHERE ($1 = '' OR status = $1) AND search_text LIKE ALL ($2::text[])"

constexpr PgStatement kCountJobs{"count_jobs", "SELECT count(*)" CLUSTER_JOBS_WANTED};
constexpr PgStatement kJobs{"jobs", "SELECT " CLUSTER_JOB_COLUMNS CLUSTER_JOBS_WANTED
                                    " ORDER BY created_ms DESC, id DESC LIMIT $3 OFFSET $4"};
constexpr PgStatement kJob{"job", "SELECT " CLUSTER_JOB_COLUMNS " FROM jobs WHERE id = $1"};
constexpr PgStatement kCreateJob{
    "create_job",
    "INSERT INTO jobs (id, owner_id, title, company, location, description, status, "
    "max_applications, applications, created_ms, search_text) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING"};

constexpr PgStatement kBeginApply{"begin_apply", "BEGIN ISOLATION LEVEL SERIALIZABLE"};
// Who applies holds two locks, always taken in this order: that of all jobs and that of the job.
// Shared, many hold them at once; a waiting exclusive one lets those who come later wait.
#define CLUSTER_ALL_JOBS "(hashtextextended('', 1))" // no job has that id
#define CLUSTER_THIS_JOB "(hashtextextended($1, 1))"
constexpr PgStatement kAmongAll{"among_all", "SELECT pg_advisory_lock_shared" CLUSTER_ALL_JOBS};
constexpr PgStatement kTurn{"turn", "SELECT pg_advisory_lock" CLUSTER_THIS_JOB};
constexpr PgStatement kAlone{"alone", "SELECT pg_advisory_lock" CLUSTER_ALL_JOBS};
constexpr PgStatement kTurnOver{"turn_over", "SELECT pg_advisory_unlock_all()"};
constexpr PgStatement kWithAll{"with_all", "SELECT pg_advisory_xact_lock_shared" CLUSTER_ALL_JOBS};
constexpr PgStatement kWithOthers{"with_others",
                                  "SELECT pg_advisory_xact_lock_shared" CLUSTER_THIS_JOB};
constexpr PgStatement kJobStatus{"job_status", "SELECT status FROM jobs WHERE id = $1"};
constexpr PgStatement kApplied{"applied",
                               "SELECT id FROM applications WHERE job_id = $1 AND user_id = $2"};
constexpr PgStatement kApply{
    "apply", "INSERT INTO applications (id, job_id, user_id, cover_letter, created_ms) "
             "VALUES ($1, $2, $3, $4, $5)"};
constexpr PgStatement kCountApplication{
    "count_application",
    "UPDATE jobs SET applications = applications + 1, status = CASE WHEN "
    "applications + 1 >= max_applications THEN 'closed' ELSE status END WHERE id = $1"};
constexpr PgStatement kHistory{
    "history", "INSERT INTO application_history (application_id, user_id, job_id, event, at_ms) "
               "VALUES ($1, $2, $3, 'applied', $4)"};
constexpr PgStatement kApplicationsOf{
    "applications_of",
    "SELECT id, job_id, user_id, cover_letter, created_ms FROM applications "
    "WHERE user_id = $1 ORDER BY created_ms DESC, id DESC LIMIT " CLUSTER_MAX_ROWS};

ApplyFacts facts_of(const std::vector<PgRows>& rows, const Application& application)
{
    const PgRows& job = rows[3];
    const PgRows& before = rows[4];
    return {.job_found = !job.empty(),
            .same_application = !before.empty() && before.front().text(0) == application.id,
            .applied_before = !before.empty(),
            .status = job.empty() ? "" : job.front().text(0)};
}

} // namespace

Task<Page<Job>> PostgresStore::jobs(JobQuery query, ReadFrom from)
{
    const auto patterns = search_patterns(query.search);
    const std::int64_t offset = (std::int64_t{query.page} - 1) * query.limit;
    return read(Operation::jobs, from,
                pg_calls(pg_call(kCountJobs, query.status, patterns),
                         pg_call(kJobs, query.status, patterns, query.limit, offset)),
                [](const Rows& rows) {
                    return Page<Job>{.items = all_of(rows[1], job_of<PgRow>),
                                     .total = rows[0].front().number(0)};
                });
}

Task<std::optional<Job>> PostgresStore::job(std::string id, ReadFrom from)
{
    return read(Operation::job, from, pg_calls(pg_call(kJob, id)),
                [](const Rows& rows) -> std::optional<Job> {
                    if (rows[0].empty()) return std::nullopt;
                    return job_of(rows[0].front());
                });
}

Task<void> PostgresStore::create_job(Job job)
{
    const std::string search = search_text({job.title, job.company, job.location, job.description});
    return write(Operation::create_job, Twice::same,
                 pg_calls(pg_call(kCreateJob, job.id, job.owner_id, job.title, job.company,
                                  job.location, job.description, job.status, job.max_applications,
                                  job.applications, job.created_ms, search)),
                 [](const Rows&) {});
}

Task<Applied> PostgresStore::apply(Application application)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    // The first try is optimistic. Many who apply for one job at once would go on meeting each
    // other, so who has met somebody stands in a queue. What is read of a small table or index is
    // watched as a whole, so that those of other jobs are met too; the one who meets too many of
    // them is alone at the end, and nobody waits for ever.
    constexpr int kTurns = 6;
    int tries = 0;
    std::function<asio::awaitable<PgResult<Applied>>()> once = [&] {
        const int before = tries++;
        return apply_once(application, before == 0        ? Turn::none
                                       : before <= kTurns ? Turn::of_the_job
                                                          : Turn::of_all);
    };
    auto running = transact<Applied>(Operation::apply, Twice::same, std::move(once));
    co_return co_await std::move(running);
}

asio::awaitable<PgResult<Applied>> PostgresStore::apply_once(const Application& application,
                                                             Turn turn)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    auto lease = co_await servers_->primary().acquire();
    if (!lease) co_return std::unexpected(std::move(lease.error()));
    PgConnection& connection = **lease;
    if (turn == Turn::none) co_return co_await apply_on(connection, application);

    // Before the transaction: within it the lock would come after what it sees was fixed. Should
    // the connection break, or its coroutine end, the connection goes and the lock with it.
    auto wanted = turn == Turn::of_all
                      ? pg_calls(pg_call(kAlone))
                      : pg_calls(pg_call(kAmongAll), pg_call(kTurn, application.job_id));
    const auto taken = co_await connection.run(std::move(wanted), PgEffect::none, query_limit_);
    auto outcome = taken ? co_await apply_on(connection, application)
                         : PgResult<Applied>{std::unexpected(taken.error())};
    if (!outcome && outcome.error().lost) co_return outcome;
    auto over = pg_calls(pg_call(kTurnOver));
    co_await connection.run(std::move(over), PgEffect::none, query_limit_); // else it is lost
    co_return outcome;
}

asio::awaitable<PgResult<Applied>> PostgresStore::apply_on(PgConnection& connection,
                                                           const Application& application)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    // Who had to wait for a lock here sees what was before, and is told so at its end.
    auto questions =
        pg_calls(pg_call(kBeginApply), pg_call(kWithAll), pg_call(kWithOthers, application.job_id),
                 pg_call(kJobStatus, application.job_id),
                 pg_call(kApplied, application.job_id, application.user_id));
    const auto found = co_await step(connection, std::move(questions), PgEffect::none);
    if (!found) co_return std::unexpected(found.error());
    // What was read counts only once the transaction has ended well.
    const auto decided = decide(facts_of(*found, application));
    auto ending = pg_calls(pg_call(kPgCommit));
    if (!decided)
        ending = pg_calls(pg_call(kApply, application.id, application.job_id, application.user_id,
                                  application.cover_letter, application.created_ms),
                          pg_call(kCountApplication, application.job_id),
                          pg_call(kHistory, application.id, application.user_id, application.job_id,
                                  application.created_ms),
                          pg_call(kPgCommit));
    const auto effect = decided ? PgEffect::none : PgEffect::commits;
    auto done = co_await step(connection, std::move(ending), effect);
    if (done) co_return decided.value_or(Applied::done);
    // Somebody put the same in between our question and our answer: ask again.
    constexpr std::string_view kUniqueViolation = "23505";
    if (done.error().state == kUniqueViolation) done.error().again = true;
    co_return std::unexpected(std::move(done.error()));
}

Task<std::vector<Application>> PostgresStore::applications_of(std::string user_id, ReadFrom from)
{
    return read(Operation::applications_of, from, pg_calls(pg_call(kApplicationsOf, user_id)),
                [](const Rows& rows) { return all_of(rows[0], application_of<PgRow>); });
}

} // namespace cluster::app
