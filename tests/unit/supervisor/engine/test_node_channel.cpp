// A channel and the worker's end of it in one process; the test plays the worker.
#include "supervisor/engine/node_channel.hpp"

#include "supervisor/sys/fd_channel.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"
#include "tests/unit/supervisor/engine/scripted_node.hpp"

#include <boost/asio/post.hpp>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <sys/ioctl.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace cluster::supervisor;
using cluster::ipc::UniqueFd;
using cluster::tests::run_until;
using cluster::tests::ScriptedNode;

namespace {

const std::string kOnline = R"({"cmd":"NODE_CLUSTER","act":"online","seq":0})"
                            "\n";
const std::string kTaken = "{\"cmd\":\"NODE_HANDLE_ACK\"}\n";
const std::string kLost = "{\"cmd\":\"NODE_HANDLE_NACK\"}\n";

std::string query(int seq)
{
    return R"({"cmd":"NODE_CLUSTER","act":"queryServer","address":null,"port":1,"addressType":4,)"
           R"("index":0,"seq":)" +
           std::to_string(seq) + "}\n";
}

std::shared_ptr<const UniqueFd> some_handle()
{
    return std::make_shared<const UniqueFd>(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

std::size_t open_descriptors()
{
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, {}));
}

struct Fixture : ScriptedNode {
    void got(const NodeMessage& message)
    {
        messages.push_back(message);
        if (on_message) on_message(message);
    }

    NodeChannel::Calls calls()
    {
        return {.message = [this](const NodeMessage& message) { got(message); },
                .end = [this] { ++ends; },
                .changed = [this] { ++changes; }};
    }

    /// Bytes from the worker that nobody has taken out of the socket.
    int unread() const
    {
        int count = -1;
        REQUIRE(::ioctl(kernels_end.get(), FIONREAD, &count) == 0);
        return count;
    }

    std::function<void(const NodeMessage&)> on_message;
    std::vector<NodeMessage> messages;
    int ends = 0;
    int changes = 0;
    UniqueFd kernels_end{::fcntl(daemons_end.get(), F_DUPFD_CLOEXEC, 0)};
    std::unique_ptr<NodeChannel> channel =
        std::make_unique<NodeChannel>(loop, std::move(daemons_end), calls());
};

/// A manager that was killed: its channel is never run again, and the next one goes on. A test uses
/// the loop of the first one by hand.
struct Killed : Fixture {
    ~Killed() { channel.reset(); } // it is the next manager's by then

    void kill()
    {
        const auto past = NodeChannel::Past::read(channel->saved());
        REQUIRE(past);
        first = std::move(channel); // hangs on, as a dead manager's descriptors do in the guardian
        channel = std::make_unique<NodeChannel>(
            next_loop, UniqueFd{::fcntl(kernels_end.get(), F_DUPFD_CLOEXEC, 0)}, calls(), *past,
            [this](std::uint64_t) { return handle; });
    }
    /// The next manager does everything that is ready, and tells what the worker has heard.
    std::string next()
    {
        std::string heard;
        char buffer[65536];
        while (true) {
            next_loop.restart();
            while (next_loop.poll() > 0)
                next_loop.restart();
            const auto received = receive_bytes(worker.get(), buffer);
            if (!received || received->size == 0) return heard;
            heard.append(buffer, received->size);
            handles += received->handles ? 1 : 0;
        }
    }

