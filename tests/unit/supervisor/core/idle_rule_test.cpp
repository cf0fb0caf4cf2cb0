// Looks in the order in which a kernel would show them.
#include "supervisor/core/idle_rule.hpp"

#include "tests/unit/supervisor/core/connection_samples.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <utility>

using namespace cluster::supervisor;
using namespace cluster::tests;
using namespace std::chrono_literals;

namespace {

/// A kernel, a worker and a client in one: the test says what happens, and time passes in looks
/// every 2 ms.
class Connection {
public:
    explicit Connection(milliseconds jiffy = 4ms) : jiffy_{jiffy} { look(); }

    void request(std::uint64_t bytes = 100)
    {
        acknowledge(); // a request carries the acknowledgement of all that its sender has got
        now_figures_.received += bytes;
        ++now_figures_.segments_in;
        received_at_ = now_;
        acked_at_ = now_;
    }
    void answer(std::uint64_t bytes = 200)
    {
        now_figures_.sent += bytes;
        ++now_figures_.unacknowledged;
        sent_at_ = now_;
    }
    /// Written, but held back by Nagle's algorithm.
    void hold_back(std::uint64_t bytes) { now_figures_.unsent += bytes; }
    void send_held()
    {
        now_figures_.sent += std::exchange(now_figures_.unsent, 0);
        ++now_figures_.unacknowledged;
        sent_at_ = now_;
    }
    /// The client's kernel sends its last request once more.
    void repeat_request()
    {
        ++now_figures_.segments_in;
        acked_at_ = now_;
    }
    void retransmit(std::uint64_t bytes)
    {
        now_figures_.sent += bytes;
        now_figures_.retransmitted += bytes;
        sent_at_ = now_;
    }
    void acknowledge()
    {
        now_figures_.unacknowledged = 0;
        acked_at_ = now_;
    }

    /// Lets time pass, with looks; the first verdict `idle` on the way is remembered.
    void pass(milliseconds time, milliseconds every = 2ms)
    {
        for (const milliseconds end = now_ + time; now_ < end;) {
            now_ += std::min(every, end - now_);
            look();
        }
    }
    /// Lets time pass without a look: the machine has other work.
    void miss(milliseconds time) { now_ += time; }
    /// `turns` requests, each answered after `handling`; the client waits `thinking` before each.
    void talk(int turns, milliseconds handling, milliseconds thinking)
    {
        for (int i = 0; i < turns; ++i) {
            pass(thinking);
            request();
            pass(handling);
            answer();
        }
    }

    [[nodiscard]] Verdict verdict() const { return judge(history_, pace_); }
    [[nodiscard]] const ConnectionHistory& history() const { return history_; }
    /// How long it has been quiet when it was first judged idle; -1 when it never was.
    [[nodiscard]] int idle_after() const { return idle_after_; }
    /// Forgets that it was judged idle: what counts begins now.
    void begin() { idle_after_ = -1; }
    void second_half() { pace_ = kSecondHalf; }

private:
    void look()
    {
        ConnectionSample sample = now_figures_;
        const auto jiffies = [this](milliseconds at) { return at / jiffy_; };
        sample.sent_ago = jiffy_ * (jiffies(now_) - jiffies(sent_at_));
        sample.received_ago = jiffy_ * (jiffies(now_) - jiffies(received_at_));
        sample.ack_ago = jiffy_ * (jiffies(now_) - jiffies(acked_at_));
        history_ = observe(history_, sample, now_);
        const milliseconds last_event = std::max({sent_at_, received_at_});
        if (idle_after_ < 0 && verdict() == Verdict::idle)
            idle_after_ = static_cast<int>((now_ - last_event).count());
    }

    milliseconds jiffy_;
    milliseconds now_ = kStart;
    milliseconds sent_at_ = kStart;
    milliseconds received_at_ = kStart;
    milliseconds acked_at_ = kStart;
    ConnectionSample now_figures_;
    ConnectionHistory history_;
    DrainPace pace_ = kFirstHalf;
    int idle_after_ = -1;
};

} // namespace

