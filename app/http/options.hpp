// What the HTTP side of the server is told by its environment, checked before anything is opened.
#pragma once

#include "app/base/environment.hpp"
#include "app/http/client_address.hpp"

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cluster::app {

/// A listening socket that somebody opened for us (man 3 sd_listen_fds).
struct PassedSocket {
    int fd;
    std::string name; ///< from LISTEN_FDNAMES, "unknown" without it
    bool operator==(const PassedSocket&) const = default;
};

/// How long each wait may last, and how much a stranger may send. A wait without an end would let a
/// silent client hold a connection for ever.
struct Limits {
    milliseconds header{10'000}; ///< from the first byte of a request to the end of its header
    milliseconds body{30'000};   ///< for the whole body; of a streamed one for each piece
    milliseconds idle{65'000};   ///< between two requests; above the 60 s of common proxies
    milliseconds write{30'000};  ///< for one answer; of a streamed one for each piece
    milliseconds drain{4'000};   ///< from the first signal to the exit; below kill_timeout
    milliseconds drain_delay{0}; ///< not ready, but still accepting: for balancers to notice
    std::size_t header_bytes = 8U << 10U;
    std::size_t body_bytes = 1U << 20U; ///< not of a streamed one
    std::size_t connections = 10'000;
    bool operator==(const Limits&) const = default;
};

struct HttpOptions {
    std::optional<int> instance;      ///< NODE_APP_INSTANCE
    std::string host;                 ///< HOST; "" is [::] dual stack, or 0.0.0.0 without IPv6
    std::uint16_t port = 3001;        ///< PORT; 0 lets the system choose
    std::vector<PassedSocket> passed; ///< when there are any, host and port do not matter
    std::string notify_socket;        ///< NOTIFY_SOCKET; "" tells nobody
    bool access_log = true;           ///< ACCESS_LOG
    TrustedProxies trusted;           ///< TRUST_PROXY
    Limits limits;
};

/// `self` is our process id: with a LISTEN_PID of another process the sockets were meant for it.
[[nodiscard]] HttpOptions read_http_options(Environment& environment, pid_t self);

} // namespace cluster::app
