// Finds the daemon of a home, and starts one when there is none. Many commands at once end with one
// daemon: clusterd itself decides by its lock, the others of the race wait for that one's socket.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/net/client.hpp"

#include <expected>
#include <functional>
#include <optional>
#include <string>

namespace cluster::cli {

/// What a daemon that is started brings back.
enum class Beginning { restored, empty };

/// Connects to the daemon of `home`; spawns `clusterd` when nobody listens there, and gives up
/// after 10 s. `on_start` is called once, before the first spawn. The error is text for a person:
/// what was tried, what was seen, where the daemon's log is.
[[nodiscard]] std::expected<ipc::Client, std::string>
connect_or_start(const std::string& home, const ipc::Clock& clock,
                 const std::function<void()>& on_start, Beginning beginning);

/// Starts a daemon of `home` that belongs to this process: it ends when we do, and the output of
/// its workers waits until we take it (supervisor/daemon/attended.hpp). Error: text for a person;
/// also when another daemon serves that home.
[[nodiscard]] std::expected<ipc::Client, std::string>
start_attended(const std::string& home, const ipc::Clock& clock, Beginning beginning);

/// Connects to a daemon that comes back by itself and answers; starts none. Empty when there is
/// none after 2 s, or at once when it has ended on purpose.
[[nodiscard]] std::optional<ipc::Client> connect_again(const std::string& home,
                                                       const ipc::Clock& clock);

/// True when nobody listens: no socket, or one that a dead daemon left behind.
[[nodiscard]] bool means_no_daemon(const ipc::Error& error);

/// The clusterd to run: $CLUSTERD, else the one beside this program, else the one in PATH; "" when
/// there is none.
[[nodiscard]] std::string find_clusterd();

} // namespace cluster::cli
