// systemd on this machine: which of its units run a clusterd, and how they are asked to.
#pragma once

#include "cli/capture.hpp"
#include "cli/service_unit.hpp"

#include <expected>
#include <optional>
#include <string>
#include <vector>

namespace cluster::cli {

/// man 3 sd_booted.
[[nodiscard]] bool systemd_runs();

/// $XDG_CONFIG_HOME, else ~/.config.
[[nodiscard]] std::string config_folder(const ipc::Environment& environment);

struct InstalledUnit {
    Scope scope = Scope::system;
    std::string name; ///< "clusterctl-alice.service"
    std::string path;
};
/// The unit that `startup` has written for this home: of the system, or in `config_folder`.
[[nodiscard]] std::optional<InstalledUnit> find_unit(ipc::System& system, const std::string& home,
                                                     const std::string& config_folder);

/// Runs a program of PATH; what it says on stderr is the error, behind how it ended.
[[nodiscard]] std::expected<void, std::string> run_program(ipc::System& system,
                                                           const ipc::Clock& clock,
                                                           const std::vector<std::string>& words,
                                                           const ipc::Environment& environment);

/// For `systemctl --user`: with XDG_RUNTIME_DIR, which a shell of another login may lack.
[[nodiscard]] ipc::Environment with_runtime_folder(ipc::Environment environment);

/// When a unit runs the daemon of this home: asks systemd to start it. True: it runs, or will soon.
/// False: there is no such unit, or we may not start it.
[[nodiscard]] bool start_by_service(const std::string& home, const ipc::Clock& clock);

} // namespace cluster::cli
