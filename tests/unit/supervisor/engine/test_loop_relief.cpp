#include "supervisor/engine/loop_relief.hpp"

#include "ipc/base/unique_fd.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

using namespace cluster;
using namespace cluster::supervisor;

namespace {

/// What happened in a process that had a LoopRelief, in order.
struct Story {
    boost::asio::io_context loop{LoopRelief::kThreads};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> goes_on{
        loop.get_executor()};
    LoopRelief relief{loop};
    std::array<int, 2> gate{}; ///< a pipe: a call that reads from it comes back when it is written
    std::array<int, 2> told{}; ///< what happened

    void tell(const std::string& what) const { (void)!::write(told[1], what.data(), what.size()); }
    void hold() const
    {
        char byte = 0;
        (void)!::read(gate[0], &byte, 1);
    }
    void release() const { (void)!::write(gate[1], "x", 1); }
};

/// It runs in a child: a LoopRelief ends with its process.
std::string story_of(const std::function<void(Story&)>& begin)
{
    std::array<int, 2> told{};
    REQUIRE(::pipe2(told.data(), O_CLOEXEC) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        Story story;
        story.told = told;
        if (::pipe2(story.gate.data(), O_CLOEXEC) != 0) ::_exit(1);
        ::alarm(60);
        begin(story);
        story.relief.run_loop([&] {
            story.tell("end");
            ::_exit(0);
        });
    }
    ::close(told[1]);
    std::string all;
    std::array<char, 256> bytes{};
    for (ssize_t size = 0; (size = ::read(told[0], bytes.data(), bytes.size())) > 0;)
        all.append(bytes.data(), static_cast<std::size_t>(size));
    ::close(told[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    return all;
}

} // namespace

TEST_CASE("loop relief: calls that come back leave everything as it is")
{
    CHECK(story_of([](Story& s) {
              s.relief.set_calls([&](const HeldCall&) { s.tell("held "); },
                                 [&](std::uint64_t) { s.tell("back "); });
              boost::asio::post(s.loop, [&] {
                  s.relief.run([&] {
                      for (int n = 0; n < 1000; ++n)
                          if (s.relief.call(s.gate[0], [n] { return n; }) != n) s.tell("wrong ");
                      s.tell("done ");
                  });
                  s.loop.stop();
              });
          }) == "done end");
}

TEST_CASE("loop relief: while a call does not come back, the loop goes on, and its work is left")
{
    CHECK(story_of([](Story& s) {
              s.relief.set_calls(
                  [&](const HeldCall& call) {
                      struct stat about{};
                      const bool same = ::fstat(s.gate[0], &about) == 0 &&
                                        call.device == about.st_dev && call.number == 1;
                      s.tell(same ? "held " : "wrong ");
                  },
                  [&](std::uint64_t number) {
                      s.tell(number == 1 ? "back " : "wrong ");
                      s.loop.stop();
                  });
              boost::asio::post(s.loop, [&] {
                  s.relief.run([&] {
                      s.relief.call(s.gate[0], [&] { return s.hold(), 0; });
                      s.tell("not left ");
                  });
              });
              boost::asio::post(s.loop, [&] {
                  s.tell("goes on ");
                  s.release();
              });
          }) == "held goes on back end");
}

TEST_CASE("loop relief: what was posted before the call does not wait for it")
{
    CHECK(story_of([](Story& s) {
              s.relief.set_calls([&](const HeldCall&) { s.tell("held "); },
                                 [&](std::uint64_t) {
                                     s.tell("back ");
                                     s.loop.stop();
                                 });
              boost::asio::post(s.loop, [&] {
                  s.relief.run([&] {
                      boost::asio::post(s.loop, [&] {
                          s.tell("posted ");
                          s.release();
                      });
                      s.relief.call(s.gate[0], [&] { return s.hold(), 0; });
                      s.tell("not left ");
                  });
              });
          }) == "held posted back end");
}

TEST_CASE("loop relief: one call after the other may not come back, and the first one last")
{
    CHECK(story_of([](Story& s) {
              static int back = 0;
              s.relief.set_calls([&](const HeldCall& call) { s.tell(std::to_string(call.number)); },
                                 [&](std::uint64_t) {
                                     if (++back == 3) s.loop.stop();
                                 });
              for (int n = 0; n < 3; ++n)
                  boost::asio::post(s.loop, [&] {
                      s.relief.run([&] {
                          s.relief.call(std::string{"/proc/self/none"},
                                        [&] { return s.hold(), 0; });
                          s.tell("not left ");
                      });
                  });
              boost::asio::post(s.loop, [&] {
                  for (int n = 0; n < 3; ++n)
                      s.release();
              });
          }) == "123end");
}

TEST_CASE("loop relief: what may not be left holds the loop, as without it")
{
    CHECK(story_of([](Story& s) {
              s.relief.set_calls([&](const HeldCall&) { s.tell("held "); },
                                 [&](std::uint64_t) { s.tell("back "); });
              boost::asio::post(s.loop, [&] {
                  s.relief.run([&] { s.relief.call(s.gate[0], [] { return 0; }); });
                  std::thread{[&] {
                      std::this_thread::sleep_for(std::chrono::milliseconds{100});
                      s.release();
                  }}.detach();
                  s.relief.call(s.gate[0], [&] { return s.hold(), 0; });
                  s.tell("came back ");
                  s.loop.stop();
              });
              boost::asio::post(s.loop, [&] { s.tell("too early "); });
          }) == "came back end");
}
