// What the daemon has done so far of a request for several processes: on a terminal one line that
// is rewritten, elsewhere a line per step, as PM2 prints it.
#pragma once

#include "cli/context.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace cluster::cli {

/// How a request that takes a while is followed.
struct Following {
    std::string verb;          ///< "starting"
    std::string interrupted{}; ///< what Ctrl-C says, a sentence; "" for the usual one
    /// Gets the params of each `progress` notification as well.
    std::function<void(const json& params)> on_progress{};
};

class Progress {
public:
    /// Says nothing with --json and --silent.
    Progress(Context& context, Following following);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress();

    /// A notification of the request under way; others than `progress` and `notice` are passed
    /// over.
    void on_notification(std::string_view method, const json& params);

    /// Nothing came for a moment: the seconds of a phase go on.
    void on_idle();

    /// Removes the line from the terminal.
    void clear();

private:
    void on_step(const json& params);
    void draw();

    Context& context_;
    Following following_;
    json latest_;                   ///< what the line on the terminal shows; null: nothing yet
    ipc::milliseconds received_{0}; ///< when that came
    bool shown_ = false;
};

/// A step for a pipe, from the params of a `progress` notification: "[api](0) ready after 1.2 s",
/// "[api](0) draining after 1.2 s (12 connections closed)"; "[api](0) ✓", or ✗ for a process that
/// failed, where the daemon tells no phase or the last one.
[[nodiscard]] std::string progress_text(const json& params, const Style& style);

/// The line for a terminal: "reloading 1/4 [api](0) draining 3.2 s", `waited` after it came.
[[nodiscard]] std::string progress_line(std::string_view verb, const json& params,
                                        ipc::milliseconds waited, const Style& style);

/// Calls `method` with progress and the note about Ctrl-C. When the daemon is replaced meanwhile,
/// the answer is what has become of the request (aftermath.hpp).
ipc::RpcResult<json> call_with_progress(Context& context, std::string_view method,
                                        const json& params, const Following& following);

} // namespace cluster::cli