    boost::asio::io_context next_loop;
    std::shared_ptr<const UniqueFd> handle;
    std::unique_ptr<NodeChannel> first;
    int handles = 0;
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "node channel: a line stays in the socket until its effects are done")
{
    std::vector<int> seen;
    on_message = [&](const NodeMessage&) {
        seen.push_back(unread());
        boost::asio::post(loop, [&] { seen.push_back(unread()); });
    };
    say(kOnline);
    const int size = static_cast<int>(kOnline.size());
    CHECK(seen == std::vector{size, size});
    CHECK(unread() == 0);
}

TEST_CASE_FIXTURE(Fixture, "node channel: half a line stays in the socket")
{
    say(kOnline + "{\"cmd\":");
    CHECK(messages.size() == 1);
    CHECK(unread() == 7);
    say(kOnline.substr(7));
    CHECK(run_until(loop, [&] { return messages.size() == 2; }));
    CHECK(std::holds_alternative<NodeOnline>(messages[1]));
    settle();
    CHECK(unread() == 0);
}

TEST_CASE_FIXTURE(Fixture, "node channel: half a line that fills the socket is taken out of it")
{
    const std::string line = query(1);
    std::string padded = line;
    padded.insert(1, 3'000, ' '); // JSON may; a byte at a time, as no program does
    padded.replace(1, 7, line.substr(1, 7));
    std::size_t said = 0;
    CHECK(run_until(loop, [&] {
        while (said < padded.size() && send_with_handle(worker.get(), padded.substr(said, 1)))
            ++said;
        return said == padded.size();
    }));
    CHECK(run_until(loop, [&] { return messages.size() == 1; }));
    settle();
    CHECK(unread() == 0);
    say(kOnline); // and from now on it is as before
    CHECK(messages.size() == 2);
}

TEST_CASE_FIXTURE(Fixture, "node channel: half a line that comes with a socket is completed")
{
    const std::string line = "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Server\"}\n";
    REQUIRE(send_with_handle(worker.get(), line.substr(0, 9), some_handle()->get()));
    CHECK(hear().text == kTaken);
    say(line.substr(9) + kOnline);
    REQUIRE(messages.size() == 2);
    CHECK(std::holds_alternative<NodeUserMessage>(messages[0]));
    CHECK(std::holds_alternative<NodeOnline>(messages[1]));
}

TEST_CASE_FIXTURE(Fixture, "node channel: messages for the app do not keep an answer from it")
{
    channel->send("socket\n", some_handle());
    CHECK(hear().text == "socket\n");
    while (!channel->full())
        channel->send_plain(std::string(10'000, 'a') + "\n"); // behind the socket
    say(kTaken);
    CHECK(run_until(loop, [&] { return hear().text.empty() && !channel->full(); }));
}

TEST_CASE_FIXTURE(Fixture, "node channel: what cannot go out at once is told, and that it has")
{
    channel->send("one\n");
    channel->send_plain("two\n");
    CHECK(changes == 0);
    channel->send("socket\n", some_handle());
    CHECK(changes == 0);
    channel->send_plain("the app's\n");
    CHECK(changes == 0);
    channel->send("three\n");
    CHECK(changes == 1);
    CHECK(channel->saved()["unsent"].size() == 1);
    hear();
    say(kTaken);
    CHECK(changes == 2);
    CHECK(channel->saved()["unsent"].empty());
}

TEST_CASE_FIXTURE(Fixture, "node channel: without a descriptor it has ended")
{
    const NodeChannel none{loop, UniqueFd{}, calls()};
    CHECK(none.ended());
    settle();
    CHECK(ends == 0);
}

TEST_CASE_FIXTURE(Killed, "node channel: what a manager has heard and not finished is heard again")
{
    REQUIRE(send_with_handle(worker.get(), kOnline));
    while (messages.empty())
        loop.run_one(); // up to the message
    kill();
    next();
    CHECK(messages.size() == 2);
    CHECK(unread() == 0);
}

TEST_CASE_FIXTURE(Killed, "node channel: the next one sends first what was held back")
{
    handle = some_handle();
    channel->send("one\n", handle);
    channel->send("two\n", handle);
    channel->send("three\n");
    CHECK(hear().text == "one\n");
    kill();
    CHECK(next() == "two\n");
    CHECK(handles == 1);
    REQUIRE(send_with_handle(worker.get(), kTaken));
    CHECK(next() == "three\n");
}

TEST_CASE_FIXTURE(Killed, "node channel: a socket that nobody has any more is left out")
{
    channel->send("one\n", some_handle());
    channel->send("two\n", some_handle());
    channel->send("three\n");
    CHECK(hear().text == "one\n");
    kill();
    CHECK(next() == "three\n");
    CHECK(handles == 0);
}

TEST_CASE_FIXTURE(Killed, "node channel: a line that is half out is completed, whoever's it is")
{
    const std::string line(3UL << 20U, 'a');
    channel->send_plain(line + "\n");
    CHECK(changes == 1);
    kill();
    CHECK(next() == line + "\n");
}

TEST_CASE_FIXTURE(Killed, "node channel: that the worker is bun is known to the next one")
{
    say(std::string{kBunMark} + kOnline);
    CHECK(changes == 1);
    kill();
    channel->send("one\n");
    CHECK(next() == std::string{kBunMark} + "one\n");
}

TEST_CASE("node channel: what is no saved channel is refused")
{
    const char* const rows[] = {
        "null",
        "[]",
        "1",
        R"({"marked": 1})",
        R"({"unsent": {}})",
        R"({"unsent": [1]})",
        R"({"unsent": [{"line": 1}]})",
        R"({"unsent": [{"line": "a", "sent": -1}]})",
        R"({"unsent": [{"line": "a", "sent": 1}]})",
        R"({"unsent": [{"line": "a", "handle": "b"}]})",
    };
    for (const char* const row : rows) {
        CAPTURE(row);
        CHECK_FALSE(NodeChannel::Past::read(nlohmann::json::parse(row)));
    }
    CHECK(NodeChannel::Past::read(nlohmann::json::parse(R"({"later": 1})")));
}

TEST_CASE_FIXTURE(Fixture, "node channel: each line is a message, however it is cut")
{
    const std::string both = kOnline + query(1);
    for (const char c : both)
        say({&c, 1});
    REQUIRE(run_until(loop, [&] { return messages.size() == 2; }));
    CHECK(std::holds_alternative<NodeOnline>(messages[0]));
    CHECK(std::holds_alternative<NodeQuery>(messages[1]));
}

TEST_CASE_FIXTURE(Fixture, "node channel: a line that is too long is dropped, and only that one")
{
    const std::string long_line(5UL << 20U, 'x');
    const std::string text =
        kOnline + "\"" + long_line + "\"\n" + query(1) + long_line + "\n" + kOnline;
    CHECK(say(text) == text.size());
    CHECK(run_until(loop, [&] { return messages.size() == 3; }));
    CHECK(std::holds_alternative<NodeQuery>(messages[1]));
}

TEST_CASE_FIXTURE(Fixture, "node channel: nothing overtakes a socket that is not acknowledged")
{
    const auto handle = some_handle();
    channel->send("one\n", handle);
    channel->send("two\n");
    channel->send("three\n", handle);
    channel->send("four\n");
    auto heard = hear();
    CHECK(heard.text == "one\n");
    CHECK(heard.handles == 1);
    say(kTaken);
    heard = hear();
    CHECK(heard.text == "two\nthree\n");
    CHECK(heard.handles == 1);
    say(kTaken);
    CHECK(hear().text == "four\n");
    CHECK(handle.use_count() == 1);
    CHECK(messages.empty());
}

TEST_CASE_FIXTURE(Fixture, "node channel: a lost socket is sent again, three times")
{
    channel->send("one\n", some_handle());
    channel->send("two\n");
    for (int attempt = 0; attempt < 4; ++attempt) {
        const auto heard = hear();
        CHECK(heard.text == "one\n");
        CHECK(heard.handles == 1);
        say(kLost);
    }
    CHECK(hear().text == "two\n");
}

TEST_CASE_FIXTURE(Fixture, "node channel: the lag of the worker's loop is the time to its answer")
{
    CHECK(!channel->lag());
    channel->measure_lag();
    channel->measure_lag(); // one question at a time
    CHECK(hear().text == node_lag_question());
    const auto overdue = channel->lag();
    REQUIRE(overdue);
    CHECK(*channel->lag() >= *overdue); // grows until there is an answer
    say(kLost);
    REQUIRE(channel->lag());
    CHECK(*channel->lag() == *channel->lag());
    CHECK(messages.empty());
}

TEST_CASE_FIXTURE(Fixture, "node channel: the answer about the lag is not one about a socket")
{
    channel->measure_lag();
    const auto handle = some_handle();
    channel->send("one\n", handle);
    CHECK(hear().handles == 1);
    say(kLost); // to the question; the socket is not sent again
    CHECK(hear().text.empty());
    CHECK(handle.use_count() == 2);
    channel->measure_lag(); // not while a socket is under way
    CHECK(hear().text.empty());
    say(kTaken);
    CHECK(handle.use_count() == 1);
}

TEST_CASE_FIXTURE(Fixture, "node channel: sockets from the worker are closed and acknowledged")
{
    channel->send("ours\n", some_handle()); // under way: the acknowledgement overtakes
    channel->send("held back\n");
    CHECK(hear().text == "ours\n");
    const std::size_t before = open_descriptors();
    const auto theirs = some_handle();
    REQUIRE(send_with_handle(worker.get(), "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Server\"}\n",
                             theirs->get()));
    CHECK(hear().text == kTaken);
    CHECK(open_descriptors() == before + 1); // `theirs` itself
}

TEST_CASE_FIXTURE(Fixture, "node channel: a worker that reads no answers is not read from either")
{
    const std::string answer(1000, 'a');
    on_message = [&](const NodeMessage&) { channel->send(answer + "\n"); };
    std::string flood;
    for (int i = 0; i < 50'000; ++i)
        flood += kOnline;
    const std::size_t said = say(flood);
    CHECK(said < flood.size());
    // Our limit, and what the kernel holds of a socket pair.
    const std::size_t answered = messages.size() * (answer.size() + 1);
    CHECK(answered < NodeChannel::kMaxUnsentBytes + (2UL << 20U));

    std::string heard;
    CHECK(run_until(loop, [&] {
        heard += hear().text;
        return heard.size() >= said / kOnline.size() * (answer.size() + 1);
    }));
    CHECK(messages.size() == said / kOnline.size());
}

TEST_CASE_FIXTURE(Fixture, "node channel: the end comes once, behind the last line")
{
    say(kOnline);
    worker.reset();
    CHECK(run_until(loop, [&] { return ends == 1; }));
    CHECK(messages.size() == 1);
    CHECK(channel->ended());
    channel->send("to nobody\n", some_handle());
    settle();
    CHECK(ends == 1);
}

TEST_CASE_FIXTURE(Fixture,
                  "node channel: a worker that is gone with our words unread is an end too")
{
    channel->send("unread\n");
    settle();
    worker.reset();
    channel->send("into the void\n");
    CHECK(run_until(loop, [&] { return ends == 1; }));
}

TEST_CASE_FIXTURE(Fixture, "node channel: it may be destroyed by what it calls")
{
    on_message = [&](const NodeMessage&) { channel.reset(); };
    say(kOnline + kOnline);
    CHECK(run_until(loop, [&] { return !channel; }));
    CHECK(messages.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "node channel: bun's mark is put before what bun reads")
{
    say(std::string{kBunMark} + kOnline);
    CHECK(messages.size() == 1);
    channel->send("one\n");
    CHECK(hear().text == std::string{kBunMark} + "one\n");
    channel->send_plain("\"shutdown\"\n"); // the app's own
    CHECK(hear().text == "\"shutdown\"\n");
}

TEST_CASE_FIXTURE(Fixture, "node channel: a message for the app waits behind a socket too")
{
    channel->send("one\n", some_handle());
    channel->send_plain("two\n");
    CHECK(hear().text == "one\n");
    say(kTaken);
    CHECK(hear().text == "two\n");
}

TEST_CASE_FIXTURE(Fixture, "node channel: it is full while the worker reads nothing")
{
    const std::string line(10'000, 'a');
    for (int i = 0; i < 1'000 && !channel->full(); ++i)
        channel->send_plain(line + "\n");
    CHECK(channel->full());
    CHECK(run_until(loop, [&] { return hear().text.empty() && !channel->full(); }));
}
