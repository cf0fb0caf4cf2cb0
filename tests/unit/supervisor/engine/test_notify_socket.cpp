#include "supervisor/engine/notify_socket.hpp"

#include "ipc/base/notify.hpp"
#include "tests/unit/supervisor/engine/fake_keeper.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"

#include <boost/asio/post.hpp>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using cluster::tests::run_until;

namespace {

/// A socket whose messages are collected.
struct Listening {
    boost::asio::io_context loop{1};
    tests::FakeKeeper keeper;
    std::vector<NotifyMessage> heard;
    std::unique_ptr<NotifySocket> socket;

    explicit Listening(uid_t worker = ::geteuid())
    {
        auto opened =
            NotifySocket::open(loop, keeper, worker,
                               [this](const NotifyMessage& message) { heard.push_back(message); });
        if (!opened) FAIL(opened.error().text());
        socket = std::move(*opened);
    }

    void say(const std::string& text) const { REQUIRE(ipc::notify(socket->address(), text)); }
    bool hears(std::size_t count)
    {
        return run_until(loop, [&] { return heard.size() == count; });
    }
};

/// As root one may speak in the name of any user (man 7 unix, SCM_CREDENTIALS).
void say_as(uid_t uid, const std::string& address, std::string text)
{
    const ipc::UniqueFd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    address.copy(to.sun_path, address.size());
    to.sun_path[0] = '\0';
    const ucred sender{.pid = ::getpid(), .uid = uid, .gid = ::getegid()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof sender)] = {};
    iovec part{.iov_base = text.data(), .iov_len = text.size()};
    msghdr message{};
    message.msg_name = &to;
    message.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_CREDENTIALS;
    header->cmsg_len = CMSG_LEN(sizeof sender);
    std::memcpy(CMSG_DATA(header), &sender, sizeof sender);
    REQUIRE(::sendmsg(fd.get(), &message, 0) == static_cast<ssize_t>(text.size()));
}

} // namespace

TEST_CASE("notify socket: every datagram is one message, in order")
{
    Listening l;
    l.say("STATUS=one");
    l.say("READY=1\nSTATUS=two");
    REQUIRE(l.hears(2));
    CHECK(l.heard[0] == NotifyMessage{.status = "one"});
    CHECK(l.heard[1] == NotifyMessage{.ready = true, .status = "two"});
    l.say("WATCHDOG=1");
    REQUIRE(l.hears(3));
    CHECK(l.heard[2] == NotifyMessage{.watchdog = true});
}

