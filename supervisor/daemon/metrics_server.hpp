// The listener for Prometheus: off unless `metrics.listen` is set, then one GET /metrics per
// connection, in the clear or by TLS, with a token or without.
//
// No scraper can harm us: at most 16 connections (when all are taken, the one that has been asking
// longest makes room), 8 KiB of header, 5 s to ask and 20 s to take the answer, which is made piece
// by piece as it is taken, a turn of the loop for each.
//
// An address that cannot be had is told once, and tried again every second: after a kill -9 of the
// manager the old socket may be there for a moment.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"
#include "ipc/net/server.hpp"
#include "supervisor/daemon/settings.hpp"
#include "supervisor/engine/log.hpp"
#include "supervisor/sys/tls.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cluster::supervisor {

class ScrapeSession;

class MetricsServer {
public:
    /// Begins one answer; `waited_s`: for its turn in the loop.
    using Answer = std::function<ipc::Producer(double waited_s)>;

    MetricsServer(boost::asio::io_context& loop, Log& log, Answer answer);
    ~MetricsServer();

    /// From now on. What is under way ends as it began.
    void apply(const MetricsSettings& settings);
    void stop() { apply({}); }

    /// "127.0.0.1:9209"; "" nobody listens.
    [[nodiscard]] const std::string& address() const { return address_; }
    /// Why nobody listens though somebody should; "" all is well.
    [[nodiscard]] const std::string& fault() const { return fault_; }
    [[nodiscard]] std::uint64_t scrapes() const { return scrapes_; }
    [[nodiscard]] std::uint64_t refused() const { return refused_; }

private:
    friend class ScrapeSession;
    void open();
    ipc::Result<void> try_to_open();
    void close();
    void accept();
    void accept_later();
    void take(ipc::UniqueFd socket);
    bool make_room();
    void forget(const ScrapeSession& session);
    void renew_tls();
    [[nodiscard]] std::int64_t tls_stamp() const;

    boost::asio::io_context& loop_;
    Log& log_;
    Answer answer_;
    MetricsSettings settings_;
    std::optional<boost::asio::posix::stream_descriptor> listener_;
    boost::asio::steady_timer again_;
    std::shared_ptr<TlsServer> tls_;
    std::int64_t tls_stamp_ = 0; ///< of the files that `tls_` was loaded from
    std::string address_, fault_;
    std::vector<std::shared_ptr<ScrapeSession>> sessions_; ///< oldest first
    std::uint64_t scrapes_ = 0, refused_ = 0;
};

/// Reachable from this machine only.
[[nodiscard]] bool is_loopback(const std::string& address);

} // namespace cluster::supervisor
