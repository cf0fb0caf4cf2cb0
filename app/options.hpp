// What clusterapp is told by its environment, checked before anything is opened. Pure: the
// environment comes in as a map, so a test needs no process.
#pragma once

#include "ipc/base/result.hpp"

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cluster::app {

using ipc::Result;
using std::chrono::milliseconds;
using Variables = std::map<std::string, std::string>; ///< environment variable → value

/// A listening socket that somebody opened for us (man 3 sd_listen_fds).
struct PassedSocket {
    int fd;
    std::string name; ///< from LISTEN_FDNAMES, "unknown" without it
    bool operator==(const PassedSocket&) const = default;
};

/// How long each wait may last. A wait without an end would let a silent client hold a connection
/// for ever.
struct Limits {
    milliseconds header{10'000}; ///< from the first byte of a request to the end of its header
    milliseconds body{30'000};   ///< for the whole body
    milliseconds idle{65'000};   ///< between two requests; above the 60 s of common proxies
    milliseconds write{30'000};  ///< for one answer
    milliseconds drain{4'000};   ///< from the first signal to the exit; below kill_timeout
    bool operator==(const Limits&) const = default;
};

struct Options {
    std::optional<int> instance;      ///< NODE_APP_INSTANCE
    std::string host;                 ///< HOST; "" is [::] dual stack, or 0.0.0.0 without IPv6
    std::uint16_t port = 3001;        ///< PORT; 0 lets the system choose
    std::vector<PassedSocket> passed; ///< when there are any, host and port do not matter
    std::string notify_socket;        ///< NOTIFY_SOCKET; "" tells nobody
    Limits limits;
};

/// Sockets passed to process `self`. LISTEN_PID of another process means that the sockets were
/// meant for it: none. Errors: a LISTEN_FDS that is no count, or names that do not match it.
[[nodiscard]] Result<std::vector<PassedSocket>> parse_listen_fds(const Variables& variables,
                                                                 pid_t self);

/// Errors name the variable, what is allowed and what was found.
[[nodiscard]] Result<Options> parse_options(const Variables& variables, pid_t self);

/// The environment of this process; of a name that stands twice the first counts (as getenv).
[[nodiscard]] Variables read_environment(const char* const* block);

} // namespace cluster::app
