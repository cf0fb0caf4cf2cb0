#include "supervisor/sys/notify_endpoint.hpp"

#include "ipc/base/notify.hpp"
#include "supervisor/sys/fd_channel.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <set>
#include <string>

using namespace cluster;
using namespace cluster::supervisor;

namespace {

NotifyEndpoint opened()
{
    auto endpoint = open_notify_endpoint();
    if (!endpoint) FAIL(endpoint.error().text());
    return std::move(*endpoint);
}

/// A datagram socket connected to the endpoint, as a worker with libsystemd has it.
ipc::UniqueFd speaker(const std::string& name)
{
    ipc::UniqueFd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, name.size());
    address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    return fd;
}

std::ptrdiff_t open_descriptors()
{
    return std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, {});
}

} // namespace

TEST_CASE("notify endpoint: it is in the abstract namespace under a name that differs each time")
{
    std::set<std::string> names;
    for (int i = 0; i < 20; ++i) {
        const NotifyEndpoint endpoint = opened();
        CHECK(endpoint.address.starts_with("@"));
        CHECK(endpoint.address.size() > 32);
        CHECK(endpoint.address.size() < sizeof(sockaddr_un::sun_path));
        CHECK((::fcntl(endpoint.socket.get(), F_GETFD) & FD_CLOEXEC) != 0);
        names.insert(endpoint.address);
    }
    CHECK(names.size() == 20);
}

TEST_CASE("notify endpoint: a datagram comes with its sender, and nothing is nothing")
{
    const NotifyEndpoint endpoint = opened();
    std::array<char, 16> bytes{};
    const auto none = peek_datagram(endpoint.socket.get(), bytes);
    REQUIRE_FALSE(none);
    CHECK(none.error().code == std::errc::resource_unavailable_try_again);

    REQUIRE(ipc::notify(endpoint.address, "READY=1"));
    for (int look = 0; look < 2; ++look) {
        const auto datagram = peek_datagram(endpoint.socket.get(), bytes);
        REQUIRE(datagram);
        CHECK(std::string(bytes.data(), datagram->size) == "READY=1");
        CHECK(datagram->sender == ::geteuid());
        CHECK_FALSE(datagram->cut);
    }
    drop_datagram(endpoint.socket.get());
    CHECK_FALSE(peek_datagram(endpoint.socket.get(), bytes));
}

TEST_CASE("notify endpoint: what does not fit is told, and an empty datagram is one")
{
    const NotifyEndpoint endpoint = opened();
    std::array<char, 8> bytes{};
    REQUIRE(ipc::notify(endpoint.address, "12345678"));
    REQUIRE(ipc::notify(endpoint.address, "123456789"));
    REQUIRE(ipc::notify(endpoint.address, ""));
    auto datagram = peek_datagram(endpoint.socket.get(), bytes);
    REQUIRE(datagram);
    CHECK_FALSE(datagram->cut);
    drop_datagram(endpoint.socket.get());
    datagram = peek_datagram(endpoint.socket.get(), bytes);
    REQUIRE(datagram);
    CHECK(datagram->cut);
    drop_datagram(endpoint.socket.get());
    datagram = peek_datagram(endpoint.socket.get(), bytes);
    REQUIRE(datagram);
    CHECK(datagram->size == 0);
    CHECK(datagram->sender == ::geteuid());
}

TEST_CASE("notify endpoint: a descriptor that comes along is closed, and the words are kept")
{
    const NotifyEndpoint endpoint = opened();
    const ipc::UniqueFd from = speaker(endpoint.address);
    int ends[2] = {-1, -1};
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const ipc::UniqueFd read{ends[0]};
    ipc::UniqueFd write{ends[1]};
    REQUIRE(send_with_handle(from.get(), "BARRIER=1", write.get()));
    write.reset();

    const auto before = open_descriptors();
    std::array<char, 64> bytes{};
    const auto datagram = peek_datagram(endpoint.socket.get(), bytes);
    REQUIRE(datagram);
    CHECK(std::string(bytes.data(), datagram->size) == "BARRIER=1");
    CHECK(datagram->sender == ::geteuid());
    CHECK(open_descriptors() == before);
    // sd_notify_barrier waits for exactly this: the last writer is gone, and so is the message.
    pollfd hung_up{.fd = read.get(), .events = 0, .revents = 0};
    CHECK(::poll(&hung_up, 1, 0) == 0);
    drop_datagram(endpoint.socket.get());
    CHECK(::poll(&hung_up, 1, 0) == 1);
}

TEST_CASE("notify endpoint: a name that nobody has any more is bound again, a taken one is not")
{
    NotifyEndpoint endpoint = opened();
    CHECK_FALSE(open_notify_endpoint(endpoint.address));
    endpoint.socket.reset();
    const auto again = open_notify_endpoint(endpoint.address);
    REQUIRE(again);
    CHECK(ipc::notify(endpoint.address, "READY=1"));
    for (const std::string& bad :
         {std::string{}, std::string{"/tmp/x"}, "@" + std::string(108, 'x')}) {
        CAPTURE(bad);
        CHECK_FALSE(open_notify_endpoint(bad));
    }
}
