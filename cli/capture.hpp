// Runs a helper program (node) to its end and returns what it wrote.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/base/system.hpp"
#include "ipc/wire/app_spec.hpp"

#include <optional>
#include <string>
#include <vector>

namespace cluster::cli {

struct CaptureRequest {
    std::string program; ///< absolute path
    std::vector<std::string> args;
    const ipc::Environment& environment;
    std::string cwd; ///< must exist
    int fd = 1; ///< which descriptor of the program is read; any other stdout goes to our stderr
    ipc::milliseconds limit{10'000}; ///< then it is killed
    std::size_t max_bytes = std::size_t{16} * 1024 * 1024;
};

struct Captured {
    std::string output;
    std::optional<ipc::ExitStatus> status; ///< empty when it was killed for taking too long
};

/// Standard input is empty. The end is the program's own, not that of what it left running.
/// Errors: the call that failed; EFBIG when it wrote more than max_bytes.
[[nodiscard]] ipc::Result<Captured> capture(ipc::System& system, const ipc::Clock& clock,
                                            const CaptureRequest& request);

} // namespace cluster::cli
