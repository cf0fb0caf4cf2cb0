// What the daemon has done so far of a request for several processes: on a terminal one line that
// is rewritten, elsewhere a line per process, as PM2 prints it.
#pragma once

#include "cli/context.hpp"

#include <string>
#include <string_view>

namespace cluster::cli {

class Progress {
public:
    /// `verb`: "starting". Says nothing with --json and --silent.
    Progress(Context& context, std::string verb);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress(); ///< removes the line from the terminal

    /// A notification of the request under way; others than `progress` are passed over.
    void on_notification(std::string_view method, const json& params);

private:
    Context& context_;
    std::string verb_;
    bool shown_ = false;
};

/// "[api](0) ✓", or ✗ for a process that failed. Takes the params of a `progress` notification.
[[nodiscard]] std::string progress_text(const json& params, const Style& style);

/// Calls `method` with progress and the note about Ctrl-C. `verb`: "starting".
ipc::RpcResult<json> call_with_progress(Context& context, std::string_view method,
                                        const json& params, const std::string& verb);

} // namespace cluster::cli
