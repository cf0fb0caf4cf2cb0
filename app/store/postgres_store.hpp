// The store in PostgreSQL. Each function is one round trip where that is enough, else a transaction
// of two; what could not be serialized, or met a connection that broke before anything was changed,
// is tried again.
#pragma once

#include "app/base/log.hpp"
#include "app/postgres/retry.hpp"
#include "app/postgres/servers.hpp"
#include "app/store/operations.hpp"
#include "app/store/options.hpp"
#include "app/store/store.hpp"
#include "app/store/text.hpp"

#include <boost/asio/this_coro.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>

namespace cluster::app {

/// One value of a call, as the server reads it.
[[nodiscard]] inline std::optional<std::string> pg_value(std::string_view text)
{
    return sound_text(text);
}
[[nodiscard]] inline std::optional<std::string> pg_value(const std::string& text)
{
    return sound_text(text);
}
template <std::integral Number>
[[nodiscard]] std::optional<std::string> pg_value(Number number)
{
    return std::to_string(number);
}
[[nodiscard]] inline std::optional<std::string> pg_value(const std::optional<int>& number)
{
    return number ? std::optional{std::to_string(*number)} : std::nullopt;
}
/// As the literal of a text[].
[[nodiscard]] std::optional<std::string> pg_value(const std::vector<std::string>& texts);

template <class... Values>
[[nodiscard]] PgCall pg_call(const PgStatement& statement, const Values&... values)
{
    PgCall call{.statement = &statement};
    (call.values.push_back(pg_value(values)), ...);
    return call;
}
template <class... Calls>
[[nodiscard]] std::vector<PgCall> pg_calls(Calls... calls)
{
    std::vector<PgCall> all;
    (all.push_back(std::move(calls)), ...);
    return all;
}

inline constexpr PgStatement kPgCommit{"commit", "COMMIT"};
inline constexpr PgStatement kPgRollback{"rollback", "ROLLBACK"};
/// Ends with the transaction; $1 is what is locked.
inline constexpr PgStatement kPgLock{"lock",
                                     "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"};

class PostgresStore final : public Store {
public:
    /// Begins to log in at once. `io`, `log` and `metrics` outlive it. Errors: a URL that is none
    /// (read_store_options has told about it already).
    [[nodiscard]] static Result<std::unique_ptr<Store>>
    open(asio::io_context& io, const StoreOptions& options, Log& log, Metrics& metrics);

    PostgresStore(asio::io_context& io, std::shared_ptr<PgServers> servers,
                  const StoreOptions& options, Metrics& metrics);

    Task<void> create_user(Credentials credentials) override;
    Task<std::optional<Credentials>> credentials(std::string email) override;
    Task<std::optional<User>> user(std::string id, ReadFrom from) override;
    Task<void> add_refresh_token(RefreshToken token) override;
    Task<Rotation> rotate_refresh_token(std::string old_hash, std::string new_hash,
                                        std::int64_t expires_ms, std::int64_t now_ms) override;
    Task<void> end_session(std::string session_id) override;

    Task<Page<Job>> jobs(JobQuery query, ReadFrom from) override;
    Task<std::optional<Job>> job(std::string id, ReadFrom from) override;
    Task<void> create_job(Job job) override;
    Task<Applied> apply(Application application) override;
    Task<std::vector<Application>> applications_of(std::string user_id, ReadFrom from) override;

    Task<Page<Project>> projects(std::string user_id, int page, int limit, ReadFrom from) override;
    Task<std::optional<std::pair<Project, Access>>> project(std::string id, std::string user_id,
                                                            ReadFrom from) override;
    Task<void> create_project(Project project) override;
    Task<bool> update_project(Project project) override;
    Task<bool> remove_project(std::string id) override;
    Task<std::vector<Collaborator>> collaborators(std::string project_id, ReadFrom from) override;
    Task<bool> set_collaborator(std::string project_id, std::string user_id, std::string role,
                                std::int64_t now_ms) override;
    Task<bool> remove_collaborator(std::string project_id, std::string user_id) override;

