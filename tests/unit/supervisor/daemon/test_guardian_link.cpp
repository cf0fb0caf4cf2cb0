#include "supervisor/daemon/guardian_link.hpp"

#include "supervisor/sys/fd_passing.hpp"
#include "supervisor/sys/host.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string_view>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;

namespace {

struct Silence final : Log {
    void info(std::string_view) override {}
    void warn(std::string_view) override {}
    void error(std::string_view) override {}
};

ipc::UniqueFd some_socket()
{
    return ipc::UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
}

struct Heard {
    Message message;
    std::vector<ipc::UniqueFd> fds;
};

/// A link, and the test in place of the guardian.
struct Scene {
    Scene()
    {
        raise_open_file_limit(); // a test has its descriptors twice
        auto pair = make_message_pair().value();
        guardian = std::move(pair.first);
        link = std::make_unique<GuardianLink>(loop, std::move(pair.second), log);
    }
    void turn()
    {
        loop.restart();
        loop.poll();
    }
    void start()
    {
        link->start({.on_ended = [this](const EndedProcess& process) { ended.push_back(process); },
                     .on_guardian_gone = [this] { ++gone; },
                     .on_hand_over = [this] { ++hand_overs; },
                     .on_outcome = [this](const Upgrade& it) { outcomes.push_back(it); }});
    }
    /// All that was said since the last time.
    std::vector<Heard> heard()
    {
        std::vector<Heard> all;
        while (auto received = receive_message(guardian.get())) {
            if (received->bytes.empty()) break;
            all.push_back({decode(received->bytes).value(), std::move(received->fds)});
        }
        return all;
    }

    boost::asio::io_context loop;
    Silence log;
    ipc::UniqueFd guardian;
    std::unique_ptr<GuardianLink> link;
    std::vector<EndedProcess> ended;
    std::vector<Upgrade> outcomes;
    int gone = 0, hand_overs = 0;
};

Upgrade numbered(std::uint64_t serial)
{
    Upgrade upgrade;
    upgrade.serial = serial;
    return upgrade;
}

const EndedProcess kEnded{.pid = 7, .start_time = 8, .status = {.code = 3}};

} // namespace

TEST_CASE("guardian link: what one turn of the loop keeps goes out as one message, at its end")
{
    Scene scene;
    const ipc::UniqueFd one = some_socket();
    const ipc::UniqueFd other = some_socket();
    scene.link->keep(one.get());
    scene.link->keep(other.get());
    CHECK(scene.heard().empty());
    scene.turn();
    const auto heard = scene.heard();
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].message.verb == Verb::keep);
    REQUIRE(heard[0].fds.size() == 2);
    CHECK(std::ranges::any_of(
        heard[0].fds, [&](const auto& fd) { return inode_of(fd.get()) == inode_of(one.get()); }));
}

TEST_CASE("guardian link: more descriptors than one message takes are all kept")
{
    Scene scene;
    std::vector<ipc::UniqueFd> fds;
    for (int i = 0; i < 600; ++i)
        scene.link->keep(fds.emplace_back(some_socket()).get());
    scene.link->flush();
    std::size_t kept = 0;
    for (const Heard& heard : scene.heard())
        kept += heard.fds.size();
    CHECK(kept == fds.size());
}

TEST_CASE("guardian link: one descriptor of several owners is kept until the last of them is gone")
{
    Scene scene;
    const ipc::UniqueFd fd = some_socket();
    {
        const Kept first{*scene.link, fd.get()};
        {
            const Kept second{*scene.link, fd.get()};
            scene.turn();
            CHECK(scene.heard().size() == 1);
        }
        scene.turn();
        CHECK(scene.heard().empty());
    }
    scene.turn();
    const auto heard = scene.heard();
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].message == Message{.verb = Verb::drop, .inodes = {inode_of(fd.get())}});
}

TEST_CASE("guardian link: kept and dropped within one turn is nothing to talk about")
{
    Scene scene;
    const ipc::UniqueFd fd = some_socket();
    scene.link->keep(fd.get());
    scene.link->drop(inode_of(fd.get()));
    scene.turn();
    CHECK(scene.heard().empty());

    scene.link->keep(fd.get());
    scene.turn();
    scene.link->drop(inode_of(fd.get()));
    scene.link->keep(fd.get());
    scene.turn();
    CHECK(scene.heard().size() == 1);
}

TEST_CASE("guardian link: a descriptor that was closed without a word is not confused with another")
{
    Scene scene;
    const ipc::UniqueFd fd = some_socket();
    scene.link->keep(fd.get());
    const ipc::UniqueFd other = some_socket();
    REQUIRE(::dup3(other.get(), fd.get(), O_CLOEXEC) == fd.get());
    scene.turn();
    CHECK(scene.heard().empty());
}

TEST_CASE("guardian link: after let_go nothing is dropped")
{
    Scene scene;
    const ipc::UniqueFd fd = some_socket();
    {
        const Kept kept{*scene.link, fd.get()};
        scene.link->let_go();
        CHECK(scene.heard().size() == 1); // it is kept
    }
    scene.turn();
    CHECK(scene.heard().empty());
}

