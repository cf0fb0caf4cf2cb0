// A Store in memory, for the rules above it. `lagging`: replicas show what was there when it was
// set; `away`: nothing works.
#pragma once

#include "app/store/store.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace cluster::tests {

class MemoryStore final : public app::Store {
public:
    template <class T>
    using Task = app::Task<T>;

    bool away = false;

    /// From now on replicas show nothing newer.
    void stop_replicas() { replica_ = data_; }

    Task<void> create_user(app::Credentials credentials) override
    {
        if (away) co_return refusal();
        if (by_email(credentials.user.email) != nullptr)
            co_return app::trouble(app::Trouble::conflict, "taken");
        data_.users[credentials.user.id] = std::move(credentials);
        co_return app::Result<void>{};
    }
    Task<std::optional<app::Credentials>> credentials(std::string email) override
    {
        if (away) co_return refusal();
        const auto* const found = by_email(email);
        co_return found == nullptr ? std::nullopt : std::optional{*found};
    }
    Task<std::optional<app::User>> user(std::string id, app::ReadFrom from) override
    {
        if (away) co_return refusal();
        const auto found = at(from).users.find(id);
        co_return found == at(from).users.end() ? std::nullopt : std::optional{found->second.user};
    }
    Task<void> add_refresh_token(app::RefreshToken token) override
    {
        if (away) co_return refusal();
        tokens_[token.hash] = {token, false};
        co_return app::Result<void>{};
    }
    Task<app::Rotation> rotate_refresh_token(std::string old_hash, std::string new_hash,
                                             std::int64_t expires_ms, std::int64_t now_ms) override
    {
        if (away) co_return refusal();
        const auto found = tokens_.find(old_hash);
        if (found == tokens_.end() || found->second.first.expires_ms <= now_ms)
            co_return app::Rotation{};
        app::RefreshToken next = found->second.first;
        app::Rotation rotation{.user_id = next.user_id, .session_id = next.session_id};
        if (found->second.second) {
            rotation.what = app::Rotation::What::reused;
            forget(next.session_id);
            co_return rotation;
        }
        found->second.second = true;
        next.hash = new_hash;
        next.expires_ms = expires_ms;
        tokens_[new_hash] = {next, false};
        rotation.what = app::Rotation::What::rotated;
        rotation.user = data_.users.at(next.user_id).user;
        co_return rotation;
    }
    Task<void> end_session(std::string session_id) override
    {
        if (away) co_return refusal();
        forget(session_id);
        co_return app::Result<void>{};
    }

    Task<app::Page<app::Job>> jobs(app::JobQuery query, app::ReadFrom from) override
    {
        if (away) co_return refusal();
        last_query = query;
        app::Page<app::Job> page;
        for (const auto& [id, job] : at(from).jobs)
            page.items.push_back(job);
        page.total = static_cast<std::int64_t>(page.items.size());
        co_return page;
    }
    Task<std::optional<app::Job>> job(std::string id, app::ReadFrom from) override
    {
        if (away) co_return refusal();
        const auto found = at(from).jobs.find(id);
        co_return found == at(from).jobs.end() ? std::nullopt : std::optional{found->second};
    }
    Task<void> create_job(app::Job job) override
    {
        if (away) co_return refusal();
        data_.jobs[job.id] = std::move(job);
        co_return app::Result<void>{};
    }
    Task<app::Applied> apply(app::Application application) override
    {
        if (away) co_return refusal();
        const auto found = data_.jobs.find(application.job_id);
        if (found == data_.jobs.end()) co_return app::Applied::no_such_job;
        app::Job& job = found->second;
        const auto same = [&](const app::Application& other) {
            return other.job_id == application.job_id && other.user_id == application.user_id;
        };
        if (std::ranges::any_of(applications_, same)) co_return app::Applied::already;
        if (job.status != "open") co_return app::Applied::closed;
        if (++job.applications == job.max_applications) job.status = "closed";
        applications_.push_back(std::move(application));
        co_return app::Applied::done;
    }
    Task<std::vector<app::Application>> applications_of(std::string user_id, app::ReadFrom) override
    {
        if (away) co_return refusal();
        std::vector<app::Application> own;
        std::ranges::copy_if(applications_, std::back_inserter(own),
                             [&](const auto& one) { return one.user_id == user_id; });
        co_return own;
    }

