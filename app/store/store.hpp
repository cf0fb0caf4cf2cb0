// The data that lasts: accounts, refresh tokens, jobs and projects, in PostgreSQL or in an embedded
// SQLite file. Both forms give the same answers; which one runs is chosen once at start. Every
// function that changes something is one transaction: done wholly or not at all.
//
// Errors of all: unavailable (nothing was changed), unknown_outcome, overloaded, conflict, refused.
// Ids are UUIDs as text, made by the caller (`new_id`); times are milliseconds since 1970 UTC. An
// id that is none is found nowhere. Text is kept as UTF-8 without NUL: what is not becomes U+FFFD.
#pragma once

#include "app/base/trouble.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

namespace asio = boost::asio;

template <class T>
using Task = asio::awaitable<Result<T>>;

/// Where a read may look. After a write its author must find it again, so reads on his behalf go to
/// the primary until every replica must have it.
enum class ReadFrom { replica, primary };

struct User {
    std::string id;
    std::string email; ///< as it was given; unique without regard to case
    std::string name;
    std::string role = "user";
    std::int64_t created_ms = 0;
};

struct Credentials {
    User user;
    std::string password_hash; ///< argon2id in its encoded form
};

/// A refresh token is kept as the SHA-256 of its text, so that a copy of the table logs nobody in.
struct RefreshToken {
    std::string hash; ///< hex
    std::string user_id;
    std::string session_id; ///< the log-in that it stems from: all tokens of a rotation share it
    std::int64_t expires_ms = 0;
};

/// What became of a refresh token that was to be exchanged for a new one.
struct Rotation {
    enum class What {
        rotated, ///< the old one is used up, the new one holds; `user` is set
        unknown, ///< never given out, expired, or its session was ended
        reused,  ///< used before: somebody has a copy, so the whole session was ended
    };
    What what = What::unknown;
    std::string user_id;
    std::string session_id;
    std::optional<User> user{};
};

class AccountStore {
public:
    virtual ~AccountStore() = default;
    /// conflict: the address is taken.
    virtual Task<void> create_user(Credentials credentials) = 0;
    virtual Task<std::optional<Credentials>> credentials(std::string email) = 0;
    virtual Task<std::optional<User>> user(std::string id, ReadFrom from) = 0;

    virtual Task<void> add_refresh_token(RefreshToken token) = 0;
    /// Exchanges the token with `old_hash` for one with `new_hash` of the same session.
    virtual Task<Rotation> rotate_refresh_token(std::string old_hash, std::string new_hash,
                                                std::int64_t expires_ms, std::int64_t now_ms) = 0;
    /// No refresh token of the session holds any longer. One that is unknown is no error.
    virtual Task<void> end_session(std::string session_id) = 0;
};

struct Job {
    std::string id;
    std::string owner_id;
    std::string title;
    std::string company;
    std::string location;
    std::string description;
    std::string status = "open";           ///< open, closed
    std::optional<int> max_applications{}; ///< closed when so many have applied
    int applications = 0;                  ///< how many have applied
    std::int64_t created_ms = 0;
};

struct JobQuery {
    std::string search; ///< words that title, company, location or description hold; "" is all
    std::string status; ///< "" is all
    int page = 1;       ///< from 1
    int limit = 20;     ///< 1 to 100
};

template <class T>
struct Page {
    std::vector<T> items;
    std::int64_t total = 0; ///< of all pages
};

struct Application {
    std::string id;
    std::string job_id;
    std::string user_id;
    std::string cover_letter;
    std::int64_t created_ms = 0;
};

/// What became of an application.
enum class Applied { done, no_such_job, closed, already };

class JobStore {
public:
    virtual ~JobStore() = default;
    /// Newest first.
    virtual Task<Page<Job>> jobs(JobQuery query, ReadFrom from) = 0;
    virtual Task<std::optional<Job>> job(std::string id, ReadFrom from) = 0;
    virtual Task<void> create_job(Job job) = 0;
    /// One transaction over three tables: the application, the job's count (and its end, when it
    /// was the last one), and the applicant's history. Tried again when it could not be serialized.
    virtual Task<Applied> apply(Application application) = 0;
    /// Newest first, at most 1000.
    virtual Task<std::vector<Application>> applications_of(std::string user_id, ReadFrom from) = 0;
};

struct Project {
    std::string id;
    std::string owner_id;
    std::string title;
    std::string content; ///< JSON text, the document itself
    std::int64_t created_ms = 0;
    std::int64_t updated_ms = 0;
    std::int64_t version = 1; ///< grows by one with every change
};

struct Collaborator {
    User user;
    std::string role; ///< "editor" or "viewer"
    std::int64_t added_ms = 0;
};

/// What somebody may do with a project.
enum class Access { none, viewer, editor, owner };

class ProjectStore {
public:
    virtual ~ProjectStore() = default;
    /// Own ones and those one works on with others, last changed first.
    virtual Task<Page<Project>> projects(std::string user_id, int page, int limit,
                                         ReadFrom from) = 0;
    /// The project and what `user_id` may do with it.
    virtual Task<std::optional<std::pair<Project, Access>>>
    project(std::string id, std::string user_id, ReadFrom from) = 0;
    virtual Task<void> create_project(Project project) = 0;
    /// Replaces title and content if its version is still `project.version`, and adds one to it.
    /// false: somebody was quicker, or it is gone.
    virtual Task<bool> update_project(Project project) = 0;
    virtual Task<bool> remove_project(std::string id) = 0;

    /// In the order in which they came, at most 1000.
    virtual Task<std::vector<Collaborator>> collaborators(std::string project_id,
                                                          ReadFrom from) = 0;
    /// Adds, or changes the role. false: no such project or user.
    virtual Task<bool> set_collaborator(std::string project_id, std::string user_id,
                                        std::string role, std::int64_t now_ms) = 0;
    virtual Task<bool> remove_collaborator(std::string project_id, std::string user_id) = 0;
};

/// How a form of it stands now, for /health and /metrics.
struct StoreState {
    std::string name; ///< "primary", "replica 10.0.0.2:5432", "sqlite"
    bool up = false;
    int connections = 0; ///< open ones
    int busy = 0;
    int limit = 0;   ///< at most so many
    int waiting = 0; ///< for one of them
};

class Store : public AccountStore, public JobStore, public ProjectStore {
public:
    /// Whether it answers now: one short round trip to the primary.
    virtual Task<void> ping() = 0;
    [[nodiscard]] virtual std::vector<StoreState> state() const = 0;
    /// Whether there are replicas that may lag behind.
    [[nodiscard]] virtual bool has_replicas() const = 0;
    /// "postgresql" or "sqlite", for people.
    [[nodiscard]] virtual std::string_view form() const = 0;
    /// Finishes what is under way and closes; nothing may be asked of it afterwards.
    virtual asio::awaitable<void> close() = 0;
};

} // namespace cluster::app
