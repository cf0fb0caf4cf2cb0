#include "supervisor/sys/fd_passing.hpp"

#include "supervisor/sys/keeper.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

using namespace cluster;
using namespace cluster::supervisor;

namespace {

struct TestPipe {
    TestPipe()
    {
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
        read = ipc::UniqueFd{ends[0]};
        write = ipc::UniqueFd{ends[1]};
    }
    ipc::UniqueFd read, write;
};

} // namespace

TEST_CASE(
    "fd_passing: a message brings its bytes and as many descriptors as there may be, in order")
{
    const auto pair = make_message_pair().value();
    const TestPipe one;
    const TestPipe other;
    std::vector<int> fds(kMaxFdsPerMessage, one.read.get());
    fds.back() = other.write.get();
    CHECK(send_message(pair.first.get(), "hello", fds));
    const auto received = receive_message(pair.second.get()).value();
    CHECK(received.bytes == "hello");
    CHECK_FALSE(received.fds_lost);
    REQUIRE(received.fds.size() == fds.size());
    CHECK(inode_of(received.fds.front().get()) == inode_of(one.read.get()));
    CHECK(inode_of(received.fds.back().get()) == inode_of(other.write.get()));
    for (const ipc::UniqueFd& fd : received.fds)
        CHECK(::fcntl(fd.get(), F_GETFD) == FD_CLOEXEC);
}

TEST_CASE("fd_passing: messages do not run into each other")
{
    const auto pair = make_message_pair().value();
    const TestPipe pipe;
    CHECK(send_message(pair.first.get(), "a"));
    CHECK(send_message(pair.first.get(), "b", std::array{pipe.read.get()}));
    CHECK(receive_message(pair.second.get())->bytes == "a");
    const auto second = receive_message(pair.second.get()).value();
    CHECK(second.bytes == "b");
    CHECK(second.fds.size() == 1);
    CHECK(receive_message(pair.second.get()).error().code.value() == EAGAIN);
}

TEST_CASE("fd_passing: what was said before the end is heard, also by one that was not listened to")
{
    auto pair = make_message_pair().value();
    CHECK(send_message(pair.second.get(), "never read"));
    CHECK(send_message(pair.first.get(), "last words"));
    pair.first.reset(); // with something unread: the kernel reports ECONNRESET once
    CHECK(receive_message(pair.second.get())->bytes == "last words");
    CHECK(receive_message(pair.second.get())->bytes.empty());
    CHECK(send_message(pair.second.get(), "x").error().code.value() == EPIPE);
}

TEST_CASE("fd_passing: a side that does not read leaves no room some time")
{
    const auto pair = make_message_pair().value();
    const std::string big(kMaxMessageBytes, 'x');
    int sent = 0;
    auto result = send_message(pair.first.get(), big);
    for (; result && sent < 10'000; ++sent)
        result = send_message(pair.first.get(), big);
    CHECK(result.error().code.value() == EAGAIN);
    for (int i = 0; i < sent; ++i)
        REQUIRE(receive_message(pair.second.get())->bytes == big);
}

TEST_CASE("fd_passing: too much for one message is refused")
{
    const auto pair = make_message_pair().value();
    const std::vector<int> fds(kMaxFdsPerMessage + 1, 0);
    CHECK(send_message(pair.first.get(), "x", fds).error().code.value() == EMSGSIZE);
    CHECK_FALSE(send_message(pair.first.get(), std::string(kMaxMessageBytes + 1, 'x')));
    CHECK_FALSE(send_message(pair.first.get(), ""));
}
