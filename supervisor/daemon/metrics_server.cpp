#include "supervisor/daemon/metrics_server.hpp"

#include "supervisor/daemon/scrape_session.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <fmt/format.h>

#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kMaxConnections = 16;
constexpr std::chrono::milliseconds kTryAgain{1000};
constexpr std::chrono::milliseconds kAcceptPause{100}; ///< after a want of descriptors
constexpr int kBacklog = 32;

/// Of a text that `put_listen` (settings.cpp) has accepted.
tcp::endpoint endpoint_of(const std::string& address)
{
    const auto colon = address.rfind(':');
    std::string host = address.substr(0, colon);
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    error_code ignored;
    return {boost::asio::ip::make_address(host, ignored),
            static_cast<std::uint16_t>(std::stoul(address.substr(colon + 1)))};
}

/// "127.0.0.1:9209", also where the system has chosen the port.
std::string bound_address(int fd)
{
    tcp::endpoint endpoint;
    auto size = static_cast<socklen_t>(endpoint.capacity());
    if (::getsockname(fd, endpoint.data(), &size) != 0) return {};
    endpoint.resize(size);
    const std::string host = endpoint.address().to_string();
    return fmt::format("{}:{}", endpoint.address().is_v6() ? '[' + host + ']' : host,
                       endpoint.port());
}

ipc::Result<ipc::UniqueFd> listen_at(const std::string& address)
{
    const tcp::endpoint endpoint = endpoint_of(address);
    const std::string what = "listen at " + address + " for metrics";
    ipc::UniqueFd socket{
        ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!socket) return ipc::fail(errno, what);
    const int yes = 1; // connections of a manager before us may be in TIME_WAIT
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (::bind(socket.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0 ||
        ::listen(socket.get(), kBacklog) != 0)
        return ipc::fail(errno, what);
    return socket;
}

std::int64_t changed_at(const std::string& path)
{
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0) return 0;
    return about.st_mtim.tv_sec * 1'000'000'000 + about.st_mtim.tv_nsec;
}

} // namespace

bool is_loopback(const std::string& address)
{
    return endpoint_of(address).address().is_loopback();
}

MetricsServer::MetricsServer(boost::asio::io_context& loop, Log& log, Answer answer)
    : loop_{loop}, log_{log}, answer_{std::move(answer)}, again_{loop}
{
}

MetricsServer::~MetricsServer() = default;

void MetricsServer::apply(const MetricsSettings& settings)
{
    if (settings == settings_) return;
    settings_ = settings;
    close();
    if (!settings_.listen.empty()) open();
}

void MetricsServer::close()
{
    again_.cancel();
    listener_.reset();
    tls_.reset();
    address_.clear();
    fault_.clear();
}

void MetricsServer::open()
{
    if (const auto opened = try_to_open(); !opened) {
        const std::string fault = opened.error().text();
        if (fault != fault_) log_.error(fault + "; it is tried again every second");
        fault_ = fault;
        again_.expires_after(kTryAgain);
        again_.async_wait([this](error_code cancelled) {
            if (!cancelled) open();
        });
        return;
    }
    fault_.clear();
    log_.info(fmt::format("metrics: {}://{}/metrics", tls_ ? "https" : "http", address_));
    if (settings_.token.empty() && !is_loopback(settings_.listen))
        log_.warn("metrics: whoever reaches " + address_ +
                  " may read them; `clusterctl set metrics.token TOKEN` asks for a token");
    accept();
}

ipc::Result<void> MetricsServer::try_to_open()
{
    if (!settings_.tls_cert.empty()) {
        tls_stamp_ = tls_stamp();
        auto loaded = TlsServer::load(settings_.tls_cert, settings_.tls_key);
        if (!loaded) return std::unexpected(loaded.error());
        tls_ = std::move(*loaded);
    }
    auto socket = listen_at(settings_.listen);
    if (!socket) return std::unexpected(socket.error());
    address_ = bound_address(socket->get());
    listener_.emplace(loop_, socket->release());
    return {};
}

void MetricsServer::accept()
{
    listener_->async_wait(
        boost::asio::posix::stream_descriptor::wait_read, [this](error_code cancelled) {
            if (cancelled || !listener_) return;
            ipc::UniqueFd socket{::accept4(listener_->native_handle(), nullptr, nullptr,
                                           SOCK_CLOEXEC | SOCK_NONBLOCK)};
            const int error = socket ? 0 : errno;
            if (socket) take(std::move(socket));
            const bool shortage =
                error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
            shortage ? accept_later() : accept();
        });
}

void MetricsServer::accept_later()
{
    again_.expires_after(kAcceptPause);
    again_.async_wait([this](error_code cancelled) {
        if (!cancelled && listener_) accept();
    });
}

void MetricsServer::take(ipc::UniqueFd socket)
{
    if (sessions_.size() >= kMaxConnections && !make_room()) {
        ++refused_;
        return;
    }
    renew_tls();
    auto session =
        std::make_shared<ScrapeSession>(*this, loop_, std::move(socket), tls_, settings_.token);
    sessions_.push_back(session);
    session->start();
}

/// Whoever has been asking longest is the least likely to mean it.
bool MetricsServer::make_room()
{
    const auto slow =
        std::ranges::find_if(sessions_, &ScrapeSession::asking,
                             [](const auto& session) -> ScrapeSession& { return *session; });
    if (slow == sessions_.end()) return false;
    ++refused_;
    const std::shared_ptr<ScrapeSession> leaves = *slow;
    leaves->close();
    return true;
}

void MetricsServer::forget(const ScrapeSession& session)
{
    std::erase_if(sessions_, [&](const auto& known) { return known.get() == &session; });
}

std::int64_t MetricsServer::tls_stamp() const
{
    return changed_at(settings_.tls_cert) ^ (changed_at(settings_.tls_key) << 1U);
}

/// Certificates are renewed under us. One that is not whole yet is looked at with the next
/// connection.
void MetricsServer::renew_tls()
{
    if (!tls_ || tls_stamp() == tls_stamp_) return;
    auto loaded = TlsServer::load(settings_.tls_cert, settings_.tls_key);
    if (!loaded) return log_.warn("metrics: " + loaded.error().text() + "; the old one stays");
    tls_stamp_ = tls_stamp();
    tls_ = std::move(*loaded);
    log_.info("metrics: the certificate was renewed");
}

} // namespace cluster::supervisor
