// The manager process: builds the real clock, system and launcher, wires supervisor, store, control
// and server together and runs the loop. Disposable: the guardian starts another one.
#pragma once

#include "ipc/base/home.hpp"

namespace cluster::supervisor {

/// Runs until it is told to stop. The exit code: 0 after `kill` or SIGTERM, else the guardian
/// starts it again.
/// `begin_empty`: nothing is brought back.
int run_manager(const ipc::HomePaths& paths, bool foreground, bool begin_empty);

} // namespace cluster::supervisor
