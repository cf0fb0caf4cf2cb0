// `monit` from its beginning to its end: one loop over keys, the daemon, signals and the time.
#pragma once

#include "cli/context.hpp"
#include "cli/monit_link.hpp"
#include "cli/monit_model.hpp"
#include "cli/monit_terminal.hpp"
#include "ipc/base/unique_fd.hpp"

#include <cstddef>
#include <memory>

namespace cluster::cli {

class Monit {
public:
    /// `signals`: hold_monit_signals.
    Monit(std::unique_ptr<Terminal> terminal, ipc::UniqueFd signals, Context& context);

    /// Returns the exit code: 0 when the user has quit, else 128 and the signal.
    int run();

private:
    void turn();
    void read_keys();
    void read_signals();
    void obey(int signal);
    void suspend();
    void quit(int code);
    void draw_when_due();
    [[nodiscard]] int time_left() const;

    std::unique_ptr<Terminal> terminal_;
    ipc::UniqueFd signals_;
    Context& context_;
    MonitModel model_;
    MonitLink link_;
    bool dirty_ = true;   ///< the screen does not show the model
    int reads_ = 0;       ///< of the daemon since the last frame
    int empty_wakes_ = 0; ///< readable, and nothing came: nobody is at the terminal any more
    bool done_ = false;
    int code_ = kDone;
    ipc::milliseconds last_frame_{0};
};

/// Blocks the signals that `monit` looks at by itself, for this descriptor.
[[nodiscard]] ipc::UniqueFd hold_monit_signals();

} // namespace cluster::cli
