#include "supervisor/core/idle_rule.hpp"

#include <algorithm>

namespace cluster::supervisor {
namespace {

using std::chrono::milliseconds;

// Measured with Node, Go, Python, Java and gunicorn under keep-alive load: with these figures no
// request of thousands was lost, with a flat 5 ms some were.
constexpr milliseconds kFirstRequestGrace{500}; ///< for a connection without any request yet
constexpr milliseconds kShortestQuiet{5};
constexpr int kTurnsToKnow = 2; ///< from here on a connection's own gaps tell its quiet time
constexpr milliseconds kUnknownQuiet{1000};
constexpr milliseconds kUnknownQuietLate{500}; ///< in the second half of the limit
constexpr milliseconds kTieQuiet{2000};
constexpr milliseconds kLongestTieQuiet{10'000};
/// A request that is due sooner than this may cross our end on the way.
constexpr milliseconds kCrossing{3};
/// For so long a machine with far too much to do may keep a process from its CPUs.
constexpr milliseconds kWaitForCpu{100};
/// The kernel's clock ticks once in that time at least (HZ is 100 or more).
constexpr milliseconds kLongestJiffy{10};
/// A client's kernel repeats what is not acknowledged after 200 ms at the earliest (RFC 8985 probes
/// and RFC 6298 timeouts, with Linux's TCP_RTO_MIN), and delays its own acknowledgements by 40 ms.
constexpr milliseconds kSoonestRepeat{160};
/// Two looks further apart than this say nothing of what happened between them.
constexpr milliseconds kCloseLooks{20};

/// Sent and received at the same time, as far as the kernel's clock can tell.
bool is_tie(const ConnectionSample& sample)
{
    return sample.written() > 0 && sample.sent_ago == sample.received_ago;
}

/// Whether an acknowledgement came by itself after the request. Not one that came a tick later: the
/// kernel reads its clock twice for one segment, for the data and then for the acknowledgement in
/// it. And not one that came much later: it may be in a second copy of the request.
bool acknowledged_later(const ConnectionSample& sample)
{
    const milliseconds later = sample.received_ago - sample.ack_ago;
    return later > kLongestJiffy && later < kSoonestRepeat;
}

/// Whether one look alone proves that something was written after the last request came.
/// `repeated`: see ConnectionHistory.
bool sent_after_received(const ConnectionSample& sample, bool repeated)
{
    if (sample.written() == 0) return false;
    if (!is_tie(sample)) return sample.sent_ago < sample.received_ago;
    // A request acknowledges all that its sender has got before. So what is not acknowledged, or
    // was acknowledged by itself later, was sent after the request.
    return sample.unacknowledged > 0 || (!repeated && acknowledged_later(sample));
}

/// Turns, and gaps within an answer. What moved between two distant looks may have been any number
/// of them, so it counts for none. `was_answered` is what was known before the look.
void learn(ConnectionHistory& history, bool came, bool went, bool was_answered, milliseconds now)
{
    if (!came && !went) return;
    if (came && was_answered && history.moved && now - history.last_look <= kCloseLooks)
        history.think = std::min(history.think.value_or(milliseconds::max()), now - *history.moved);
    if (now - history.last_look > kCloseLooks) {
        history.wrote.reset();
    } else {
        if (came) history.wrote.reset();
        if (history.wrote)
            history.longest_gap = std::max(history.longest_gap, now - *history.wrote);
        // Not when it may have been the end of one answer, with the next request behind it.
        if (went && history.answered) history.wrote = now;
        if (went && (came || history.asked)) ++history.turns;
    }
    history.asked = came && !went;
}

/// How long nothing has come or gone, at least.
milliseconds quiet_time(const ConnectionHistory& history)
{
    if (history.moved) return history.last_look - *history.moved;
    const milliseconds by_kernel = std::min(history.last->sent_ago, history.last->received_ago);
    return std::max(by_kernel, history.last_look - history.first_look);
}

/// Request and answer fell between two looks. If nothing was in flight at the first one and a
/// single segment came, then what was written answers it: unless it was the rest of the answer
/// before. So the kernel's times must not say that the request came last, at the first look the
/// worker must have had nothing to write for a while, and the second one must not come late.
bool answered_between(const ConnectionHistory& before, const ConnectionSample& sample,
                      milliseconds now)
{
    const milliseconds enough = std::max(kShortestQuiet, before.longest_gap * 2);
    return before.answered && is_tie(sample) && now - before.last_look <= kCloseLooks &&
           quiet_time(before) >= enough && sample.segments_in == before.last->segments_in + 1;
}

/// In the second half of the limit.
bool is_late(const DrainPace& pace)
{
    return pace.elapsed * 2 >= pace.limit;
}

/// How long an answered connection must be quiet.
milliseconds quiet_wanted(const ConnectionHistory& history, const DrainPace& pace)
{
    const bool late = is_late(pace);
    const auto some = [late](milliseconds gap) { return late ? gap * 6 / 5 : gap * 2; };
    if (history.turns >= kTurnsToKnow) return std::max(kShortestQuiet, some(history.longest_gap));
    return std::max(late ? kUnknownQuietLate : kUnknownQuiet, some(pace.longest_gap));
}

/// How long a tie must last that nothing resolves. Of a connection's first request the client's
/// kernel acknowledges the answer at once, so that ties are the rule. Of a later one it may be that
/// the client asked again within the jiffy and the worker takes its time: better wait.
milliseconds tie_quiet(const ConnectionHistory& history, const DrainPace& pace)
{
    if (history.last->segments_in <= 1) return kTieQuiet;
    return std::clamp(pace.limit / 2, kTieQuiet, kLongestTieQuiet);
}

/// Going by its habit the client asks again about now: an end that we send would cross its request.
bool is_request_due(const ConnectionHistory& history, milliseconds quiet, milliseconds wanted,
                    const DrainPace& pace)
{
    if (is_late(pace) || !history.think || *history.think <= wanted + kCrossing) return false;
    return quiet + kCrossing >= *history.think && quiet <= *history.think * 2;
}

} // namespace

ConnectionHistory observe(ConnectionHistory history, const ConnectionSample& sample,
                          milliseconds now)
{
    const ConnectionSample& before = history.last ? *history.last : sample;
    const bool came = sample.received != before.received;
    const bool went = sample.written() != before.written();
    const bool flowed = sample.unsent != before.unsent; // written earlier, but sent only now
    if (came || went)
        history.repeated = false;
    else if (sample.segments_in != before.segments_in)
        history.repeated = true;
    const bool proven = sent_after_received(sample, history.repeated);
    const bool was_answered = history.answered;
    if (came)
        history.answered = proven || (went && answered_between(history, sample, now));
    else
        history.answered = history.answered || went || proven;
    if (history.last)
        learn(history, came, went, was_answered, now);
    else
        history.first_look = now;
    if (came || went || flowed) history.moved = now;
    history.last = sample;
    history.last_look = now;
    return history;
}

Verdict judge(const ConnectionHistory& history, const DrainPace& pace)
{
    const ConnectionSample& sample = *history.last;
    // The send queue may hold something: an idle client acknowledges up to 40 ms later.
    if (!sample.established || sample.receive_queue > 0 || sample.unsent > 0) return Verdict::busy;

    milliseconds wanted{0};
    if (sample.received == 0 && sample.written() == 0)
        wanted = kFirstRequestGrace;
    else if (history.answered)
        wanted = quiet_wanted(history, pace);
    else if (is_tie(sample))
        wanted = std::max(quiet_wanted(history, pace), tie_quiet(history, pace));
    else
        return Verdict::busy;
    const milliseconds quiet = quiet_time(history);
    return quiet >= wanted && !is_request_due(history, quiet, wanted, pace) ? Verdict::idle
                                                                            : Verdict::settling;
}

bool outlasts_a_wait_for_cpu(const ConnectionHistory& history, const DrainPace& pace)
{
    return quiet_time(history) >= kWaitForCpu || is_late(pace);
}

bool is_unchanged(const ConnectionHistory& history, const ConnectionSample& sample)
{
    return sample.established && sample.receive_queue == 0 && sample.unsent == 0 &&
           sample.received == history.last->received && sample.written() == history.last->written();
}

} // namespace cluster::supervisor
