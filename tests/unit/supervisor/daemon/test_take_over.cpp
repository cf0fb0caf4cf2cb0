#include "supervisor/daemon/take_over.hpp"

#include <doctest/doctest.h>

#include <csignal>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace cluster;
using namespace cluster::supervisor;

namespace {

TakeOver everything()
{
    TakeOver all{.lock = 5,
                 .listener = 4,
                 .channel = 7,
                 .manager = 4711,
                 .journal = 9,
                 .program = 8,
                 .kept = {10, 12, 11},
                 .ended = {},
                 .upgrade =
                     Upgrade{.serial = 2, .from = "1", .to = "2", .program = "/b", .reason = {}},
                 .outcome = Upgrade{.serial = 1,
                                    .ok = true,
                                    .gap_ms = 9,
                                    .from = {},
                                    .to = {},
                                    .program = {},
                                    .reason = {}}};
    for (int pid = 1; pid <= 1000; ++pid)
        all.ended.push_back({.pid = pid, .start_time = 1, .status = {.code = pid}});
    return all;
}

ipc::UniqueFd file_with(const std::string& text)
{
    ipc::UniqueFd file{::memfd_create("test", MFD_CLOEXEC)};
    REQUIRE(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    return file;
}

} // namespace

TEST_CASE("take over: the list says all that there is")
{
    CHECK(parse_take_over(take_over_text(everything())) == everything());
    CHECK(parse_take_over(take_over_text({})) == TakeOver{});
}

TEST_CASE("take over: what another version adds to the list is passed over")
{
    std::string text;
    append_to_list(text, "Zsomething");
    append_to_list(text, encode_descriptor(static_cast<FdRole>('Z'), 3));
    text += take_over_text(everything());
    CHECK(parse_take_over(text) == everything());
}

TEST_CASE("take over: descriptors that were handed over are close-on-exec again")
{
    const ipc::UniqueFd lock{::open("/dev/null", O_RDONLY)};
    const ipc::UniqueFd listener{::open("/dev/null", O_RDONLY)};
    const ipc::UniqueFd kept{::open("/dev/null", O_RDONLY)};
    TakeOver all;
    all.lock = lock.get();
    all.listener = listener.get();
    all.kept = {kept.get()};
    CHECK(receive_take_over(file_with(take_over_text(all))).value() == all);
    for (const auto* fd : {&lock, &listener, &kept})
        CHECK(::fcntl(fd->get(), F_GETFD) == FD_CLOEXEC);
}

TEST_CASE("take over: a list without lock or socket is refused")
{
    TakeOver all = everything();
    all.lock = -1;
    CHECK_FALSE(receive_take_over(file_with(take_over_text(all))));
    CHECK_FALSE(receive_take_over(file_with("")));
    CHECK_FALSE(receive_take_over(file_with("rubbish that is no list of anything")));
}

TEST_CASE("take over: when the program cannot be executed, everything is as before")
{
    const ipc::UniqueFd lock{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    TakeOver all;
    all.lock = lock.get();
    sigset_t before;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
    CHECK(become_guardian("/nonexistent/clusterd", -1, "/tmp", false, all).text() ==
          "execute /nonexistent/clusterd: no such file or directory");
    sigset_t after;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
    CHECK(::sigismember(&after, SIGTERM) == ::sigismember(&before, SIGTERM));
    CHECK(::fcntl(lock.get(), F_GETFD) == FD_CLOEXEC);
}
