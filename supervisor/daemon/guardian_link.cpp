#include "supervisor/daemon/guardian_link.hpp"

#include "ipc/base/text.hpp"
#include "supervisor/sys/fd_passing.hpp"

#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using ipc::Result;
using Clock = std::chrono::steady_clock;
using Descriptor = boost::asio::posix::stream_descriptor;

constexpr std::chrono::seconds kSendLimit{1};
constexpr std::chrono::seconds kReceiveLimit{10};

int ms_until(Clock::time_point when)
{
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now());
    return static_cast<int>(std::max<std::chrono::milliseconds::rep>(left.count(), 0));
}

/// Numbers of all descriptors that we have.
std::vector<int> open_fds()
{
    std::vector<int> fds;
    const std::unique_ptr<DIR, int (*)(DIR*)> folder{::opendir("/proc/self/fd"), ::closedir};
    if (!folder) return fds;
    while (const dirent* entry = ::readdir(folder.get())) {
        const auto fd = ipc::parse_number<int>(entry->d_name);
        if (fd && *fd != ::dirfd(folder.get())) fds.push_back(*fd);
    }
    return fds;
}

} // namespace

GuardianLink::GuardianLink(boost::asio::io_context& loop, ipc::UniqueFd channel, Log& log)
    : loop_{loop}, socket_{loop, channel.get()}, log_{log}
{
    (void)channel.release(); // the descriptor owns it now
}

// Hearing.

Result<GuardianLink::HandedOver> GuardianLink::receive()
{
    HandedOver all;
    const auto deadline = Clock::now() + kReceiveLimit;
    while (true) {
        auto received = receive_message(socket_.native_handle());
        if (!received && received.error().code == std::errc::resource_unavailable_try_again) {
            pollfd waiting{.fd = socket_.native_handle(), .events = POLLIN, .revents = 0};
            if (::poll(&waiting, 1, ms_until(deadline)) == 0)
                return ipc::fail(ETIMEDOUT, "take over from the guardian");
            continue;
        }
        if (!received) return std::unexpected(received.error());
        if (received->bytes.empty()) {
            log_.warn("the guardian ended before it had handed over everything");
            return all;
        }
        if (received->fds_lost)
            log_.error("limit of open files reached: something that was kept for us is lost");
        const auto message = decode(received->bytes);
        if (message && collect(all, *message, std::move(received->fds))) return all;
    }
}

/// True: that was all.
bool GuardianLink::collect(HandedOver& all, const Message& message, std::vector<ipc::UniqueFd> fds)
{
    if (message.verb == Verb::keep) {
        for (ipc::UniqueFd& fd : fds) {
            records_[inode_of(fd.get())].held = true;
            all.fds.add(std::move(fd));
        }
    }
    if (message.verb == Verb::journal && !fds.empty()) all.journal = std::move(fds.front());
    if (message.verb == Verb::outcome) all.upgrade = message.upgrade;
    if (message.verb == Verb::ended) {
        all.ended.insert(all.ended.end(), message.ended.begin(), message.ended.end());
        unacknowledged_.insert(unacknowledged_.end(), message.ended.begin(), message.ended.end());
    }
    return message.verb == Verb::complete;
}

void GuardianLink::start(Calls calls)
{
    calls_ = std::move(calls);
    wait_readable();
}

void GuardianLink::wait_readable()
{
    socket_.async_wait(Descriptor::wait_read, [this](error_code cancelled) {
        if (cancelled) return;
        read_all();
        if (!gone_) return wait_readable();
        calls_.on_guardian_gone();
    });
}

void GuardianLink::read_all()
{
    while (true) {
        const auto received = receive_message(socket_.native_handle());
        if (!received && received.error().code == std::errc::resource_unavailable_try_again) return;
        gone_ = !received || received->bytes.empty();
        if (gone_) return;
        if (const auto message = decode(received->bytes)) hear(*message);
    }
}

void GuardianLink::hear(const Message& message)
{
    if (message.verb == Verb::ended) {
        for (const EndedProcess& process : message.ended) {
            unacknowledged_.push_back(process);
            calls_.on_ended(process);
        }
    }
    if (message.verb == Verb::outcome) calls_.on_outcome(message.upgrade);
    if (message.verb == Verb::hand_over) calls_.on_hand_over();
}

// Saying.

void GuardianLink::keep(int fd)
{
    const std::uint64_t inode = inode_of(fd);
    if (inode == 0) return;
    Record& record = records_[inode];
    record.fd = fd;
    if (++record.tokens == 1) changed(inode);
}

void GuardianLink::drop(std::uint64_t inode)
{
    const auto record = records_.find(inode);
    if (record == records_.end() || record->second.tokens == 0) return;
    if (--record->second.tokens == 0) changed(inode);
}

void GuardianLink::keep_journal(int memfd)
{
    journal_ = memfd;
    journal_said_ = false;
    flush();
}

void GuardianLink::let_go()
{
    flush();
    silent_ = true;
}

void GuardianLink::tell_ready()
{
    for (const auto& [inode, record] : records_)
        if (record.tokens == 0) changed_.push_back(inode);
    say(encode(Verb::ready));
}

void GuardianLink::tell_alive()
{
    if (unsaid_.empty()) say(encode(Verb::alive));
}

void GuardianLink::acknowledge(const EndedProcess& ended)
{
    const auto known = std::ranges::find_if(
        unacknowledged_, [&](const EndedProcess& one) { return one.same_process(ended); });
    if (known == unacknowledged_.end()) return;
    unacknowledged_.erase(known);
    acknowledged_.push_back(ended);
    flush_soon();
}