TEST_CASE("notify socket: the worker's user, root and our own are heard, others are not")
{
    if (::geteuid() != 0) return; // only root may send for others
    constexpr uid_t kWorker = 12'345;
    Listening l{kWorker};
    say_as(kWorker, l.socket->address(), "STATUS=worker");
    say_as(54'321, l.socket->address(), "STATUS=stranger");
    say_as(0, l.socket->address(), "STATUS=root");
    REQUIRE(l.hears(2));
    CHECK(l.heard[0].status == "worker");
    CHECK(l.heard[1].status == "root");
}

TEST_CASE("notify socket: a message beyond 4096 bytes is dropped, the longest one is not")
{
    Listening l;
    l.say("READY=1\n" + std::string(4089, 'x'));
    l.say("STOPPING=1\n" + std::string(4085, 'x'));
    REQUIRE(l.hears(1));
    CHECK(l.heard[0] == NotifyMessage{.stopping = true});
}

TEST_CASE("notify socket: a worker that never stops talking leaves the loop to others")
{
    boost::asio::io_context loop{1};
    tests::FakeKeeper keeper;
    int heard = 0;
    std::unique_ptr<NotifySocket> socket;
    auto opened = NotifySocket::open(loop, keeper, ::geteuid(), [&](const NotifyMessage&) {
        ++heard;
        REQUIRE(ipc::notify(socket->address(), "WATCHDOG=1")); // there is always one more
    });
    REQUIRE(opened);
    socket = std::move(*opened);
    REQUIRE(ipc::notify(socket->address(), "WATCHDOG=1"));
    for (int turn = 0; turn < 3; ++turn) {
        const int before = heard;
        REQUIRE(run_until(loop, [&] { return heard > before; }));
        CHECK(heard - before <= 16);
        bool served = false;
        boost::asio::post(loop, [&] { served = true; });
        REQUIRE(run_until(loop, [&] { return served; }));
        CHECK(heard - before <= 16);
    }
}

TEST_CASE("notify socket: it may be destroyed by what it calls, and hears nothing afterwards")
{
    boost::asio::io_context loop{1};
    tests::FakeKeeper keeper;
    int heard = 0;
    std::unique_ptr<NotifySocket> socket;
    auto opened = NotifySocket::open(loop, keeper, ::geteuid(), [&](const NotifyMessage&) {
        ++heard;
        socket.reset();
    });
    REQUIRE(opened);
    socket = std::move(*opened);
    const std::string address = socket->address();
    REQUIRE(ipc::notify(address, "READY=1"));
    REQUIRE(ipc::notify(address, "READY=1"));
    REQUIRE(run_until(loop, [&] { return heard > 0; }));
    loop.restart();
    loop.run();
    CHECK(heard == 1);
    CHECK_FALSE(ipc::notify(address, "READY=1"));
}

TEST_CASE("notify socket: a message stays in the socket until its effects are done")
{
    boost::asio::io_context loop{1};
    tests::FakeKeeper keeper;
    std::unique_ptr<NotifySocket> socket;
    std::vector<bool> there;
    const auto look = [&] {
        char byte = 0;
        there.push_back(peek_datagram(keeper.fds.begin()->second.get(), {&byte, 1}).has_value());
    };
    auto opened = NotifySocket::open(loop, keeper, ::geteuid(), [&](const NotifyMessage&) {
        look();
        boost::asio::post(loop, look);
    });
    REQUIRE(opened);
    socket = std::move(*opened);
    REQUIRE(ipc::notify(socket->address(), "READY=1"));
    REQUIRE(run_until(loop, [&] { return there.size() == 2; }));
    CHECK(there == std::vector{true, true});
    loop.restart();
    loop.poll();
    look();
    CHECK_FALSE(there.back());
}

TEST_CASE("notify socket: who comes next hears what was said meanwhile")
{
    Listening l;
    const auto saved = l.socket->saved();
    KeptFds kept = l.keeper.hand_over();
    SUBCASE("in the socket that was kept")
    {
        l.say("READY=1");
    }
    SUBCASE("in another one of the same name")
    {
        kept = {};
        l.socket.reset(); // nobody has it any more
        l.keeper.fds.clear();
    }
    boost::asio::io_context loop{1};
    tests::FakeKeeper keeper;
    int heard = 0;
    auto next =
        NotifySocket::restore(loop, keeper, saved, kept, [&](const NotifyMessage&) { ++heard; });
    if (!next) FAIL(next.error().text());
    CHECK(keeper.fds.size() == 1);
    CHECK((*next)->address() == saved["address"].get<std::string>());
    if (!l.socket) REQUIRE(ipc::notify((*next)->address(), "READY=1"));
    CHECK(run_until(loop, [&] { return heard == 1; }));
}

TEST_CASE("notify socket: what is no saved socket is refused, and so is a name that is taken")
{
    Listening l;
    const char* const rows[] = {"null",
                                "[]",
                                "{}",
                                R"({"address": 1})",
                                R"({"address": "@x", "inode": -1})",
                                R"({"address": "@x", "uid": "root"})",
                                R"({"address": "/tmp/x"})"};
    for (const char* const row : rows) {
        CAPTURE(row);
        KeptFds kept;
        CHECK_FALSE(NotifySocket::restore(l.loop, l.keeper, nlohmann::json::parse(row), kept,
                                          [](const NotifyMessage&) {}));
    }
    KeptFds none;
    const auto taken = NotifySocket::restore(l.loop, l.keeper, l.socket->saved(), none,
                                             [](const NotifyMessage&) {});
    REQUIRE_FALSE(taken);
    CHECK(taken.error().code == std::errc::address_in_use);
}
