// What every command gets: where to print, whom to ask, what the global options said.
#pragma once

#include "cli/output.hpp"
#include "cli/session.hpp"
#include "ipc/base/clock.hpp"
#include "ipc/base/system.hpp"
#include "ipc/wire/app_spec.hpp"
#include "ipc/wire/rpc.hpp"

#include <string>
#include <string_view>

namespace cluster::cli {

using ipc::json;

// Exit codes of every command.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kNoDaemon = 3;
inline constexpr int kInterrupted = 130;

struct Context {
    Output& out;
    Output& err;
    Session& session;
    const ipc::Clock& clock;
    ipc::System& system;
    bool json_output = false; ///< --json
    bool silent = false;      ///< --silent: no messages and tables, errors all the same
    int exit_code = kDone;

    /// A message on stdout, unless --json or --silent.
    void info(std::string_view text);
    /// On stderr, also with --json.
    void warn(std::string_view text);
    void error(std::string_view text);

    /// With --json `{"error":…}` on stderr, else a sentence and, for workers that failed, what each
    /// said last. Returns the exit code for it.
    int fail(const ipc::RpcError& error);
    /// The same for what never reached the daemon. `code` is the exit code.
    int fail(std::string_view message, int code = kFailed);

    /// `value` as one line of JSON on stdout.
    void print_json(const json& value);
};

/// The variables of this process.
[[nodiscard]] ipc::Environment current_environment();

/// The folder this command runs in; "" when it is gone.
[[nodiscard]] std::string current_folder();

/// The lines for `failures` of the daemon's answer (docs/protocol.md, "Errors"). Pure.
[[nodiscard]] std::string failures_text(const json& failures, const Style& style);

} // namespace cluster::cli