void GuardianLink::ask_upgrade(const Upgrade& wanted)
{
    say(encode_upgrade(Verb::upgrade, wanted));
}

void GuardianLink::say(std::string bytes)
{
    unsaid_.push_back(std::move(bytes));
    flush();
}

void GuardianLink::changed(std::uint64_t inode)
{
    changed_.push_back(inode);
    flush_soon();
}

void GuardianLink::flush_soon()
{
    if (std::exchange(flush_posted_, true)) return;
    boost::asio::post(loop_, [this] {
        flush_posted_ = false;
        flush();
    });
}

void GuardianLink::flush()
{
    if (gone_ || silent_ || waiting_for_room_) return;
    if (!send_changes() || !send_rest()) wait_for_room();
}

/// False: the guardian has no room; what is not said yet stays to be said.
bool GuardianLink::send_changes()
{
    std::ranges::sort(changed_);
    changed_.erase(std::ranges::unique(changed_).begin(), changed_.end());
    std::vector<std::uint64_t> keeps;
    std::vector<std::uint64_t> drops;
    for (const std::uint64_t inode : changed_) {
        const auto found = records_.find(inode);
        if (found == records_.end()) continue;
        const Record& record = found->second;
        if (record.tokens > 0 && !record.held) keeps.push_back(inode);
        if (record.tokens == 0 && record.held) drops.push_back(inode);
        if (record.tokens == 0 && !record.held) records_.erase(found);
    }
    for (std::span<const std::uint64_t> rest{keeps}; !rest.empty();) {
        const auto some = rest.first(std::min(rest.size(), kMaxFdsPerMessage));
        if (!send_keeps(some)) return false;
        rest = rest.subspan(some.size());
    }
    for (std::span<const std::uint64_t> rest{drops}; !rest.empty();) {
        const auto some = rest.first(std::min(rest.size(), kMaxPerMessage));
        if (!send(encode_drop(some))) return false;
        for (const std::uint64_t inode : some)
            records_.erase(inode);
        rest = rest.subspan(some.size());
    }
    changed_.clear();
    return true;
}

bool GuardianLink::send_keeps(std::span<const std::uint64_t> inodes)
{
    std::vector<int> fds;
    for (const std::uint64_t inode : inodes) {
        // One that was closed without a word may be another's number by now.
        if (const int fd = records_[inode].fd; inode_of(fd) == inode) fds.push_back(fd);
    }
    if (!fds.empty() && !send(encode(Verb::keep), fds)) return false;
    for (const std::uint64_t inode : inodes)
        records_[inode].held = true;
    return true;
}

bool GuardianLink::send_rest()
{
    if (!journal_said_) {
        if (!send(encode(Verb::journal), {&journal_, 1})) return false;
        journal_said_ = true;
    }
    while (!acknowledged_.empty()) {
        const auto count = std::min(acknowledged_.size(), kMaxPerMessage);
        if (!send(encode_ended(Verb::acknowledge, {acknowledged_.data(), count}))) return false;
        acknowledged_.erase(acknowledged_.begin(),
                            acknowledged_.begin() + static_cast<std::ptrdiff_t>(count));
    }
    while (!unsaid_.empty()) {
        if (!send(unsaid_.front())) return false;
        unsaid_.pop_front();
    }
    return true;
}

/// False after a second without room. To a guardian that is gone everything can be said: its end is
/// heard from the loop, and whoever takes over asks for `kept_fds`.
bool GuardianLink::send(std::string_view bytes, std::span<const int> fds)
{
    const auto deadline = Clock::now() + kSendLimit;
    while (true) {
        const auto sent = send_message(socket_.native_handle(), bytes, fds);
        if (sent) return true;
        const int why = sent.error().code.value();
        if (why != EAGAIN && why != ETOOMANYREFS) {
            if (why != EPIPE && why != ECONNRESET) log_.error("guardian: " + sent.error().text());
            return true;
        }
        const int left = ms_until(deadline);
        if (left == 0) {
            log_.error("the guardian does not listen: what is new will not outlive us");
            return false;
        }
        // With too many descriptors under way there is room, but not for these.
        pollfd room{.fd = socket_.native_handle(), .events = POLLOUT, .revents = 0};
        if (why == EAGAIN)
            ::poll(&room, 1, left);
        else
            ::poll(nullptr, 0, 1);
    }
}

void GuardianLink::wait_for_room()
{
    waiting_for_room_ = true;
    socket_.async_wait(Descriptor::wait_write, [this](error_code cancelled) {
        waiting_for_room_ = false;
        if (!cancelled) flush();
    });
}

/// Of the process that made the pair of sockets (man 7 unix, SO_PEERCRED).
pid_t GuardianLink::guardian() const
{
    ucred peer{};
    socklen_t size = sizeof peer;
    const int fd = const_cast<Descriptor&>(socket_).native_handle();
    return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

std::vector<int> GuardianLink::kept_fds() const
{
    std::map<std::uint64_t, int> best; // one of several that are the same: the one we were given
    for (const int fd : open_fds()) {
        const auto record = records_.find(inode_of(fd));
        if (record == records_.end() || record->second.tokens == 0) continue;
        if (const auto [at, first] = best.try_emplace(record->first, fd); !first)
            if (fd == record->second.fd) at->second = fd;
    }
    std::vector<int> fds;
    for (const auto& [inode, fd] : best)
        fds.push_back(fd);
    return fds;
}

} // namespace cluster::supervisor
