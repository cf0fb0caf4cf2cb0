// Who may start: what `depends_on` asks of another app, given how its workers are. Pure.
#pragma once

#include "ipc/base/system.hpp"
#include "ipc/wire/app_spec.hpp"
#include "supervisor/core/lifecycle.hpp"

#include <optional>
#include <vector>

namespace cluster::supervisor {

/// One worker of the app that is waited for.
struct PeerView {
    State state = State::stopped;
    bool held = false; ///< is itself waiting for another app: it is (re)started after that
    std::optional<ipc::ExitStatus> last; ///< how its last process ended, none so far: empty
};

enum class Met {
    yes,
    not_yet,
    never, ///< not without somebody's help: it is errored, or stopped
};

/// A worker that has ended with exit code 0 for good has been started and has been ready, too: the
/// usual job that prepares something.
[[nodiscard]] Met condition_met(ipc::Condition condition, const std::vector<PeerView>& peers);

} // namespace cluster::supervisor