TEST_CASE("idle rule: one look at a connection")
{
    const auto tie = [](ConnectionSample& s) { s.received_ago = s.ack_ago = s.sent_ago; };
    const struct {
        const char* name;
        ConnectionSample sample;
        Verdict want;
    } rows[] = {
        {"answered long ago", answered_long_ago(), Verdict::idle},
        {"the client has closed its side", changed([](auto& s) { s.established = false; }),
         Verdict::busy},
        {"a request has not been read", changed([](auto& s) { s.receive_queue = 1; }),
         Verdict::busy},
        {"a part of the answer was never sent", changed([](auto& s) { s.unsent = 1; }),
         Verdict::busy},
        {"sent, but not acknowledged", changed([](auto& s) { s.unacknowledged = 2; }),
         Verdict::idle},
        {"a request came after the last answer", changed([](auto& s) { s.received_ago = 8996ms; }),
         Verdict::busy},
        {"the first request has no answer yet", changed([](auto& s) {
             s.sent = 0;
             s.sent_ago = 9008ms;
         }),
         Verdict::busy},
        {"the first request, in the jiffy of the handshake, has no answer yet",
         changed([&](auto& s) {
             s.sent = 0;
             tie(s);
         }),
         Verdict::busy},
        {"answered less than a second ago", changed([](auto& s) {
             s.sent_ago = 996ms;
             s.received_ago = 1000ms;
         }),
         Verdict::settling},
        {"answered a second ago", changed([](auto& s) {
             s.sent_ago = 1000ms;
             s.received_ago = 1004ms;
         }),
         Verdict::idle},
        {"no request for half a second",
         {.sent_ago = 500ms, .received_ago = 500ms, .ack_ago = 500ms},
         Verdict::idle},
        {"no request, but a fresh connection",
         {.sent_ago = 496ms, .received_ago = 496ms, .ack_ago = 496ms},
         Verdict::settling},
        {"a server that speaks first",
         {.sent = 80, .sent_ago = 2000ms, .received_ago = 2004ms, .ack_ago = 2000ms},
         Verdict::idle},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(first_look(row.sample) == row.want);
    }
}

TEST_CASE("idle rule: the quiet time of a connection that is not known")
{
    const struct {
        const char* name;
        DrainPace pace;
        milliseconds quiet;
        Verdict want;
    } rows[] = {
        {"nothing known of the app", {1s, 10s, 0ms}, 1000ms, Verdict::idle},
        {"twice the longest gap of the app", {1s, 10s, 600ms}, 1196ms, Verdict::settling},
        {"twice the longest gap of the app, over", {1s, 10s, 600ms}, 1200ms, Verdict::idle},
        {"second half", {5s, 10s, 0ms}, 500ms, Verdict::idle},
        {"second half, too early", {5s, 10s, 0ms}, 496ms, Verdict::settling},
        {"second half, a gap in the app", {5s, 10s, 1000ms}, 1196ms, Verdict::settling},
        {"second half, a gap in the app, over", {5s, 10s, 1000ms}, 1200ms, Verdict::idle},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto sample = changed([&](ConnectionSample& s) {
            s.sent_ago = row.quiet;
            s.received_ago = row.quiet + 4ms;
        });
        CHECK(first_look(sample, row.pace) == row.want);
    }
}

TEST_CASE("idle rule: what was seen moving is judged by our clock, not by the kernel's")
{
    Connection c;
    c.talk(1, 20ms, 10ms);
    c.pass(400ms);
    c.retransmit(200); // the client has not acknowledged: nothing new was written
    c.pass(602ms);
    CHECK(c.idle_after() >= 0);
    CHECK(c.history().longest_gap == 0ms);
}

TEST_CASE("idle rule: after two turns a connection is idle 5 ms after its answer")
{
    Connection c;
    c.talk(2, 20ms, 10ms);
    CHECK(c.idle_after() == -1); // 10 ms after the first turn were not enough
    c.pass(10ms);
    CHECK(c.history().turns == 2);
    CHECK(c.idle_after() >= 5);
    CHECK(c.idle_after() <= 8);
}

TEST_CASE("idle rule: a slow handler is busy until it has answered, however long it takes")
{
    Connection c;
    c.talk(3, 20ms, 10ms);
    c.pass(4ms); // not idle yet
    c.request();
    c.begin();
    c.pass(9s);
    CHECK(c.idle_after() == -1);
    CHECK(c.verdict() == Verdict::busy);
    c.answer();
    c.pass(10ms);
    CHECK(c.idle_after() >= 5);
}

