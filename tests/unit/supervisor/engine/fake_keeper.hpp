// A Keeper in the test's own process: it holds duplicates, as the guardian does, and hands them to
// the manager that a test lets come next.
#pragma once

#include "supervisor/sys/keeper.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>

#include <cstdint>
#include <map>

namespace cluster::tests {

class FakeKeeper final : public supervisor::Keeper {
public:
    std::map<std::uint64_t, ipc::UniqueFd> fds; ///< by inode
    int flushes = 0;

    void keep(int fd) override { fds[supervisor::inode_of(fd)] = duplicate(fd); }
    void drop(std::uint64_t inode) override { fds.erase(inode); }
    void flush() override { ++flushes; }

    [[nodiscard]] supervisor::KeptFds hand_over() const
    {
        supervisor::KeptFds all;
        for (const auto& [inode, fd] : fds)
            all.add(duplicate(fd.get()));
        return all;
    }

private:
    static ipc::UniqueFd duplicate(int fd)
    {
        ipc::UniqueFd copy{::fcntl(fd, F_DUPFD_CLOEXEC, 0)};
        REQUIRE(copy);
        return copy;
    }
};

} // namespace cluster::tests
