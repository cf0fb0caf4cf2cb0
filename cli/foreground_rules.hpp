// What the foreground supervisor (`run`) decides: what a signal means, whether anything is left to
// wait for, what to exit with, what to say about an event. Pure: the daemon's answers
// (docs/protocol.md) in, values out.
#pragma once

#include "cli/log_view.hpp"
#include "ipc/base/system.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::cli {

using nlohmann::json;

enum class Wish {
    stop,    ///< all apps in order, then end
    reload,  ///< all apps
    forward, ///< to the apps' processes
    reap,    ///< a child of ours has ended
    nothing,
};

/// Signals that are not named here keep their default meaning (job control, and what cannot be
/// caught).
[[nodiscard]] Wish wish_of(int signal);
/// All that `wish_of` knows.
[[nodiscard]] std::vector<int> signals_known();

/// Something runs, or will by itself.
[[nodiscard]] bool any_left(const json& processes);

/// How children of ours have ended, by pid. After the death of both processes of a daemon the
/// workers are our children, and the next daemon does not hear how they end.
using Ends = std::map<std::int64_t, ipc::ExitStatus>;
/// The pid that a process had when it was last seen, by id.
using Pids = std::map<std::int64_t, std::int64_t>;

/// Completes processes whose end the daemon has not seen.
[[nodiscard]] json with_ends(json processes, const Pids& pids, const Ends& ends);

/// What to exit with when none is left, from the answer of `describe`. Of one app its own code, 128
/// + the signal that killed it, 1 when it never ran or ended with 0 too often; of several apps 0
/// when all have ended well, else 1. Who was asked to stop and died of its kill_signal has ended
/// well, and so has who exits with 128 + that signal, as shells and the JVM do.
[[nodiscard]] int exit_code_of(const json& processes);

/// A sentence about the end of a process, from the params of an `event`; "" for all else, also when
/// it has ended as it should.
[[nodiscard]] std::string note_of(const json& params);

/// What went wrong in a start, a sentence each; without the ends of processes, of which there are
/// events.
[[nodiscard]] std::vector<std::string> failures_of(const json& error);

/// The apps of `declared` (specifications) of which there is no process.
[[nodiscard]] json missing_apps(const json& declared, const json& processes);

/// As log_line, but in JSON {"time","app","id","stream","message"}.
[[nodiscard]] std::string output_line(const LogLine& line, LogFormat format, std::size_t name_width,
                                      const Style& style);

/// What the supervisor itself says, in the same JSON: app and id are null, stream is "supervisor".
[[nodiscard]] std::string said_line(std::string_view text, std::int64_t at);

} // namespace cluster::cli
