// The manager's end of its channel to the guardian: descriptors go there to be kept, and come back
// when a manager starts; so do the ends of processes that were not ours to wait for. See
// guardian_messages.hpp for the bytes.
//
// What is to be kept or dropped is collected and said at the end of the loop's turn, or before a
// process is launched that gets it (`flush`). A guardian that does not read holds us up for a
// second at most; then the rest is said when it reads again.
#pragma once

#include "ipc/base/system.hpp"
#include "supervisor/daemon/guardian_messages.hpp"
#include "supervisor/engine/log.hpp"
#include "supervisor/sys/keeper.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cluster::supervisor {

class GuardianLink final : public Keeper {
public:
    /// What the guardian has for a manager that starts.
    struct HandedOver {
        KeptFds fds;
        ipc::UniqueFd journal; ///< the memfd with the state; invalid when there is none
        std::vector<EndedProcess> ended;
        std::optional<Upgrade> upgrade; ///< how the last one went
    };
    struct Calls {
        std::function<void(const EndedProcess&)> on_ended;
        std::function<void()> on_guardian_gone;
        /// Another version takes over: end at once, as if killed.
        std::function<void()> on_hand_over;
        /// How an upgrade went.
        std::function<void(const Upgrade&)> on_outcome;
    };

    GuardianLink(boost::asio::io_context& loop, ipc::UniqueFd channel, Log& log);

    /// Waits for all that the guardian sends to a new manager. One that dies meanwhile is no error:
    /// `start` will tell. Errors: it says nothing for 10 s.
    ipc::Result<HandedOver> receive();
    /// From now on `calls` are made, on the loop.
    void start(Calls calls);

    void keep(int fd) override;
    void drop(std::uint64_t inode) override;
    void flush() override;
    /// Replaces the journal that the guardian has. `memfd` stays open as long as it is the journal.
    void keep_journal(int memfd);
    /// Nothing is dropped from now on: we end, and somebody else takes over.
    void let_go();

    /// We serve. What was handed over and has no token (`Kept`) by now is dropped.
    void tell_ready();
    /// Our loop turns. Said once, however long the guardian does not listen.
    void tell_alive();
    /// The journal has it, or nobody needs it: the guardian may forget it. The status says
    /// nothing here.
    void acknowledge(const EndedProcess& ended);
    /// The program to go on with.
    void ask_upgrade(const Upgrade& wanted);

    /// The guardian's pid, also when it has ended.
    [[nodiscard]] pid_t guardian() const;

    // For who becomes the guardian himself.
    /// Our descriptors of all that is kept.
    [[nodiscard]] std::vector<int> kept_fds() const;
    [[nodiscard]] int journal() const { return journal_; } ///< -1: none
    [[nodiscard]] const std::deque<EndedProcess>& unacknowledged() const { return unacknowledged_; }

private:
    struct Record {
        int fd = -1;       ///< of ours, when last heard of
        int tokens = 0;    ///< so many want it kept
        bool held = false; ///< the guardian has it
    };

    void changed(std::uint64_t inode);
    void flush_soon();
    void say(std::string bytes);
    bool send(std::string_view bytes, std::span<const int> fds = {});
    bool send_changes();
    bool send_keeps(std::span<const std::uint64_t> inodes);
    bool send_rest();
    void wait_for_room();
    void wait_readable();
    void read_all();
    void hear(const Message& message);
    bool collect(HandedOver& all, const Message& message, std::vector<ipc::UniqueFd> fds);

    boost::asio::io_context& loop_;
    boost::asio::posix::stream_descriptor socket_;
    Log& log_;
    Calls calls_;
    std::map<std::uint64_t, Record> records_; ///< by inode
    std::vector<std::uint64_t> changed_;      ///< not said yet
    std::vector<EndedProcess> acknowledged_;  ///< not said yet
    std::deque<std::string> unsaid_;          ///< other messages
    std::deque<EndedProcess> unacknowledged_;
    int journal_ = -1;
    bool journal_said_ = true;
    bool flush_posted_ = false;
    bool waiting_for_room_ = false;
    bool gone_ = false;   ///< the guardian
    bool silent_ = false; ///< let_go
};

} // namespace cluster::supervisor
