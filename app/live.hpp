// What the live events (Socket.IO) need of accounts and projects, and how a project's change and
// the progress of its exports reach those who look at it.
#pragma once

#include "app/accounts/revocation.hpp"
#include "app/events/events.hpp"
#include "app/exports/events.hpp"
#include "app/http/authenticator.hpp"
#include "app/projects/events.hpp"
#include "app/store/store.hpp"

namespace cluster::app {

/// Tokens are those of the API; a project's room is for its owner and its collaborators. All must
/// outlive the events.
[[nodiscard]] EventsAccess access_by(Authenticator& authenticator, Revocation& revocation,
                                     Store& store);

/// Tells a project's room: "project:update", "project:removed", "project:collaborators".
class LiveProjects final : public ProjectEvents {
public:
    /// `events` must outlive it.
    explicit LiveProjects(Events& events) : events_{events} {}
    void changed(const ProjectChange& change) override;

private:
    Events& events_;
};

/// Tells a project's room "export:progress", from the worker that makes the export.
class LiveExports final : public ExportEvents {
public:
    /// `events` must outlive it.
    explicit LiveExports(Events& events) : events_{events} {}
    void progress(const std::string& project_id, const json& event) override
    {
        events_.emit_to_room(Events::room_of(project_id), "export:progress", event);
    }

private:
    Events& events_;
};

} // namespace cluster::app
