// What the store counts about itself: how long each of its functions takes, what went wrong, and
// what was tried again. The same names in both forms.
#pragma once

#include "app/base/trouble.hpp"
#include "app/metrics/metrics.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <string_view>

namespace cluster::app {

enum class Operation : std::size_t {
    create_user,
    credentials,
    user,
    add_refresh_token,
    rotate_refresh_token,
    end_session,
    jobs,
    job,
    create_job,
    apply,
    applications_of,
    projects,
    project,
    create_project,
    update_project,
    remove_project,
    collaborators,
    set_collaborator,
    remove_collaborator,
    ping,
};
constexpr std::size_t kOperations = 20;

class OperationMetrics {
public:
    explicit OperationMetrics(Metrics& metrics);

    /// One call has ended.
    template <class T>
    void note(Operation operation, std::chrono::steady_clock::time_point began,
              const Result<T>& outcome)
    {
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
        seconds_.at(static_cast<std::size_t>(operation))->observe(took.count());
        if (!outcome) failed(kind_of(outcome.error()));
    }
    /// A transaction is tried again.
    void again() { retries_->add(); }

private:
    void failed(Trouble kind);

    std::array<Histogram*, kOperations> seconds_{};
    std::array<Counter*, 6> errors_{}; ///< by Trouble
    Counter* retries_;
};

} // namespace cluster::app
