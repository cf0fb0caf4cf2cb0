// The text of systemd units: one that runs clusterd for a home, and one that runs the apps of a
// file alone. Pure: values in, text out (man 5 systemd.unit, systemd.service, systemd.exec).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::cli {

/// One argument of an ExecStart= line: quoted where it has to be, `%` and `$` mean themselves.
[[nodiscard]] std::string exec_argument(std::string_view word);
/// Its first word, where systemd expands no variables.
[[nodiscard]] std::string exec_program(std::string_view path);
/// The value of an Environment= line: one assignment.
[[nodiscard]] std::string environment_assignment(std::string_view name, std::string_view value);
/// Text in which `%` means itself: for Description= and the like. Control characters become blanks.
[[nodiscard]] std::string plain_value(std::string_view text);
/// A word as a shell takes it, quoted where it has to be.
[[nodiscard]] std::string shell_word(std::string_view word);
/// A PATH for a service: relative entries mean nothing there and are left out, the usual folders
/// stand at its end.
[[nodiscard]] std::string service_path(std::string_view path);
/// "api.service" for "api" and "api.service". Empty when systemd would not take it as a name.
[[nodiscard]] std::optional<std::string> service_name(std::string_view word);
/// `text` with a dash for each character that a name may not have.
[[nodiscard]] std::string as_unit_name(std::string_view text);

/// Whose systemd runs a unit.
enum class Scope { system, user };

/// A unit that runs clusterd. Paths are absolute.
struct DaemonUnit {
    Scope scope = Scope::system;
    std::string user;     ///< whom it runs as; a user's own systemd runs as nobody else
    std::string home;     ///< CLUSTER_HOME
    std::string path;     ///< PATH of the workers
    std::string clusterd; ///< the programs
    std::string clusterctl;
    bool wait_ip = false;  ///< not before the network is configured
    bool hardened = false; ///< a sandbox, which the workers are in as well
};
[[nodiscard]] std::string daemon_unit_text(const DaemonUnit& unit);

/// The home that a unit of ours serves, from its text; empty for anybody else's unit.
[[nodiscard]] std::optional<std::string> home_in_unit(std::string_view text);

/// A unit that runs the apps of one ecosystem file in a daemon of their own.
struct FileUnit {
    Scope scope = Scope::system;
    std::string name; ///< "api.service"
    std::string user; ///< "" root's, or the user's own
    std::string path;
    std::string clusterctl;
    std::string file; ///< absolute
    std::string folder;
    std::string env_name; ///< --env; "" none
    std::vector<std::string> apps;
    int stop_seconds = 90; ///< until systemd loses its patience
};
[[nodiscard]] std::string file_unit_text(const FileUnit& unit);

} // namespace cluster::cli