TEST_CASE(
    "guardian link: a manager that starts gets everything, and what it does not want is dropped")
{
    Scene scene;
    const ipc::UniqueFd wanted = some_socket();
    const ipc::UniqueFd forgotten = some_socket();
    const ipc::UniqueFd journal = some_socket();
    const int guardian = scene.guardian.get();
    CHECK(send_message(guardian, encode_ended(Verb::ended, {&kEnded, 1})));
    CHECK(send_message(guardian, encode(Verb::keep), std::array{wanted.get(), forgotten.get()}));
    CHECK(send_message(guardian, encode(Verb::journal), std::array{journal.get()}));
    CHECK(send_message(guardian, encode_upgrade(Verb::outcome, numbered(5))));
    CHECK(send_message(guardian, "Z of a later version"));
    CHECK(send_message(guardian, encode(Verb::complete)));

    auto handed = scene.link->receive().value();
    CHECK(handed.ended == std::vector{kEnded});
    CHECK(handed.upgrade->serial == 5);
    CHECK(inode_of(handed.journal.get()) == inode_of(journal.get()));
    CHECK(handed.fds.rest().size() == 2);

    const ipc::UniqueFd again = handed.fds.take(inode_of(wanted.get()));
    const Kept kept{*scene.link, again.get()};
    scene.link->tell_ready();
    const auto heard = scene.heard();
    REQUIRE(heard.size() == 2); // the one that is wanted is there already
    CHECK(heard[0].message == Message{.verb = Verb::drop, .inodes = {inode_of(forgotten.get())}});
    CHECK(heard[1].message.verb == Verb::ready);
}

TEST_CASE("guardian link: what a guardian has sent before it died is there, and its death is told")
{
    Scene scene;
    const ipc::UniqueFd kept = some_socket();
    CHECK(send_message(scene.guardian.get(), encode(Verb::keep), std::array{kept.get()}));
    scene.guardian.reset();
    auto handed = scene.link->receive().value();
    CHECK(handed.fds.rest().size() == 1);
    scene.start();
    scene.turn();
    CHECK(scene.gone == 1);
}

TEST_CASE("guardian link: ends of processes are told once, and wait to be acknowledged")
{
    Scene scene;
    scene.start();
    CHECK(send_message(scene.guardian.get(), encode_ended(Verb::ended, {&kEnded, 1})));
    scene.turn();
    CHECK(scene.ended == std::vector{kEnded});
    CHECK(scene.link->unacknowledged().size() == 1);
    scene.link->acknowledge({.pid = kEnded.pid, .start_time = 9, .status = {}}); // somebody else
    scene.link->acknowledge({.pid = kEnded.pid, .start_time = 8, .status = {}});
    CHECK(scene.link->unacknowledged().empty());
    scene.turn();
    const auto heard = scene.heard();
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].message.verb == Verb::acknowledge);
    REQUIRE(heard[0].message.ended.size() == 1);
    CHECK(heard[0].message.ended[0].same_process(kEnded));
}

TEST_CASE("guardian link: last words of a guardian come before its death")
{
    Scene scene;
    scene.start();
    CHECK(send_message(scene.guardian.get(), encode_ended(Verb::ended, {&kEnded, 1})));
    CHECK(send_message(scene.guardian.get(), encode_upgrade(Verb::outcome, numbered(2))));
    CHECK(send_message(scene.guardian.get(), encode(Verb::hand_over)));
    scene.guardian.reset();
    scene.turn();
    CHECK(scene.ended.size() == 1);
    CHECK(scene.outcomes.size() == 1);
    CHECK(scene.hand_overs == 1);
    CHECK(scene.gone == 1);
}

TEST_CASE("guardian link: who becomes the guardian finds all that is kept, once each")
{
    Scene scene;
    const ipc::UniqueFd fd = some_socket();
    const ipc::UniqueFd duplicate{::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)};
    const ipc::UniqueFd stranger = some_socket();
    const ipc::UniqueFd dropped = some_socket();
    const Kept kept{*scene.link, duplicate.get()};
    scene.link->keep(dropped.get());
    scene.link->drop(inode_of(dropped.get()));
    CHECK(scene.link->kept_fds() == std::vector{duplicate.get()});
}

TEST_CASE("guardian link: a guardian that does not read holds up nobody twice, and misses nothing")
{
    Scene scene;
    const int room = 4096;
    REQUIRE(::setsockopt(scene.guardian.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room) == 0);
    std::vector<ipc::UniqueFd> fds;
    const auto begin = std::chrono::steady_clock::now();
    while (fds.size() < 900) {
        scene.link->keep(fds.emplace_back(some_socket()).get());
        scene.link->flush(); // the one that finds no room waits for a second, the others do not
    }
    const auto took = std::chrono::steady_clock::now() - begin;
    CHECK(took >= std::chrono::milliseconds{900}); // there was no room at last
    CHECK(took < std::chrono::seconds{20});
    std::size_t kept = 0;
    for (int turns = 0; turns < 1000 && kept < fds.size(); ++turns) {
        for (const Heard& heard : scene.heard())
            kept += heard.fds.size();
        scene.turn();
    }
    CHECK(kept == fds.size());
}
