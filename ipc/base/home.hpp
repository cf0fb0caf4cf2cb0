// Where one daemon keeps everything: $CLUSTER_HOME. Many daemons live side by side, one per home.
#pragma once

#include "ipc/base/result.hpp"

#include <string>

namespace cluster::ipc {

/// $CLUSTER_HOME, else $HOME/.clusterctl, else /etc/.clusterctl (PM2's order); absolute, no
/// trailing slash.
std::string cluster_home();

/// The files below a home. The folder is 0700, the socket 0600.
struct HomePaths {
    explicit HomePaths(std::string home);

    std::string home;
    std::string socket; ///< clusterd.sock
    std::string lock;   ///< clusterd.lock: held by flock(2) as long as a guardian or manager lives
    std::string pid;    ///< clusterd.pid: the guardian's pid, for people and scripts
    std::string log;    ///< clusterd.log
    std::string state;  ///< state.json: what is wanted
    std::string settings; ///< settings.json: of the daemon as a whole
    std::string journal;  ///< of what runs, for the next manager
    std::string logs;     ///< logs/
    std::string pids;     ///< pids/
};

/// Checks that the socket path fits into sockaddr_un (man 7 unix: 107 bytes). Errors name it.
Result<void> check_socket_path(const std::string& path);

} // namespace cluster::ipc
