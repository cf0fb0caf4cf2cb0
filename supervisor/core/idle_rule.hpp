// When may a connection of a worker that is being drained be closed from outside? When the answer
// to its last request is out, and it has been out for longer than the pauses that this worker makes
// inside an answer. All of that is read from the figures that the kernel keeps for each TCP
// connection; nothing here knows HTTP, asks the clock or touches a socket.
//
// `observe` folds one look at a connection into its history, `judge` draws the conclusion. A look
// every 2 ms sees most turns (a turn: a request and its answer) with the request apart from the
// answer. What falls between two looks is told from the kernel's own times, which are in jiffies:
// 4 ms at HZ=250, so that a fast answer carries the same time as its request (a tie).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace cluster::supervisor {

/// What one look at a connection shows: the kernel's tcp_info in words. The three `_ago` times are
/// in whole jiffies, and count from the beginning of the connection when nothing came or went.
struct ConnectionSample {
    bool established = true;               ///< false: the client has closed, or the worker has
    std::uint64_t receive_queue = 0;       ///< bytes that the worker has not read yet
    std::uint64_t unsent = 0;              ///< bytes written by the worker that were never sent
    std::uint64_t received = 0;            ///< bytes, all time
    std::uint64_t sent = 0;                ///< bytes, all time, retransmitted ones counted again
    std::uint64_t retransmitted = 0;       ///< bytes, all time
    std::uint32_t unacknowledged = 0;      ///< segments sent that the client has not acknowledged
    std::uint32_t segments_in = 0;         ///< segments with data that came, all time
    std::chrono::milliseconds sent_ago{0}; ///< since data was sent last
    std::chrono::milliseconds received_ago{0}; ///< since data came last
    std::chrono::milliseconds ack_ago{0};      ///< since an acknowledgement came last

    /// Bytes that the worker has written, all time. Not `sent`: Nagle holds back the body of an
    /// answer whose header was written apart, for the 40 ms of the client's delayed
    /// acknowledgement, and that is no pause of the worker.
    [[nodiscard]] std::uint64_t written() const { return sent - retransmitted + unsent; }
};

/// What is known of one connection after some looks. A fresh one has seen nothing.
struct ConnectionHistory {
    std::optional<ConnectionSample> last;
    std::chrono::milliseconds first_look{0};
    std::chrono::milliseconds last_look{0};
    std::optional<std::chrono::milliseconds> moved; ///< when a look last saw bytes come or go
    std::optional<std::chrono::milliseconds> wrote; ///< when the worker last wrote of its answer
    bool answered = false; ///< the worker has written something after the last request
    bool asked = false;    ///< a request was seen coming and no answer to it yet
    /// The client has sent again what had come already (its kernel missed our acknowledgement):
    /// that it acknowledges something by it says nothing about an answer, until more bytes move.
    bool repeated = false;
    int turns = 0;                            ///< requests seen answered
    std::chrono::milliseconds longest_gap{0}; ///< between two writes of one answer
    /// Shortest time seen from an answer to the client's next request.
    std::optional<std::chrono::milliseconds> think;
};

/// The history after one more look at `now` (monotonic).
[[nodiscard]] ConnectionHistory observe(ConnectionHistory history, const ConnectionSample& sample,
                                        std::chrono::milliseconds now);

/// What judging one connection needs to know of the whole drain.
struct DrainPace {
    std::chrono::milliseconds elapsed{0};     ///< since the drain began
    std::chrono::milliseconds limit{0};       ///< how long it may take
    std::chrono::milliseconds longest_gap{0}; ///< of all connections of the worker
};

enum class Verdict {
    busy,     ///< something is in flight, as far as one can see
    settling, ///< it looks idle, but not for long enough
    idle,     ///< close it now
};

/// `history` has seen at least one look. The second half of the limit is more daring than the
/// first.
[[nodiscard]] Verdict judge(const ConnectionHistory& history, const DrainPace& pace);

/// Whether an idle connection may be closed while its worker has something to do. A worker that
/// waits for a CPU in the midst of its answers looks as if it had finished them; so does one whose
/// other threads hold it up. One that sleeps has nothing left to say, unless it waits for somebody
/// else.
[[nodiscard]] bool outlasts_a_wait_for_cpu(const ConnectionHistory& history, const DrainPace& pace);

/// The last question before a connection is closed: has nothing happened since the last look?
[[nodiscard]] bool is_unchanged(const ConnectionHistory& history, const ConnectionSample& sample);

} // namespace cluster::supervisor
