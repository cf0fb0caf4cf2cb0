// One connection of a scraper: asks, gets its answer, and is closed.
#pragma once

#include "supervisor/daemon/metrics_server.hpp"
#include "supervisor/daemon/scrape_request.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <memory>
#include <string>

namespace cluster::supervisor {

class ScrapeSession : public std::enable_shared_from_this<ScrapeSession> {
public:
    /// `tls` null: in the clear.
    ScrapeSession(MetricsServer& server, boost::asio::io_context& loop, ipc::UniqueFd socket,
                  const std::shared_ptr<TlsServer>& tls, std::string_view token);

    void start();
    /// It has not asked all of its question.
    [[nodiscard]] bool asking() const { return phase_ == Phase::asking; }
    void close();

private:
    enum class Phase { asking, answering, lingering, closed };
    using Next = void (ScrapeSession::*)();

    void limit(std::chrono::milliseconds time, Next then);
    void too_slow();
    void read();
    void begin(const ScrapeVerdict& verdict);
    void produce();
    void write();
    void written();
    void linger();
    void drop_input();
    /// `next` when the socket is as `step` wants it; closes when it has failed.
    void when_ready(const TlsStep& step, Next next);
    TlsStep receive(char* into, std::size_t size);
    TlsStep send();

    MetricsServer& server_;
    boost::asio::io_context& loop_;
    boost::asio::posix::stream_descriptor socket_;
    std::unique_ptr<TlsConnection> tls_;
    bool wants_tls_;
    boost::asio::steady_timer limit_;
    ScrapeRequest request_;
    Phase phase_ = Phase::asking;
    ScrapeVerdict verdict_;
    ipc::Producer more_; ///< of the answer; empty: `out_` is all
    std::string out_;
    std::size_t sent_ = 0; ///< of `out_`
};

} // namespace cluster::supervisor
