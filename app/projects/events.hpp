// Who wants to know that a project has changed: those who look at it now, on whatever instance.
#pragma once

#include <cstdint>
#include <string>

namespace cluster::app {

struct ProjectChange {
    enum class What { updated, removed, collaborators };
    What what = What::updated;
    std::string project_id;
    std::string user_id;      ///< who did it
    std::int64_t version = 0; ///< the new one; 0 when only the collaborators changed
    std::string title;        ///< of `updated`
};

/// Told after the change is certain, from the loop. Must neither throw nor wait.
class ProjectEvents {
public:
    virtual ~ProjectEvents() = default;
    virtual void changed(const ProjectChange& change) { static_cast<void>(change); }
};

} // namespace cluster::app
