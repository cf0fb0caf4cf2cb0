#include "supervisor/engine/serving.hpp"

#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using std::chrono::milliseconds;

bool reads_log(const std::optional<ipc::Probe>& probe)
{
    return probe && probe->kind == ipc::Probe::Kind::log;
}

} // namespace

Serving::Serving(boost::asio::io_context& loop, const ipc::Clock& clock,
                 std::shared_ptr<const ipc::AppSpec> spec, Calls calls)
    : loop_{loop}, clock_{clock}, spec_{std::move(spec)}, calls_{std::move(calls)}, limit_{loop},
      watchdog_{loop}
{
}

bool Serving::is_wanted(const ipc::AppSpec& spec)
{
    return spec.declares_readiness() || spec.health || spec.watchdog > milliseconds{0};
}

ipc::Result<std::string> Serving::open_notify_socket(uid_t worker)
{
    if (!spec_->wait_ready && spec_->watchdog == milliseconds{0}) return std::string{};
    auto socket = NotifySocket::open(loop_, worker,
                                     [this](const NotifyMessage& message) { on_notify(message); });
    if (!socket) return std::unexpected(socket.error());
    notify_ = std::move(*socket);
    return notify_->address();
}

void Serving::start(Means means, bool must_listen)
{
    started_at_ = clock_.now();
    needs_message_ = spec_->wait_ready;
    needs_answer_ = spec_->ready.has_value();
    needs_listening_ = must_listen;
    health_means_.emplace(std::move(means.health));
    if (spec_->ready)
        ready_probe_ = std::make_unique<Prober>(
            loop_, clock_, *spec_->ready, std::move(means.ready),
            [this](bool good, const std::string& why) { on_ready_answer(good, why); });
    if (!needs_message_ && !needs_answer_ && !needs_listening_) return look();
    expect_ready_within(spec_->ready_limit());
}

void Serving::expect_ready_within(milliseconds limit)
{
    limit_.expires_after(limit);
    limit_.async_wait([this, alive = std::weak_ptr{alive_}](error_code cancelled) {
        if (cancelled || alive.expired() || ready_) return;
        const auto overdue = calls_.overdue; // it may end this object
        overdue(missing());
    });
}

void Serving::said_ready()
{
    needs_message_ = false;
    look();
}

void Serving::listens()
{
    needs_listening_ = false;
    look();
}

void Serving::on_output(StreamKind stream, std::string_view bytes)
{
    if (ready_probe_ && reads_log(spec_->ready)) ready_probe_->on_output(stream, bytes);
    if (health_probe_ && reads_log(spec_->health)) health_probe_->on_output(stream, bytes);
}

bool Serving::reads_output() const
{
    return reads_log(spec_->ready) || reads_log(spec_->health);
}

std::string Serving::health() const
{
    return spec_->health ? health_text(health_, *spec_->health) : "";
}

void Serving::on_notify(const NotifyMessage& message)
{
    if (message.status) status_ = *message.status;
    if (message.watchdog && ready_) feed_watchdog();
    if (message.watchdog_trigger) sick_later("watchdog: it asked for a restart (WATCHDOG=trigger)");
    // man 3 sd_notify: counted from now on.
    if (message.extend && !ready_) expect_ready_within(*message.extend);
    if (message.ready) said_ready();
}

void Serving::on_ready_answer(bool good, const std::string& why)
{
    const HealthStep next =
        judge_ready(readiness_, {.good = good, .why = why, .age = clock_.now() - started_at_});
    readiness_ = next.health;
    if (next.verdict != HealthVerdict::ready) return;
    needs_answer_ = false;
    look();
}

void Serving::on_health_answer(bool good, const std::string& why)
{
    const HealthStep next = judge_health(
        health_, {.good = good, .why = why, .age = clock_.now() - started_at_}, *spec_->health);
    health_ = next.health;
    if (next.verdict == HealthVerdict::unhealthy) sick_later("health: " + health());
}

void Serving::look()
{
    if (needs_message_ || needs_answer_ || needs_listening_ || std::exchange(ready_, true)) return;
    limit_.cancel();
    begin_health();
    // A prober may be in the middle of the call that brought us here.
    call_later([this] {
        ready_probe_.reset();
        const auto ready = calls_.ready; // it may end this object
        ready();
    });
}

void Serving::begin_health()
{
    if (spec_->watchdog > milliseconds{0}) feed_watchdog();
    if (!spec_->health) return;
    health_probe_ = std::make_unique<Prober>(
        loop_, clock_, *spec_->health, std::move(*health_means_),
        [this](bool good, const std::string& why) { on_health_answer(good, why); });
}

void Serving::feed_watchdog()
{
    if (spec_->watchdog == milliseconds{0}) return;
    watchdog_.expires_after(spec_->watchdog);
    watchdog_.async_wait([this, alive = std::weak_ptr{alive_}](error_code cancelled) {
        if (cancelled || alive.expired()) return;
        sick_later(fmt::format("watchdog: no WATCHDOG=1 for {} ms", spec_->watchdog.count()));
    });
}

void Serving::call_later(std::function<void()> what)
{
    boost::asio::post(loop_, [alive = std::weak_ptr{alive_}, what = std::move(what)] {
        if (!alive.expired()) what();
    });
}

void Serving::sick_later(std::string why)
{
    call_later([this, why = std::move(why)] {
        const auto sick = calls_.sick; // it may end this object
        sick(why);
    });
}

/// What is still waited for, in words.
std::string Serving::missing() const
{
    if (needs_answer_) return readiness_.why.empty() ? "no answer to its probe" : readiness_.why;
    if (needs_message_) return "it has not said that it is ready";
    return "it does not listen";
}

} // namespace cluster::supervisor
