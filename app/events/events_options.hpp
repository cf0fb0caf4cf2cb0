// The settings of Socket.IO.
#pragma once

#include "app/base/environment.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace cluster::app {

struct EventsOptions {
    milliseconds ping_interval{25'000};   ///< SOCKETIO_PING_INTERVAL_MS
    milliseconds ping_timeout{20'000};    ///< SOCKETIO_PING_TIMEOUT_MS
    milliseconds connect_timeout{45'000}; ///< SOCKETIO_CONNECT_TIMEOUT_MS: to enter a namespace
    milliseconds upgrade_timeout{10'000}; ///< from the probe to the upgrade
    milliseconds request_timeout{5'000};  ///< SOCKETIO_REQUEST_TIMEOUT_MS: for other servers
    milliseconds drain{3'000};            ///< SOCKETIO_DRAIN_MS: for acknowledged events at the end
    std::size_t max_payload = 1'000'000;  ///< SOCKETIO_MAX_PAYLOAD_BYTES: of one message or poll
    std::size_t max_queue = 4'000'000;    ///< SOCKETIO_MAX_QUEUE_BYTES: unsent, of one client
    std::size_t max_clients = 20'000;     ///< SOCKETIO_MAX_CLIENTS
    std::size_t max_events = 1'000;       ///< SOCKETIO_MAX_EVENTS_PER_SECOND, of one client
    std::vector<std::string> origins{};   ///< SOCKETIO_CORS_ORIGIN: "*" alone is any; none: none
    std::vector<std::string> namespaces{"/"}; ///< SOCKETIO_NAMESPACES beside "/"
    bool auth_required = false;    ///< SOCKETIO_AUTH=required: no client without a valid token
    std::string host_folder{};     ///< DATA_DIR/events: where the processes of a host meet
    std::string key = "socket.io"; ///< SOCKETIO_REDIS_KEY: the prefix of the channels
};

/// What is wrong is told to `environment`.
[[nodiscard]] EventsOptions read_events_options(Environment& environment);

} // namespace cluster::app
