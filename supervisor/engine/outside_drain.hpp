// Draining a worker from outside: its idle TCP connections are ended one by one, each between two
// answers, by the kernel and without any help from the app. The worker reads the end of the
// connection as if the client had closed it; the client sees a clean FIN and connects anew, to
// whoever takes connections by then. Only connections to the ports that the worker listens on are
// touched, never those that it has opened itself (to a database, say).
//
// What an answer is, is guessed from the kernel's figures (supervisor/core/idle_rule.hpp). Known
// limits, all of which `limit` ends and none of which is an error:
// - An answer that pauses for longer than the quiet time (1 s at first, then twice the longest
//   pause seen in this connection) looks finished at the pause and is cut there: a head flushed at
//   once with a body that takes seconds, `100 Continue`, slow server-sent events. So does a request
//   that waits behind another's answer, in HTTP/2 or pipelined.
// - That a pause is a wait for a CPU and none of the worker's own is told by the states of its
//   threads: it has finished when all of them sleep. Where one never does, connections that are
//   never quiet for 0.1 s are kept for half of `limit`.
// - A client that never pauses for some milliseconds between an answer and its next request, and a
//   stream without end, are never found idle: they are left to the caller's signal.
// - A request that is on its way while we close is lost, as with every keep-alive timeout of a
//   server. The gap is a network round trip; clients know to repeat what is safe to repeat.
// - Connections over Unix sockets have no figures: they are not seen at all. So are those of
//   another network namespace, and those held by a process that has left the worker's tree.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/base/system.hpp"
#include "supervisor/core/idle_rule.hpp"
#include "supervisor/sys/connections.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace cluster::supervisor {

/// Why a drain from outside is over.
enum class DrainEnd {
    empty,        ///< no connection is left, and none waits to be accepted
    limit,        ///< the time is up; what is left is the caller's to cut
    not_allowed,  ///< there was something to close, but the kernel does not let us; or it does not
                  ///< even list the machine's sockets, then at once instead of at the limit
    process_gone, ///< the worker has ended
    cancelled,    ///< by cancel()
};

struct DrainFigures {
    int closed = 0;       ///< connections that were closed while idle
    int open_left = 0;    ///< connections that the worker still has
    int waiting_left = 0; ///< connections that nobody has accepted from `Job::listening`
};

/// One drain. Runs on the loop's thread, with a timer of its own: every 2 ms while there is
/// something to watch. Costs 3 % of a CPU for 20 connections and 10 % for thousands, and some 10 ms
/// at its beginning.
class OutsideDrain {
public:
    struct Job {
        pid_t root = 0;               ///< the worker's own process
        std::uint64_t start_time = 0; ///< its start time in /proc, against another one of that pid
        /// Inodes of the listening sockets that only this worker accepts from by now. The drain is
        /// not over before nothing waits in them. Empty: not asked for.
        std::vector<std::uint64_t> listening;
        std::chrono::milliseconds limit{0}; ///< answers in flight are never cut before
        /// The worker goes on accepting from `listening`, so handshakes that had begun when the
        /// drain began are waited for as well, for a second at most.
        bool still_accepts = false;
        /// Local ports of its connections, beside those of `listening` and those that its tree
        /// listens on when the drain begins. For a worker that has closed its listeners already.
        std::vector<std::uint16_t> ports;
    };
    using OnDone = std::function<void(DrainEnd, const DrainFigures&)>;

    /// `on_done` is called once, from the loop; it may destroy the drain. Destruction ends the
    /// drain without a call.
    OutsideDrain(boost::asio::io_context& loop, ipc::System& system, const ipc::Clock& clock,
                 Job job, OnDone on_done);

    /// Ends the drain as `cancelled`, at the loop's next turn.
    void cancel();

private:
    using milliseconds = std::chrono::milliseconds;
    using Sockets = std::vector<TcpSocket>;
    struct Connection {
        TcpSocket socket;
        HeldSocket held;
        ConnectionHistory history;
    };

    void remember_listeners();
    void arm(milliseconds after);
    void pass();
    void scan(milliseconds now);
    bool add_connections(const std::map<std::uint64_t, HeldSocket>& held);
    void look(milliseconds now);
    [[nodiscard]] bool worker_rests();
    bool close(Connection& connection);
    bool is_over(milliseconds now);
    bool handshakes_open(milliseconds now);
    int count_waiting();
    [[nodiscard]] milliseconds next_pass() const;
    std::vector<pid_t> live_processes();
    std::optional<Sockets> list(std::initializer_list<TcpState> states);
    void finish(DrainEnd end);

    ipc::System& system_;
    const ipc::Clock& clock_;
    Job job_;
    OnDone on_done_;
    boost::asio::steady_timer timer_;
    std::shared_ptr<OutsideDrain*> self_; ///< what the timer's handlers reach us by
    std::optional<SocketDiag> diag_;      ///< empty: the kernel lists no sockets
    std::vector<int> families_;           ///< that the listeners are of
    std::vector<std::uint16_t> ports_;

    milliseconds began_;
    bool cancelled_ = false;
    bool process_gone_ = false;
    bool denied_ = false; ///< closing is not allowed here

    std::vector<pid_t> tree_;             ///< the worker and all below it, at the last scan
    std::vector<Connection> connections_; ///< the first ones are watched closely
    std::map<pid_t, ipc::UniqueFd> pidfds_;
    std::set<std::uint64_t> sorted_;     ///< inodes of held sockets that are connections or are not
    std::set<std::uint64_t> handshakes_; ///< cookies of those not yet done when the drain began
    milliseconds longest_gap_{0};
    milliseconds next_scan_{0};
    milliseconds next_list_{0};
    milliseconds next_full_look_{0};
    milliseconds next_rotation_{0};
    std::optional<milliseconds> empty_since_;
    std::optional<milliseconds> certain_at_; ///< when every held socket was last sorted
    bool last_question_ = false;             ///< it is empty, and asked for once more
    int closed_ = 0;
};

} // namespace cluster::supervisor
