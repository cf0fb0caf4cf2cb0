// Who wants to know how an export goes: those who look at the project now, on whatever instance.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace cluster::app {

/// Told from the loop of the worker. Must neither throw nor wait.
class ExportEvents {
public:
    virtual ~ExportEvents() = default;
    /// `event`: {"exportId", "projectId", "status", "progress"}, as GET /api/exports/{id} has them:
    /// the event "export:progress" for the room of the project.
    virtual void progress(const std::string& project_id, const nlohmann::ordered_json& event)
    {
        static_cast<void>(project_id);
        static_cast<void>(event);
    }
};

} // namespace cluster::app
