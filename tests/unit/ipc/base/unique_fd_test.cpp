#include "ipc/base/unique_fd.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>

#include <utility>

using cluster::ipc::UniqueFd;

namespace {

int some_fd()
{
    return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

bool is_open(int fd)
{
    return ::fcntl(fd, F_GETFD) >= 0;
}

} // namespace

TEST_CASE("unique_fd: closes what it owns, once, when it goes")
{
    const int number = some_fd();
    {
        const UniqueFd fd{number};
        CHECK(fd.get() == number);
        CHECK(is_open(number));
    }
    CHECK(!is_open(number));
}

TEST_CASE("unique_fd: a move leaves the source empty and closes what the target had")
{
    UniqueFd first{some_fd()};
    UniqueFd second{some_fd()};
    const int kept = first.get();
    const int dropped = second.get();
    second = std::move(first);
    CHECK(second.get() == kept);
    CHECK(is_open(kept));
    CHECK(!is_open(dropped));
    UniqueFd third{std::move(second)};
    CHECK(third.get() == kept);
    CHECK(third);
}

TEST_CASE("unique_fd: a released descriptor stays open and is the caller's")
{
    UniqueFd fd{some_fd()};
    const int number = fd.release();
    CHECK(!fd);
    CHECK(is_open(number));
    ::close(number);
}
