#include "supervisor/daemon/service_manager.hpp"

#include "ipc/base/notify.hpp"
#include "ipc/base/text.hpp"
#include "supervisor/sys/fd_passing.hpp"
#include "supervisor/sys/keeper.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <span>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using Socket = boost::asio::posix::stream_descriptor;

constexpr int kFirstPassed = 3; ///< man 3 sd_listen_fds
constexpr int kMostPassed = 65536;
constexpr int kFinishMs = 500;

template <class Number>
std::optional<Number> number(const char* text)
{
    return text ? ipc::parse_number<Number>(text) : std::nullopt;
}

bool is_socket(int fd)
{
    struct stat about{};
    return ::fstat(fd, &about) == 0 && S_ISSOCK(about.st_mode);
}

} // namespace

ServiceSettings parse_service_settings(const std::function<const char*(const char*)>& get,
                                       pid_t guardian)
{
    ServiceSettings settings;
    if (const char* socket = get("NOTIFY_SOCKET")) settings.notify_socket = socket;
    settings.most_stored = number<std::size_t>(get("FDSTORE")).value_or(0);
    if (number<pid_t>(get("LISTEN_PID")) == guardian) {
        const int count = number<int>(get("LISTEN_FDS")).value_or(0);
        if (count > 0 && count <= kMostPassed) settings.passed_fds = count;
    }
    const auto watched = number<pid_t>(get("WATCHDOG_PID"));
    if (!watched || watched == guardian) {
        const auto limit = number<std::int64_t>(get("WATCHDOG_USEC")).value_or(0);
        settings.watchdog = std::chrono::microseconds{std::max<std::int64_t>(limit, 0)};
    }
    return settings;
}

ServiceSettings service_settings(pid_t guardian)
{
    return parse_service_settings([](const char* name) { return std::getenv(name); }, guardian);
}

std::vector<ipc::UniqueFd> take_passed_fds(int count)
{
    std::vector<ipc::UniqueFd> fds;
    for (int fd = kFirstPassed; fd < kFirstPassed + count; ++fd) {
        if (::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) continue; // it is not there
        fds.emplace_back(fd);
    }
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
        ::unsetenv(name);
    return fds;
}

bool worth_storing(bool is_socket, std::size_t kept, std::size_t most_stored)
{
    return kept < (is_socket ? most_stored : most_stored / 4 * 3);
}

ServiceManager::ServiceManager(boost::asio::io_context& loop, Log& log, ServiceSettings settings)
    : log_{log}, settings_{std::move(settings)}, socket_{loop}
{
    if (settings_.notify_socket.empty()) return;
    auto socket = ipc::connect_notify(settings_.notify_socket);
    if (!socket) {
        log_.warn(socket.error().text());
        return;
    }
    unheard_ = std::move(*socket);
    listen();
}

/// Tried again with each word, if the kernel has no room for it: it must not be lost that we are
/// ready.
bool ServiceManager::listen()
{
    if (!unheard_) return socket_.is_open();
    error_code refused;
    socket_.assign(unheard_.get(), refused);
    if (!refused) (void)unheard_.release();
    return !refused;
}

void ServiceManager::tell(std::string state)
{
    push({.state = std::move(state), .fd = ipc::UniqueFd{}});
}

void ServiceManager::store(int fd, std::size_t kept)
{
    if (!connected() || !worth_storing(is_socket(fd), kept, settings_.most_stored)) return;
    // Ours may be closed before there is room for it.
    ipc::UniqueFd copy{::fcntl(fd, F_DUPFD_CLOEXEC, 0)};
    if (!copy) return;
    push({.state = fmt::format("FDSTORE=1\nFDNAME={}", inode_of(fd)), .fd = std::move(copy)});
}

void ServiceManager::remove(std::uint64_t inode)
{
    if (settings_.most_stored == 0) return;
    tell(fmt::format("FDSTOREREMOVE=1\nFDNAME={}", inode));
}

void ServiceManager::push(Item item)
{
    if (!connected()) return;
    queue_.push_back(std::move(item));
    if (!waiting_for_room_ && listen()) send_queued();
}

void ServiceManager::send_queued()
{
    while (!queue_.empty()) {
        const Item& item = queue_.front();
        const int fd = item.fd.get();
        const auto fds = item.fd ? std::span{&fd, 1} : std::span<const int>{};
        if (auto sent = send_message(socket_.native_handle(), item.state, fds); !sent) {
            if (sent.error().code == std::errc::resource_unavailable_try_again)
                return wait_for_room();
            log_.warn(fmt::format("notify {}: {}", settings_.notify_socket, sent.error().text()));
        }
        queue_.pop_front();
    }
}

void ServiceManager::wait_for_room()
{
    if (std::exchange(waiting_for_room_, true)) return;
    socket_.async_wait(Socket::wait_write, [this](error_code cancelled) {
        waiting_for_room_ = false;
        if (!cancelled) send_queued();
    });
}

void ServiceManager::finish()
{
    if (!listen()) return;
    pollfd room{.fd = socket_.native_handle(), .events = POLLOUT, .revents = 0};
    while (!queue_.empty() && ::poll(&room, 1, kFinishMs) > 0)
        send_queued();
}

} // namespace cluster::supervisor
