#include "supervisor/sys/keeper.hpp"

#include "tests/unit/supervisor/engine/fake_keeper.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <utility>

using namespace cluster;
using namespace cluster::supervisor;
using cluster::tests::FakeKeeper;

namespace {

ipc::UniqueFd some_socket()
{
    return ipc::UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
}

} // namespace

TEST_CASE("keeper: an inode is that of the open thing, whoever has it open; 0 for none")
{
    int ends[2] = {-1, -1};
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const ipc::UniqueFd read{ends[0]};
    const ipc::UniqueFd write{ends[1]};
    const ipc::UniqueFd socket = some_socket();
    const ipc::UniqueFd memory{::memfd_create("test", MFD_CLOEXEC)};
    const ipc::UniqueFd copy{::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0)};
    CHECK(inode_of(socket.get()) != 0);
    CHECK(inode_of(memory.get()) != 0);
    CHECK(inode_of(read.get()) == inode_of(write.get())); // one pipe
    CHECK(inode_of(copy.get()) == inode_of(socket.get()));
    CHECK(inode_of(socket.get()) != inode_of(read.get()));
    CHECK(inode_of(-1) == 0);
}

TEST_CASE("keeper: a descriptor is kept as long as its token lives, and dropped once")
{
    FakeKeeper keeper;
    const ipc::UniqueFd socket = some_socket();
    const std::uint64_t inode = inode_of(socket.get());
    {
        const Kept kept{keeper, socket.get()};
        CHECK(kept.inode() == inode);
        CHECK(keeper.fds.contains(inode));
    }
    CHECK(keeper.fds.empty());
}

TEST_CASE("keeper: a token that moves takes its business along, and the one it replaces drops")
{
    FakeKeeper keeper;
    const ipc::UniqueFd one = some_socket();
    const ipc::UniqueFd other = some_socket();
    std::optional<Kept> first{std::in_place, keeper, one.get()};
    Kept second{std::move(*first)};
    CHECK(first->inode() == 0);
    first.reset(); // nothing is its own any more
    CHECK(keeper.fds.contains(inode_of(one.get())));

    second = Kept{keeper, other.get()};
    CHECK(second.inode() == inode_of(other.get()));
    CHECK(keeper.fds.size() == 1);
    CHECK(keeper.fds.contains(inode_of(other.get())));
    second = {};
    CHECK(second.inode() == 0);
    CHECK(keeper.fds.empty());
}

TEST_CASE("keeper: a token of nothing keeps nothing")
{
    FakeKeeper keeper;
    const Kept nothing;
    CHECK(nothing.inode() == 0);
    Kept another;
    another = Kept{};
    CHECK(keeper.fds.empty());
}

TEST_CASE("kept descriptors: each is taken once, by its inode, and what nobody takes is the rest")
{
    ipc::UniqueFd one = some_socket();
    ipc::UniqueFd other = some_socket();
    const int number = one.get();
    const std::uint64_t inode = inode_of(one.get());
    const std::uint64_t other_inode = inode_of(other.get());
    KeptFds kept;
    kept.add(std::move(one));
    kept.add(std::move(other));
    CHECK_FALSE(kept.take(0));
    CHECK(kept.rest().size() == 2);
    const ipc::UniqueFd taken = kept.take(inode);
    CHECK(taken.get() == number);
    CHECK_FALSE(kept.take(inode));
    REQUIRE(kept.rest().size() == 1);
    CHECK(kept.rest().begin()->first == other_inode);
}

TEST_CASE("kept descriptors: of two for one thing the later stays, the other is closed")
{
    ipc::UniqueFd one = some_socket();
    ipc::UniqueFd copy{::fcntl(one.get(), F_DUPFD_CLOEXEC, 0)};
    const std::uint64_t inode = inode_of(one.get());
    const int first = one.get();
    const int second = copy.get();
    KeptFds kept;
    kept.add(std::move(one));
    kept.add(std::move(copy));
    CHECK(::fcntl(first, F_GETFD) == -1);
    CHECK(kept.take(inode).get() == second);
}
