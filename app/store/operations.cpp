#include "app/store/operations.hpp"

namespace cluster::app {
namespace {

constexpr std::array<std::string_view, kOperations> kNames{"create_user",
                                                           "credentials",
                                                           "user",
                                                           "add_refresh_token",
                                                           "rotate_refresh_token",
                                                           "end_session",
                                                           "jobs",
                                                           "job",
                                                           "create_job",
                                                           "apply",
                                                           "applications_of",
                                                           "projects",
                                                           "project",
                                                           "create_project",
                                                           "update_project",
                                                           "remove_project",
                                                           "collaborators",
                                                           "set_collaborator",
                                                           "remove_collaborator",
                                                           "ping"};

// In the order of Trouble, which counts from 1.
constexpr std::array<std::string_view, 6> kKinds{"",           "unavailable", "unknown_outcome",
                                                 "overloaded", "conflict",    "refused"};

} // namespace

OperationMetrics::OperationMetrics(Metrics& metrics)
    : retries_{&metrics.counter("db_retries_total",
                                "Transactions tried again after a serialization failure, a "
                                "deadlock or a lost connection",
                                {})}
{
    for (std::size_t i = 0; i < kOperations; ++i)
        seconds_[i] = &metrics.histogram("db_query_seconds",
                                         "How long a call of the store takes, waiting included",
                                         {{"operation", std::string{kNames[i]}}});
    for (std::size_t i = 1; i < kKinds.size(); ++i)
        errors_[i] = &metrics.counter("db_errors_total", "Calls of the store that failed, by kind",
                                      {{"kind", std::string{kKinds[i]}}});
}

void OperationMetrics::failed(Trouble kind)
{
    errors_.at(static_cast<std::size_t>(kind))->add();
}

} // namespace cluster::app
