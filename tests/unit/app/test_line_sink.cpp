#include "app/base/line_sink.hpp"

#include "ipc/base/unique_fd.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>

using namespace cluster;
using namespace std::chrono_literals;
using app::LineSink;

namespace {

struct Pipe {
    Pipe()
    {
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
        reader.reset(ends[0]);
        writer.reset(ends[1]);
        ::fcntl(reader.get(), F_SETFL, O_NONBLOCK);
    }
    /// All that is in it now.
    std::string read() const
    {
        std::string text;
        std::array<char, 4096> piece{};
        for (ssize_t got = 0; (got = ::read(reader.get(), piece.data(), piece.size())) > 0;)
            text.append(piece.data(), static_cast<std::size_t>(got));
        return text;
    }
    ipc::UniqueFd reader;
    ipc::UniqueFd writer;
};

} // namespace

TEST_CASE("line sink: without batching each line is written at once")
{
    const Pipe pipe;
    LineSink sink{pipe.writer.get()};
    sink.append("one\n");
    CHECK(pipe.read() == "one\n");
}

TEST_CASE("line sink: the lines of a turn go out together")
{
    const Pipe pipe;
    LineSink sink{pipe.writer.get()};
    int asked = 0;
    sink.batch([&] { ++asked; }, nullptr);
    sink.append("one\n");
    sink.append("two\n");
    CHECK(asked == 1);
    CHECK(pipe.read().empty());
    sink.flush();
    CHECK(pipe.read() == "one\ntwo\n");
}

TEST_CASE("line sink: a reader who has stopped holds nobody up, and gets it all when he goes on")
{
    const Pipe pipe;
    LineSink sink{pipe.writer.get()};
    int later = 0;
    sink.batch([] {}, [&] { ++later; });
    std::string all;
    for (int i = 0; i < 40'000; ++i) { // some 260 KB; the pipe takes 64 KiB
        const std::string line = std::to_string(i) + "\n";
        sink.append(line);
        all += line;
    }
    sink.flush();
    CHECK(later > 0);
    CHECK(sink.dropped() == 0);
    std::string seen;
    while (seen.size() < all.size()) {
        const std::string more = pipe.read();
        REQUIRE_FALSE(more.empty());
        seen += more;
        sink.flush();
    }
    CHECK(seen == all);
}

TEST_CASE("line sink: what nobody reads is dropped in the end, line by line, and the log says so")
{
    const Pipe pipe;
    LineSink sink{pipe.writer.get()};
    sink.batch([] {}, [] {});
    const std::string line = std::string(999, 'x') + "\n";
    for (int i = 0; i < 6000; ++i)
        sink.append(line);
    CHECK(sink.dropped() > 0);
    std::string seen;
    for (std::string more; !(more = pipe.read()).empty();) {
        seen += more;
        sink.flush();
    }
    const std::size_t kept = 6000 - sink.dropped();
    REQUIRE(seen.size() > kept * line.size());
    const std::string note = seen.substr(kept * line.size());
    CHECK(note.find("\"lines\":" + std::to_string(sink.dropped()) + "}") != std::string::npos);
    CHECK(note.ends_with("\n"));
}

TEST_CASE("line sink: the end waits for a slow reader, but not for ever")
{
    const Pipe pipe;
    LineSink sink{pipe.writer.get()};
    sink.append(std::string(200'000, 'x') + "\n");
    sink.finish(20ms);
    CHECK(pipe.read().size() == 65'536);
}

TEST_CASE("line sink: a reader who has gone is no reason to keep anything")
{
    Pipe pipe;
    ::signal(SIGPIPE, SIG_IGN);
    LineSink sink{pipe.writer.get()};
    pipe.reader.reset();
    sink.append("one\n");
    sink.finish(1s);
    CHECK(sink.dropped() == 0);
}