TEST_CASE("idle rule: a request that comes in the jiffy of the previous answer is in flight")
{
    // 2 s handlers, clients without any think time: request and answer are a tie all the time.
    Connection c{100ms};
    c.request();
    for (int turn = 0; turn < 3; ++turn) {
        c.pass(2s);
        c.answer();
        c.request();
    }
    CHECK(c.idle_after() == -1);
    c.second_half();
    c.pass(4s);
    CHECK(c.idle_after() == -1);
}

TEST_CASE("idle rule: a request that the client's kernel sends twice is still in flight")
{
    // On a busy machine the acknowledgement of a request comes after the client's timer (200 ms).
    // What it then sends again acknowledges the answer before; that is no sign of a new one.
    Connection connection;
    connection.pass(100ms);
    connection.request();
    connection.pass(20ms);
    connection.answer();
    connection.request(); // within the jiffy of the answer: a tie
    connection.second_half();
    connection.pass(204ms);
    connection.repeat_request();
    connection.begin();
    connection.pass(1500ms);
    CHECK(connection.idle_after() == -1);

    connection.answer();
    connection.pass(600ms);
    CHECK(connection.idle_after() >= 0);
}

TEST_CASE("idle rule: fast turns, request and answer between two looks")
{
    Connection c;
    SUBCASE("not acknowledged yet")
    {
        for (int turn = 0; turn < 2; ++turn) {
            c.pass(10ms);
            c.request();
            c.answer();
        }
        CHECK(c.idle_after() == -1);
        c.pass(10ms);
        CHECK(c.idle_after() >= 5);
    }
    SUBCASE("acknowledged at once, after a moment when it was idle")
    {
        c.talk(1, 6ms, 10ms); // resolved by a look between request and answer
        c.acknowledge();
        c.pass(10ms);
        for (int turn = 0; turn < 2; ++turn) {
            c.request();
            c.answer();
            c.acknowledge();
            c.begin();
            c.pass(12ms);
        }
        CHECK(c.idle_after() >= 5);
    }
    SUBCASE("acknowledged at once, and two segments have come: one may be the next request")
    {
        c.talk(2, 6ms, 10ms);
        c.acknowledge();
        c.pass(4ms);
        c.request();
        c.answer();
        c.request();
        c.begin();
        c.pass(1s);
        CHECK(c.idle_after() == -1);
    }
}

TEST_CASE("idle rule: the rest of an answer and the next request between two looks")
{
    // A threaded server whose threads are many writes the header, and the body when its turn comes.
    for (const auto& [looked, missed, later] :
         {std::array{2ms, 0ms, 6ms}, std::array{2ms, 0ms, 0ms}, std::array{8ms, 30ms, 0ms}}) {
        Connection c;
        c.talk(3, 20ms, 10ms); // of the last answer the header alone
        c.pass(looked);
        c.miss(missed);
        c.answer(); // the body
        c.miss(later);
        c.request();
        c.begin();
        c.pass(1900ms);
        CHECK(c.idle_after() == -1);
    }
}

TEST_CASE("idle rule: Nagle's 40 ms between header and body are no pause of the worker")
{
    Connection c;
    for (int turn = 0; turn < 3; ++turn) {
        c.request();
        c.pass(20ms);
        c.answer();        // the header
        c.hold_back(1000); // the body, written at once
        c.pass(40ms);
        c.acknowledge();
        c.send_held();
        c.pass(4ms);
    }
    CHECK(c.history().longest_gap <= 2ms);
    CHECK(c.idle_after() == -1); // never while the body was held back
    c.pass(4ms);
    CHECK(c.idle_after() >= 5);
}

TEST_CASE("idle rule: a stream is not cut between two chunks")
{
    Connection c;
    const auto answer_in_chunks = [&c] {
        c.request();
        for (int chunk = 0; chunk < 10; ++chunk) {
            c.pass(100ms);
            c.answer(20);
            c.pass(40ms);
            c.acknowledge();
        }
    };
    for (int turn = 0; turn < 2; ++turn) {
        answer_in_chunks();
        c.pass(50ms);
    }
    CHECK(c.idle_after() == -1);
    CHECK(c.history().longest_gap >= 138ms);
    CHECK(c.history().longest_gap <= 142ms);
    SUBCASE("first half: twice its longest gap")
    {
        c.pass(400ms);
        CHECK(c.idle_after() >= 276);
        CHECK(c.idle_after() <= 290);
    }
    SUBCASE("second half: a bit more than its longest gap")
    {
        answer_in_chunks();
        c.second_half();
        c.begin();
        c.pass(400ms);
        CHECK(c.idle_after() >= 164);
        CHECK(c.idle_after() <= 175);
    }
}

