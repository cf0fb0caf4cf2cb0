// How a process becomes the guardian by exec: everything that it has and that must go on is in
// descriptors that stay open, and a list that says what each is for. Two do it: a guardian, to go
// on with another program (an upgrade, and the way back), and a manager whose guardian is gone. The
// pid stays the same, so children stay children.
#pragma once

#include "ipc/base/home.hpp"
#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"
#include "supervisor/daemon/guardian_messages.hpp"

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// Descriptors are numbers here: whoever takes over owns them, not who gives them away.
struct TakeOver {
    int lock = -1;
    int listener = -1;
    int channel = -1; ///< to `manager`; -1: no manager lives
    pid_t manager = 0;
    int journal = -1;
    int program = -1; ///< the executable to go back to
    std::vector<int> kept;
    std::vector<EndedProcess> ended; ///< not acknowledged yet
    std::optional<Upgrade> upgrade;  ///< under way
    std::optional<Upgrade> outcome;  ///< of the last one
    bool operator==(const TakeOver&) const = default;
};

[[nodiscard]] std::string take_over_text(const TakeOver& all);
[[nodiscard]] TakeOver parse_take_over(std::string_view text);

/// Becomes the guardian of `home`: the program at `path`, or the open one in `program_fd` when that
/// is not negative. Returns only when that fails, and then everything is as it was before.
ipc::Error become_guardian(const std::string& path, int program_fd, const std::string& home,
                           bool foreground, const TakeOver& all);

/// What `fd` (the argument of --take-over) says; all that it names is close-on-exec again.
ipc::Result<TakeOver> receive_take_over(ipc::UniqueFd fd);

/// Until it has handlers for them, signals of its new program wait (`become_guardian` sees to it).
void let_signals_in();

} // namespace cluster::supervisor
