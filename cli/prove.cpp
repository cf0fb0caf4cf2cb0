#include "cli/prove.hpp"

#include "cli/process_view.hpp"
#include "cli/prove_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kFreshClients = 4;
constexpr std::size_t kKeptClients = 2;
constexpr auto kRequestLimit = 10s; ///< as long as an answer may take when a worker drains
constexpr auto kMeasure = 300ms;    ///< of the time before and after the reload, at least

} // namespace

Prover::Prover(ProveTarget target, ipc::System& system)
    : target_{std::move(target)}, system_{system}, origin_{std::chrono::steady_clock::now()},
      answered_(target_.addresses.size())
{
    for (const ProbeAddress& address : target_.addresses)
        log_.addresses.push_back(address.text);
    log_.path = target_.path;
    log_.rate = target_.rate;
    log_.fresh_clients = kFreshClients;
    log_.kept_clients = kKeptClients;
}

Prover::~Prover()
{
    stop();
}

microseconds Prover::now() const
{
    return std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now() - origin_);
}

std::size_t Prover::clients() const
{
    return kFreshClients + kKeptClients;
}

std::expected<void, std::string> Prover::start()
{
    for (std::size_t number = 0; number < clients(); ++number)
        threads_.emplace_back([this, number] { run(number, number >= kFreshClients); });
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return asked_ == clients(); });
    for (std::size_t i = 0; i < answered_.size(); ++i)
        if (!answered_[i].yes)
            return std::unexpected(fmt::format(
                "nothing can be proven: {} did not answer a request for {} before the reload ({})",
                log_.addresses[i], log_.path, answered_[i].fault));
    changed_.wait_for(lock, kMeasure, [] { return false; });
    log_.counters_before = read_counters(system_);
    return {};
}

void Prover::reload_begins()
{
    log_.begin = log_.end = now();
}

void Prover::note_progress(const json& params)
{
    const json process = params.value("process", json::object());
    std::string phase = member_text(params, "phase");
    if (phase.empty()) phase = member_text(process, "status");
    log_.phases.push_back({now(), fmt::format("[{}]({}) {}", member_text(process, "name"),
                                              member_text(process, "id"), phase)});
}

void Prover::reload_ends()
{
    log_.end = now();
}

ProveLog Prover::finish()
{
    {
        std::unique_lock lock{mutex_};
        changed_.wait_for(lock, kMeasure, [] { return false; });
    }
    stop();
    log_.counters_after = read_counters(system_);
    std::ranges::sort(log_.requests, {}, &ProvedRequest::end);
    return std::move(log_);
}

void Prover::stop()
{
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
    }
    changed_.notify_all();
    threads_.clear(); // joins
}

/// False when it is time to leave.
bool Prover::wait_until(Time when)
{
    std::unique_lock lock{mutex_};
    return !changed_.wait_until(lock, when, [this] { return stopping_; });
}

void Prover::record(const ProvedRequest& request, bool not_sent, std::string fault)
{
    const std::lock_guard lock{mutex_};
    if (not_sent)
        ++log_.not_sent;
    else
        log_.requests.push_back(request);
    Answered& answered = answered_[request.address];
    if (fault.empty())
        answered.yes = true;
    else
        answered.fault = std::move(fault);
}

/// A client goes from address to address; each begins at another one and at another moment.
void Prover::run(std::size_t number, bool keeps)
{
    const auto pause = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        std::chrono::duration<double>(static_cast<double>(clients()) / target_.rate));
    std::vector<ProveClient> clients_of; // one per address, since one connection is kept each
    clients_of.reserve(target_.addresses.size());
    for (const ProbeAddress& address : target_.addresses)
        clients_of.emplace_back(address, target_.path, keeps, kRequestLimit);
    Time due = origin_ + pause * static_cast<int>(number) / static_cast<int>(clients());
    for (std::size_t sent = 0; wait_until(due); ++sent) {
        const std::size_t address = (number + sent) % target_.addresses.size();
        ProvedRequest request{.begin = now(), .address = address};
        Attempt attempt = clients_of[address].ask();
        request.end = now();
        request.status = attempt.status;
        request.loss = attempt.loss;
        request.raced = attempt.raced;
        record(request, attempt.not_sent, std::move(attempt.fault));
        if (sent + 1 == target_.addresses.size()) {
            const std::lock_guard lock{mutex_};
            ++asked_;
            changed_.notify_all();
        }
        // Late by a slow answer: the requests that were due meanwhile are not made up for.
        due = std::max(due + pause, std::chrono::steady_clock::now());
    }
}

} // namespace cluster::cli