TEST_CASE("idle rule: a pipelined client's waiting requests count as gaps, not as idle time")
{
    Connection c;
    for (int turn = 0; turn < 3; ++turn) {
        c.request(400);
        for (int answer = 0; answer < 4; ++answer) {
            c.pass(20ms);
            c.answer();
        }
        c.pass(30ms); // less than twice the 20 ms between two answers
    }
    CHECK(c.idle_after() == -1);
    c.pass(20ms);
    CHECK(c.idle_after() >= 36);
}

TEST_CASE("idle rule: an upload that has begun is busy, also when it pauses")
{
    Connection c;
    c.talk(2, 20ms, 3ms);
    c.pass(4ms);
    c.begin();
    for (int part = 0; part < 5; ++part) {
        c.request(60'000);
        c.pass(800ms);
    }
    CHECK(c.idle_after() == -1);
    CHECK(c.verdict() == Verdict::busy);
}

TEST_CASE("idle rule: an answer and the next request within one look are no gap")
{
    Connection c;
    c.request();
    for (int turn = 0; turn < 5; ++turn) {
        c.pass(20ms);
        c.pass(14ms, 14ms); // a late look, over …
        c.answer();         // … the whole of the client's think time
        c.request();
    }
    c.pass(20ms);
    CHECK(c.history().longest_gap == 0ms);
    c.answer();
    c.pass(10ms);
    CHECK(c.idle_after() >= 5);
}

TEST_CASE("idle rule: distant looks tell neither turns nor gaps")
{
    Connection c;
    for (int turn = 0; turn < 4; ++turn) {
        c.request();
        c.pass(100ms, 100ms);
        c.answer();
        c.pass(100ms, 100ms);
    }
    CHECK(c.history().turns == 0);
    CHECK(c.history().longest_gap == 0ms);
    CHECK(c.idle_after() == -1); // so it takes a second
    c.pass(1s, 100ms);
    CHECK(c.idle_after() >= 1000);
}

TEST_CASE("idle rule: a late look in which nothing has moved loses nothing")
{
    Connection c;
    for (int turn = 0; turn < 2; ++turn) {
        c.pass(4ms);
        c.request();
        c.pass(4ms);
        c.pass(500ms, 100ms);
        c.pass(4ms);
        c.answer();
    }
    c.pass(8ms);
    CHECK(c.history().turns == 2);
    CHECK(c.idle_after() >= 5);
}

TEST_CASE("idle rule: what has changed since the last look is not closed")
{
    const ConnectionHistory history = observe({}, answered_long_ago(), kStart);
    const struct {
        const char* name;
        ConnectionSample sample;
        bool want;
    } rows[] = {
        {"nothing", answered_long_ago(), true},
        {"time", changed([](auto& s) { s.sent_ago = s.received_ago = 9100ms; }), true},
        {"an acknowledgement", changed([](auto& s) { s.ack_ago = 0ms; }), true},
        {"a retransmission", changed([](auto& s) { s.sent += 50, s.retransmitted += 50; }), true},
        {"a request", changed([](auto& s) { s.received += 1; }), false},
        {"a request that was not read", changed([](auto& s) { s.receive_queue = 1; }), false},
        {"an answer", changed([](auto& s) { s.sent += 1; }), false},
        {"an answer that was not sent", changed([](auto& s) { s.unsent = 1; }), false},
        {"the client has closed", changed([](auto& s) { s.established = false; }), false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(is_unchanged(history, row.sample) == row.want);
    }
}

TEST_CASE("idle rule: nothing is closed when the client, going by its habit, is about to ask")
{
    Connection c;
    for (int turn = 0; turn < 3; ++turn) {
        c.request();
        c.pass(4ms);
        c.answer();
        c.pass(10ms);
    }
    c.request();
    c.pass(4ms);
    c.answer();
    c.pass(8ms); // seen for 6 ms
    CHECK(c.history().think == 10ms);
    CHECK(judge(c.history(), kFirstHalf) == Verdict::idle);
    c.pass(4ms); // 10 ms: now it would come
    CHECK(judge(c.history(), kFirstHalf) == Verdict::settling);
    CHECK(judge(c.history(), kSecondHalf) == Verdict::idle);
    c.pass(12ms); // it has not
    CHECK(judge(c.history(), kFirstHalf) == Verdict::idle);
}
