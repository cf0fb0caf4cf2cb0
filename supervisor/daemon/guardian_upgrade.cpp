// Guardian, the change of the program under running workers. See guardian.hpp.
#include "supervisor/daemon/guardian.hpp"

#include "supervisor/sys/host.hpp"

#include <fmt/format.h>

#include <fcntl.h>

#include <csignal>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

constexpr std::chrono::seconds kOldManagerLimit{2}; ///< to end when it is told to
constexpr std::chrono::seconds kReadyLimit{10};     ///< for the new one to serve
constexpr int kMostFailedStarts = 3;

} // namespace

/// All that whoever takes over from us goes on with.
TakeOver Guardian::inventory()
{
    TakeOver all;
    all.lock = lock_.get();
    all.listener = listener_.get();
    all.journal = journal_.get();
    if (manager_ != 0) {
        all.channel = channel_->fd();
        all.manager = manager_;
    }
    for (const auto& [inode, fd] : kept_.rest())
        all.kept.push_back(fd.get());
    all.ended.assign(ended_.begin(), ended_.end());
    all.outcome = outcome_;
    return all;
}

/// The old version: becomes the new one, if it can.
void Guardian::begin_upgrade(const Upgrade& wanted)
{
    log_.info(fmt::format("upgrade from {} to {}: {}", wanted.from, wanted.to, wanted.program));
    service_.tell(fmt::format("STATUS=Changing from {} to {}", wanted.from, wanted.to));
    service_.finish(); // what waits here would be lost
    auto ours = system_.open("/proc/self/exe", O_RDONLY);
    TakeOver all = inventory();
    all.program = ours ? ours->get() : -1;
    all.upgrade = wanted;
    const ipc::Error why =
        ours ? become_guardian(wanted.program, -1, options_.paths.home, options_.foreground, all)
             : ours.error();
    log_.error("upgrade: " + why.text());
    outcome_ = wanted;
    outcome_->reason = why.text();
    channel_->send(encode_upgrade(Verb::outcome, *outcome_));
}

/// The new version: has to come up before the limit.
void Guardian::accept_upgrade(const Upgrade& wanted)
{
    upgrade_ = wanted;
    upgrade_->since_ms = monotonic_ms();
    limit_upgrade();
}

/// The new version: the manager that lives is of the old one.
void Guardian::replace_manager()
{
    replacing_ = true;
    channel_->send(encode(Verb::hand_over));
}

void Guardian::limit_upgrade()
{
    upgrade_timer_.expires_after(kOldManagerLimit);
    upgrade_timer_.async_wait([this](error_code cancelled) {
        if (cancelled || !upgrade_) return;
        if (replacing_) (void)system_.kill(manager_, SIGKILL);
        upgrade_timer_.expires_after(kReadyLimit - kOldManagerLimit);
        upgrade_timer_.async_wait([this](error_code ended) {
            if (!ended && upgrade_)
                roll_back(fmt::format("the manager was not ready after {} s", kReadyLimit.count()));
        });
    });
}

bool Guardian::new_manager_failed(const ipc::ExitStatus& status)
{
    if (roll_back_reason_.empty() && ++failed_starts_ >= kMostFailedStarts) {
        roll_back_reason_ = fmt::format("the manager ended {} times (code {}, signal {})",
                                        failed_starts_, status.code, status.signal);
    }
    if (roll_back_reason_.empty()) return false;
    roll_back(std::exchange(roll_back_reason_, {}));
    return true;
}

/// Becomes the old version again, with the reason.
void Guardian::roll_back(const std::string& reason)
{
    log_.error(fmt::format("upgrade: {} does not come up ({}): back to {}", upgrade_->to, reason,
                           upgrade_->from));
    if (manager_ != 0) { // its death brings us here again
        roll_back_reason_ = reason;
        (void)system_.kill(manager_, SIGKILL);
        return;
    }
    upgrade_timer_.cancel();
    outcome_ = std::exchange(upgrade_, {});
    outcome_->reason = reason;
    const ipc::Error why =
        become_guardian("the program of version " + outcome_->from, old_program_.get(),
                        options_.paths.home, options_.foreground, inventory());
    log_.error("upgrade, on the way back: " + why.text());
    start_manager_later();
}

/// The manager serves: of the new version, or of the old one after a failure.
void Guardian::conclude_upgrade()
{
    const bool ok = upgrade_.has_value();
    if (ok) outcome_ = std::exchange(upgrade_, {});
    if (!outcome_ || outcome_->since_ms == 0) return;
    outcome_->ok = ok;
    outcome_->gap_ms = monotonic_ms() - std::exchange(outcome_->since_ms, 0);
    upgrade_timer_.cancel();
    old_program_.reset();
    channel_->send(encode_upgrade(Verb::outcome, *outcome_));
    log_.info(fmt::format("upgrade from {} to {}: {} after {} ms", outcome_->from, outcome_->to,
                          ok ? "serving" : "serving with the old version", outcome_->gap_ms));
}

} // namespace cluster::supervisor