    Task<void> ping() override;
    [[nodiscard]] std::vector<StoreState> state() const override;
    [[nodiscard]] bool has_replicas() const override { return servers_->has_replicas(); }
    [[nodiscard]] std::string_view form() const override { return "postgresql"; }
    asio::awaitable<void> close() override;

private:
    using Rows = std::vector<PgRows>;
    /// Whether doing it twice is the same as doing it once.
    enum class Twice { same, differs };

    /// A read in one round trip; `convert(Rows)` makes the answer.
    template <class Convert>
    asio::awaitable<Result<std::invoke_result_t<Convert, const Rows&>>>
    read(Operation operation, ReadFrom from, std::vector<PgCall> calls, Convert convert)
    {
        using Answer = Result<std::invoke_result_t<Convert, const Rows&>>;
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto began = std::chrono::steady_clock::now();
        const auto rows = co_await servers_->read(std::move(calls), from == ReadFrom::replica);
        Answer answer = rows ? Answer{convert(*rows)} : trouble(rows.error());
        metrics_.note(operation, began, answer);
        co_return answer;
    }

    /// A transaction in one round trip; `convert(Rows)` makes the answer.
    template <class Convert>
    asio::awaitable<Result<std::invoke_result_t<Convert, const Rows&>>>
    write(Operation operation, Twice twice, std::vector<PgCall> calls, Convert convert)
    {
        using Answer = PgResult<std::invoke_result_t<Convert, const Rows&>>;
        co_await asio::this_coro::throw_if_cancelled(false);
        std::function<asio::awaitable<Answer>()> once = [&] { return in_one(calls, convert); };
        auto running = transact(operation, twice, std::move(once));
        co_return co_await std::move(running);
    }

    template <class Convert>
    asio::awaitable<PgResult<std::invoke_result_t<Convert, const Rows&>>>
    in_one(std::vector<PgCall> calls, Convert convert)
    {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto rows = co_await servers_->primary().run(std::move(calls), PgEffect::commits);
        if (!rows) co_return std::unexpected(rows.error());
        if constexpr (std::is_void_v<std::invoke_result_t<Convert, const Rows&>>)
            co_return PgResult<void>{};
        else
            co_return convert(*rows);
    }

    /// Tries `once`, which is one whole transaction, as often as it makes sense.
    template <class T>
    asio::awaitable<Result<T>> transact(Operation operation, Twice twice,
                                        std::function<asio::awaitable<PgResult<T>>()> once)
    {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto began = std::chrono::steady_clock::now();
        PgRetry retry{twice == Twice::same};
        for (;;) {
            auto outcome = co_await once();
            const auto wait = outcome ? std::nullopt : retry.next(outcome.error(), chance());
            if (wait) {
                metrics_.again();
                co_await pause(*wait);
                continue;
            }
            Result<T> answer = trouble(Trouble::refused, "");
            if (!outcome)
                answer = trouble(retry.verdict(std::move(outcome.error())));
            else if constexpr (std::is_void_v<T>)
                answer = {};
            else
                answer = std::move(*outcome);
            metrics_.note(operation, began, answer);
            co_return answer;
        }
    }

    asio::awaitable<PgResult<Rotation>> rotate_once(std::string old_hash, RefreshToken next,
                                                    std::int64_t now_ms);
    /// Whom a try to apply waits for, and keeps waiting meanwhile, of any instance: nobody, those
    /// who apply for the same job, or for any.
    enum class Turn : std::uint8_t { none, of_the_job, of_all };
    asio::awaitable<PgResult<Applied>> apply_once(const Application& application, Turn turn);
    asio::awaitable<PgResult<Applied>> apply_on(PgConnection& connection,
                                                const Application& application);
    /// One step of a transaction that has begun. When it fails the transaction is over, and the
    /// connection ready for another one if that is possible.
    asio::awaitable<PgResult<Rows>> step(PgConnection& connection, std::vector<PgCall> calls,
                                         PgEffect effect);
    asio::awaitable<void> pause(milliseconds limit);
    [[nodiscard]] double chance();

    std::shared_ptr<PgServers> servers_;
    OperationMetrics metrics_;
    milliseconds query_limit_;
    asio::io_context& io_;
    std::minstd_rand random_;
};

} // namespace cluster::app