    Task<app::Page<app::Project>> projects(std::string user_id, int, int,
                                           app::ReadFrom from) override
    {
        if (away) co_return refusal();
        app::Page<app::Project> page;
        for (const auto& [id, project] : at(from).projects)
            if (access(at(from), project, user_id) != app::Access::none)
                page.items.push_back(project);
        page.total = static_cast<std::int64_t>(page.items.size());
        co_return page;
    }
    Task<std::optional<std::pair<app::Project, app::Access>>>
    project(std::string id, std::string user_id, app::ReadFrom from) override
    {
        using Found = std::pair<app::Project, app::Access>;
        if (away) co_return refusal();
        const auto found = at(from).projects.find(id);
        if (found == at(from).projects.end()) co_return std::optional<Found>{};
        Found seen{found->second, access(at(from), found->second, user_id)};
        if (before_update > 0) {
            --before_update;
            ++data_.projects.at(id).version;
        }
        co_return std::optional{std::move(seen)};
    }
    Task<void> create_project(app::Project project) override
    {
        if (away) co_return refusal();
        data_.projects[project.id] = std::move(project);
        co_return app::Result<void>{};
    }
    Task<bool> update_project(app::Project project) override
    {
        if (away) co_return refusal();
        const auto found = data_.projects.find(project.id);
        if (found == data_.projects.end() || found->second.version != project.version)
            co_return false;
        ++project.version;
        found->second = std::move(project);
        co_return true;
    }
    Task<bool> remove_project(std::string id) override
    {
        if (away) co_return refusal();
        co_return data_.projects.erase(id) > 0;
    }
    Task<std::vector<app::Collaborator>> collaborators(std::string project_id,
                                                       app::ReadFrom from) override
    {
        if (away) co_return refusal();
        std::vector<app::Collaborator> list;
        for (const auto& [key, one] : at(from).collaborators)
            if (key.first == project_id) list.push_back(one);
        co_return list;
    }
    Task<bool> set_collaborator(std::string project_id, std::string user_id, std::string role,
                                std::int64_t now_ms) override
    {
        if (away) co_return refusal();
        if (!data_.projects.contains(project_id) || !data_.users.contains(user_id)) co_return false;
        data_.collaborators[{project_id, user_id}] = {
            .user = data_.users.at(user_id).user, .role = role, .added_ms = now_ms};
        co_return true;
    }
    Task<bool> remove_collaborator(std::string project_id, std::string user_id) override
    {
        if (away) co_return refusal();
        co_return data_.collaborators.erase({project_id, user_id}) > 0;
    }

    Task<void> ping() override
    {
        if (away) co_return refusal();
        co_return app::Result<void>{};
    }
    [[nodiscard]] std::vector<app::StoreState> state() const override { return {}; }
    [[nodiscard]] bool has_replicas() const override { return replica_.has_value(); }
    [[nodiscard]] std::string_view form() const override { return "memory"; }
    boost::asio::awaitable<void> close() override { co_return; }

    app::JobQuery last_query;
    int before_update = 0; ///< so many reads of a project are followed by somebody else's change

private:
    struct Data {
        std::map<std::string, app::Credentials> users;
        std::map<std::string, app::Job> jobs;
        std::map<std::string, app::Project> projects;
        std::map<std::pair<std::string, std::string>, app::Collaborator> collaborators;
    };

    static std::unexpected<ipc::Error> refusal()
    {
        return app::trouble(app::Trouble::unavailable, "the store is away");
    }
    [[nodiscard]] const Data& at(app::ReadFrom from) const
    {
        return from == app::ReadFrom::replica && replica_ ? *replica_ : data_;
    }
    [[nodiscard]] const app::Credentials* by_email(const std::string& email) const
    {
        for (const auto& [id, credentials] : data_.users)
            if (credentials.user.email == email) return &credentials;
        return nullptr;
    }
    void forget(const std::string& session_id)
    {
        std::erase_if(tokens_, [&](const auto& entry) {
            return entry.second.first.session_id == session_id;
        });
    }
    static app::Access access(const Data& data, const app::Project& project,
                              const std::string& user_id)
    {
        if (project.owner_id == user_id) return app::Access::owner;
        const auto found = data.collaborators.find({project.id, user_id});
        if (found == data.collaborators.end()) return app::Access::none;
        return found->second.role == "editor" ? app::Access::editor : app::Access::viewer;
    }

    Data data_;
    std::optional<Data> replica_;
    std::map<std::string, std::pair<app::RefreshToken, bool>> tokens_; ///< hash → token, used
    std::vector<app::Application> applications_;
};

} // namespace cluster::tests
