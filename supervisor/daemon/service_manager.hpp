// systemd, when it has started us (man 3 sd_notify): hears how the guardian is, and keeps
// descriptors for the one that it starts when this one was killed (man 5 systemd.service,
// FileDescriptorStoreMax). One datagram per message, in order. What finds no room there waits here;
// nobody waits for it.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"
#include "supervisor/engine/log.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// What the environment of a service says.
struct ServiceSettings {
    std::string notify_socket;             ///< NOTIFY_SOCKET; "" nobody to tell
    std::size_t most_stored = 0;           ///< FDSTORE: so many descriptors may be stored
    int passed_fds = 0;                    ///< LISTEN_FDS, when LISTEN_PID is us: from 3 on
    std::chrono::microseconds watchdog{0}; ///< WATCHDOG_USEC, when WATCHDOG_PID is the guardian
};

/// `get` answers as man 3 getenv; `guardian` is whom systemd has started. What makes no sense is as
/// if it was not there. Pure.
[[nodiscard]] ServiceSettings
parse_service_settings(const std::function<const char*(const char*)>& get, pid_t guardian);
/// Of our own environment.
[[nodiscard]] ServiceSettings service_settings(pid_t guardian);

/// The descriptors that systemd passed; the variables that tell of them go, so that nobody whom we
/// start takes them for his.
[[nodiscard]] std::vector<ipc::UniqueFd> take_passed_fds(int count);

/// Shall a descriptor be stored when `kept` of them are kept already? Sockets have the last quarter
/// of the store for themselves: a log pipe can also be opened again through its worker. Pure.
[[nodiscard]] bool worth_storing(bool is_socket, std::size_t kept, std::size_t most_stored);

class ServiceManager {
public:
    /// Without a socket nothing here does anything.
    ServiceManager(boost::asio::io_context& loop, Log& log, ServiceSettings settings);

    [[nodiscard]] const ServiceSettings& settings() const { return settings_; }
    void tell(std::string state);
    /// A duplicate of `fd`, under its inode, if it is worth it: `kept` are kept by now.
    void store(int fd, std::size_t kept);
    void remove(std::uint64_t inode);
    /// Until all is said, half a second at most: before we end, or another program takes over.
    void finish();

private:
    struct Item {
        std::string state;
        ipc::UniqueFd fd; ///< invalid: none goes along
    };
    [[nodiscard]] bool connected() const { return unheard_ || socket_.is_open(); }
    bool listen();
    void push(Item item);
    void send_queued();
    void wait_for_room();

    Log& log_;
    ServiceSettings settings_;
    ipc::UniqueFd unheard_;                        ///< connected, and not in socket_ yet
    boost::asio::posix::stream_descriptor socket_; ///< closed: nobody to tell
    std::deque<Item> queue_;
    bool waiting_for_room_ = false;
};

} // namespace cluster::supervisor
