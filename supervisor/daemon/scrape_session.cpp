#include "supervisor/daemon/scrape_session.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Descriptor = boost::asio::posix::stream_descriptor;

constexpr milliseconds kAskWithin{5000};
constexpr milliseconds kAnswerWithin{20000};
/// What the client still sends meets an open socket: a reset would destroy the answer.
constexpr milliseconds kLinger{500};

/// As TLS says it, of a call in the clear.
TlsStep step_of(ssize_t size, TlsStep::What wants)
{
    if (size >= 0) return {.what = TlsStep::What::done, .size = static_cast<std::size_t>(size)};
    const bool again = errno == EAGAIN || errno == EINTR;
    return {.what = again ? wants : TlsStep::What::failed};
}

} // namespace

ScrapeSession::ScrapeSession(MetricsServer& server, boost::asio::io_context& loop,
                             ipc::UniqueFd socket, const std::shared_ptr<TlsServer>& tls,
                             std::string_view token)
    : server_{server}, loop_{loop}, socket_{loop, socket.get()}, wants_tls_{tls != nullptr},
      limit_{loop}, request_{token}
{
    if (tls) tls_ = tls->accept(socket.get());
    (void)socket.release();
}

void ScrapeSession::start()
{
    if (wants_tls_ && !tls_) return close();
    limit(kAskWithin, &ScrapeSession::too_slow);
    read();
}

void ScrapeSession::limit(milliseconds time, Next then)
{
    limit_.expires_after(time);
    limit_.async_wait([self = shared_from_this(), then](error_code cancelled) {
        if (!cancelled && self->phase_ != Phase::closed) (self.get()->*then)();
    });
}

void ScrapeSession::too_slow()
{
    if (wants_tls_) return close(); // who knows whether the handshake ever ends
    begin({.status = 408});
}

void ScrapeSession::close()
{
    if (std::exchange(phase_, Phase::closed) == Phase::closed) return;
    error_code ignored;
    limit_.cancel();
    tls_.reset();
    socket_.close(ignored);
    server_.forget(*this); // may be the last that holds us, but for our caller
}

void ScrapeSession::read()
{
    std::array<char, 4096> bytes;
    while (phase_ == Phase::asking) {
        const TlsStep step = receive(bytes.data(), bytes.size());
        if (step.what != TlsStep::What::done) return when_ready(step, &ScrapeSession::read);
        if (step.size == 0) return close();
        if (const auto verdict = request_.put({bytes.data(), step.size})) begin(*verdict);
    }
}

void ScrapeSession::begin(const ScrapeVerdict& verdict)
{
    phase_ = Phase::answering;
    verdict_ = verdict;
    out_ = answer_head(verdict);
    limit(kAnswerWithin, &ScrapeSession::close);
    if (verdict.status != 200) {
        ++server_.refused_;
        return write();
    }
    const auto asked = steady_clock::now();
    boost::asio::post(loop_, [self = shared_from_this(), asked] {
        if (self->phase_ == Phase::closed) return;
        const std::chrono::duration<double> waited = steady_clock::now() - asked;
        self->more_ = self->server_.answer_(waited.count());
        self->produce();
    });
}

/// One piece in each turn of the loop, and the next one when this one is out: a slow scraper costs
/// the memory of one piece.
void ScrapeSession::produce()
{
    if (phase_ != Phase::answering) return;
    std::string piece;
    const bool more = more_(piece);
    if (!piece.empty()) out_ += verdict_.chunked ? as_chunk(piece) : piece;
    if (!more) {
        more_ = {};
        ++server_.scrapes_;
        if (verdict_.chunked) out_ += as_chunk({});
    }
    write();
}

void ScrapeSession::write()
{
    while (sent_ < out_.size()) {
        const TlsStep step = send();
        if (step.what != TlsStep::What::done) return when_ready(step, &ScrapeSession::write);
        sent_ += step.size;
    }
    written();
}

void ScrapeSession::written()
{
    out_.clear();
    sent_ = 0;
    if (!more_) return linger();
    boost::asio::post(loop_, [self = shared_from_this()] { self->produce(); });
}

void ScrapeSession::linger()
{
    if (tls_) tls_->end();
    tls_.reset();
    phase_ = Phase::lingering;
    ::shutdown(socket_.native_handle(), SHUT_WR);
    limit(kLinger, &ScrapeSession::close);
    drop_input();
}

void ScrapeSession::drop_input()
{
    std::array<char, 4096> bytes;
    const TlsStep step = receive(bytes.data(), bytes.size());
    if (step.what != TlsStep::What::done) return when_ready(step, &ScrapeSession::drop_input);
    if (step.size == 0) return close();
    // One gulp per turn: whoever sends on and on must not keep us here.
    boost::asio::post(loop_, [self = shared_from_this()] {
        if (self->phase_ == Phase::lingering) self->drop_input();
    });
}

void ScrapeSession::when_ready(const TlsStep& step, Next next)
{
    if (step.what == TlsStep::What::failed) return close();
    const bool to_write = step.what == TlsStep::What::wants_write;
    const Phase asked_in = phase_;
    socket_.async_wait(to_write ? Descriptor::wait_write : Descriptor::wait_read,
                       [self = shared_from_this(), next, asked_in](error_code cancelled) {
                           if (!cancelled && self->phase_ == asked_in) (self.get()->*next)();
                       });
}

TlsStep ScrapeSession::receive(char* into, std::size_t size)
{
    if (tls_) return tls_->read(into, size);
    return step_of(::recv(socket_.native_handle(), into, size, MSG_DONTWAIT),
                   TlsStep::What::wants_read);
}

TlsStep ScrapeSession::send()
{
    const char* from = out_.data() + sent_;
    const std::size_t size = out_.size() - sent_;
    if (tls_) return tls_->write(from, size);
    return step_of(::send(socket_.native_handle(), from, size, MSG_DONTWAIT | MSG_NOSIGNAL),
                   TlsStep::What::wants_write);
}

} // namespace cluster::supervisor
