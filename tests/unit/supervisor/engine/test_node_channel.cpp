// A channel and the worker's end of it in one process; the test plays the worker.
#include "supervisor/engine/node_channel.hpp"

#include "supervisor/sys/fd_channel.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"
#include "tests/unit/supervisor/engine/scripted_node.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>

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

    std::function<void(const NodeMessage&)> on_message;
    std::vector<NodeMessage> messages;
    int ends = 0;
    std::unique_ptr<NodeChannel> channel = std::make_unique<NodeChannel>(
        loop, std::move(daemons_end), [this](const NodeMessage& message) { got(message); },
        [this] { ++ends; });
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "node channel: each line is a message, however it is cut")
{
    const std::string both = kOnline + query(1);
    for (const char c : both)
        say({&c, 1});
    REQUIRE(messages.size() == 2);
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
