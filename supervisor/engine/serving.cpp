#include "supervisor/engine/serving.hpp"

#include "supervisor/engine/node_saved.hpp"

#include <boost/asio/post.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using nlohmann::json;
using std::chrono::milliseconds;

bool reads_log(const std::optional<ipc::Probe>& probe)
{
    return probe && probe->kind == ipc::Probe::Kind::log;
}

} // namespace

/// What is saved, but for the notify socket.
struct Serving::Past {
    std::optional<milliseconds> started_at;
    milliseconds ready_by{0};
    bool needs_message = false, needs_answer = false, needs_listening = false;
    std::string status;
};

Serving::Serving(boost::asio::io_context& loop, const ipc::Clock& clock, Keeper& keeper,
                 std::shared_ptr<const ipc::AppSpec> spec, Calls calls)
    : loop_{loop}, clock_{clock}, keeper_{keeper}, spec_{std::move(spec)}, calls_{std::move(calls)},
      limit_{loop}, watchdog_{loop}
{
}

bool Serving::is_wanted(const ipc::AppSpec& spec)
{
    return spec.declares_readiness() || spec.health || spec.watchdog > milliseconds{0};
}

ipc::Result<std::string> Serving::open_notify_socket(uid_t worker)
{
    if (!spec_->wait_ready && spec_->watchdog == milliseconds{0}) return std::string{};
    auto socket = NotifySocket::open(loop_, keeper_, worker,
                                     [this](const NotifyMessage& message) { on_notify(message); });
    if (!socket) return std::unexpected(socket.error());
    notify_ = std::move(*socket);
    return notify_->address();
}

void Serving::start(Means means, bool must_listen)
{
    need_all(must_listen);
    begin(std::move(means));
    changed();
}

void Serving::need_all(bool must_listen)
{
    started_at_ = clock_.now();
    needs_message_ = spec_->wait_ready;
    needs_answer_ = spec_->ready.has_value();
    needs_listening_ = must_listen;
    ready_by_ = *started_at_ + spec_->ready_limit();
}

/// Asks what there is to be asked, and waits for what has not been said yet.
void Serving::begin(Means means)
{
    health_means_.emplace(std::move(means.health));
    if (needs_answer_)
        ready_probe_ = std::make_unique<Prober>(
            loop_, clock_, *spec_->ready, std::move(means.ready),
            [this](bool good, const std::string& why) { on_ready_answer(good, why); });
    if (!needs_message_ && !needs_answer_ && !needs_listening_) return look();
    expect_ready_by(ready_by_);
}

json Serving::saved() const
{
    json all{{"ready_by", ready_by_.count()},
             {"message", needs_message_},
             {"answer", needs_answer_},
             {"listening", needs_listening_},
             {"status", status_}};
    if (started_at_) all["started_at"] = started_at_->count();
    if (notify_) all["notify"] = notify_->saved();
    return all;
}

std::optional<Serving::Past> Serving::read(const json& saved)
{
    SavedObject from{saved};
    Past past{.started_at = {},
              .ready_by = milliseconds{from.number<milliseconds::rep>("ready_by")},
              .needs_message = from.flag("message"),
              .needs_answer = from.flag("answer"),
              .needs_listening = from.flag("listening"),
              .status = from.text("status")};
    const milliseconds started_at{from.number<milliseconds::rep>("started_at")};
    (void)from.object("notify");
    if (!from.good()) return std::nullopt;
    if (saved.contains("started_at")) past.started_at = started_at;
    return past;
}

ipc::Result<void> Serving::resume(const json& saved, KeptFds& kept, Means means, bool must_listen,
                                  bool is_ready, bool heard)
{
    const auto past = read(saved);
    if (!past) return ipc::fail(EINVAL, "what is saved of a worker's readiness");
    ipc::Result<void> result;
    if (const auto notify = saved.find("notify"); notify != saved.end()) {
        auto socket =
            NotifySocket::restore(loop_, keeper_, *notify, kept,
                                  [this](const NotifyMessage& message) { on_notify(message); });
        if (socket)
            notify_ = std::move(*socket);
        else
            result = std::unexpected(socket.error());
    }
    status_ = past->status;
    if (past->started_at) {
        started_at_ = past->started_at;
        ready_by_ = past->ready_by;
        needs_message_ = past->needs_message;
        needs_answer_ = past->needs_answer && spec_->ready;
        needs_listening_ = past->needs_listening;
    } else {
        need_all(must_listen);
    }
    ready_ = is_ready;
    if (!heard) needs_message_ = false;
    if (is_ready) needs_message_ = needs_answer_ = needs_listening_ = false;
    begin(std::move(means));
    if (is_ready) begin_health();
    return result;
}

void Serving::changed() const
{
    if (calls_.changed) calls_.changed();
}

/// This is no longer waited for.
void Serving::settle(bool& need)
{
    if (std::exchange(need, false)) changed();
    look();
}

void Serving::expect_ready_within(milliseconds limit)
{
    expect_ready_by(clock_.now() + limit);
    changed();
}

void Serving::expect_ready_by(milliseconds when)
{
    ready_by_ = when;
    limit_.expires_after(std::max(when - clock_.now(), milliseconds{0}));
    limit_.async_wait([this, alive = std::weak_ptr{alive_}](error_code cancelled) {
        if (cancelled || alive.expired() || ready_) return;
        const auto overdue = calls_.overdue; // it may end this object
        overdue(missing());
    });
}

void Serving::said_ready()
{
    settle(needs_message_);
}

void Serving::listens()
{
    settle(needs_listening_);
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
        judge_ready(readiness_, {.good = good, .why = why, .age = clock_.now() - *started_at_});
    readiness_ = next.health;
    if (next.verdict != HealthVerdict::ready) return;
    settle(needs_answer_);
}

void Serving::on_health_answer(bool good, const std::string& why)
{
    const HealthStep next = judge_health(
        health_, {.good = good, .why = why, .age = clock_.now() - *started_at_}, *spec_->health);
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
