#include "supervisor/engine/log_pump.hpp"

#include "tests/unit/supervisor/engine/pumping.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace cluster::tests;

namespace {

std::vector<std::string> lines_of(const std::string& text)
{
    std::vector<std::string> lines;
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);)
        lines.push_back(line);
    return lines;
}

} // namespace

TEST_CASE("log pump: every byte arrives as it was written, whatever it is")
{
    Pumping p;
    const auto stream = p.open(p.path("deep/er/out.log")); // folders are made
    const auto end = worker_end(*stream);
    std::string all;
    for (int byte = 0; byte < 256; ++byte)
        all += static_cast<char>(byte);
    say(end, all);
    say(end, "no newline");
    CHECK(p.file_becomes(stream->path(), all + "no newline"));
}

TEST_CASE("log pump: a megabyte passes through a pipe of 64 KiB in order")
{
    Pumping p;
    const auto stream = p.open(p.path("out.log"));
    const auto end = worker_end(*stream);
    std::string all;
    for (int line = 0; all.size() < 1'000'000; ++line)
        all += "line " + std::to_string(line) + "\n";
    REQUIRE(pour(p, end, all));
    CHECK(p.file_becomes(stream->path(), all));
}

TEST_CASE("log pump: a file with content is appended to, and its open line is ended first")
{
    for (const auto& [before, between] :
         {std::pair{"old\n", ""}, std::pair{"old", "\n"}, std::pair{"", ""}}) {
        CAPTURE(before);
        Pumping p;
        std::ofstream{p.path("out.log")} << before;
        const auto stream = p.open(p.path("out.log"));
        say(worker_end(*stream), "new\n");
        CHECK(p.file_becomes(stream->path(), std::string{before} + between + "new\n"));
    }
}

TEST_CASE("log pump: a file emptied or removed under us leaves no hole")
{
    Pumping p;
    const auto stream = p.open(p.path("out.log"));
    const auto end = worker_end(*stream);
    say(end, "before the cut\n");
    REQUIRE(p.file_becomes(stream->path(), "before the cut\n"));
    REQUIRE(::truncate(stream->path().c_str(), 0) == 0);
    say(end, "after\n");
    CHECK(p.file_becomes(stream->path(), "after\n"));
    REQUIRE(::truncate(stream->path().c_str(), 3) == 0); // in the middle of a line of ours
    say(end, "more\n");
    CHECK(p.file_becomes(stream->path(), "aftmore\n"));
}

TEST_CASE("log pump: two streams in one file never tear each other's lines")
{
    const unsigned seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937 chance{seed};
    Pumping p;
    const std::string file = p.path("both.log");
    const std::unique_ptr<LogStream> streams[] = {p.open(file, 0), p.open(file, 1)};
    const ipc::UniqueFd ends[] = {worker_end(*streams[0]), worker_end(*streams[1])};
    std::string pending[2];
    std::vector<std::string> wanted;
    for (int number = 0; number < 300; ++number) {
        for (int worker : {0, 1}) {
            wanted.push_back(std::to_string(worker) + " " + std::to_string(number) + " " +
                             std::string(chance() % 90, 'x') + ".");
            pending[worker] += wanted.back() + "\n";
        }
    }
    // In pieces that end anywhere, with the pump at work in between. The clock stands still: no
    // unfinished line is ever late.
    while (!pending[0].empty() || !pending[1].empty()) {
        const std::size_t worker = chance() % 2;
        const std::size_t size = std::min<std::size_t>(1 + chance() % 400, pending[worker].size());
        say(ends[worker], pending[worker].substr(0, size));
        pending[worker].erase(0, size);
        p.loop.restart();
        p.loop.run_one_for(std::chrono::milliseconds{2});
    }
    const auto all_there = [&] { return lines_of(content(file)).size() >= wanted.size(); };
    REQUIRE(run_until(p.loop, all_there));
    auto lines = lines_of(content(file));
    for (const char worker : {'0', '1'}) {
        std::vector<std::string> own, own_wanted;
        const auto is_own = [&](const std::string& line) { return line[0] == worker; };
        std::ranges::copy_if(lines, std::back_inserter(own), is_own);
        std::ranges::copy_if(wanted, std::back_inserter(own_wanted), is_own);
        CHECK(own == own_wanted);
    }
    CHECK(lines.size() == wanted.size());
}

TEST_CASE("log pump: in a shared file an unfinished line waits 200 ms, then goes out as it stands")
{
    Pumping p;
    const std::string file = p.path("both.log");
    const auto one = p.open(file, 0);
    const auto two = p.open(file, 1);
    const auto end_one = worker_end(*one);
    const auto end_two = worker_end(*two);
    say(end_one, "whole\n");
    REQUIRE(p.file_becomes(file, "whole\n"));
    say(end_one, "prompt> "); // by the one that has written last
    p.settle();
    CHECK(content(file) == "whole\n");
    say(end_two, "another\n");
    REQUIRE(p.file_becomes(file, "whole\nanother\n"));
    p.clock.advance(kUnfinished);
    REQUIRE(p.file_becomes(file, "whole\nanother\nprompt> "));
    say(end_one, "answer\n"); // goes on behind its own beginning
    REQUIRE(p.file_becomes(file, "whole\nanother\nprompt> answer\n"));
    say(end_one, "prompt> ");
    p.settle();
    p.clock.advance(kUnfinished);
    REQUIRE(p.file_becomes(file, "whole\nanother\nprompt> answer\nprompt> "));
    say(end_two, "between\n"); // the other one does not write into that line
    CHECK(p.file_becomes(file, "whole\nanother\nprompt> answer\nprompt> \nbetween\n"));
}

TEST_CASE("log pump: a file of one stream gets unfinished lines at once")
{
    Pumping p;
    const auto stream = p.open(p.path("out.log"));
    const auto end = worker_end(*stream);
    say(end, "Loading");
    REQUIRE(p.file_becomes(stream->path(), "Loading"));
    say(end, "...");
    CHECK(p.file_becomes(stream->path(), "Loading..."));
}

TEST_CASE("log pump: a worker that dies in mid line leaves it whole, the next starts a new line")
{
    for (const int streams : {1, 2}) {
        CAPTURE(streams);
        Pumping p;
        const std::string file = p.path("out.log");
        const auto stream = p.open(file, 0);
        const auto other = streams == 2 ? p.open(file, 1) : nullptr;
        say(worker_end(*stream), "half a li");
        p.pump.drain(*stream);
        CHECK(content(file) == "half a li");
        p.pump.drain(*stream); // nothing to add: the file stays as it is
        p.settle();
        CHECK(content(file) == "half a li");
        say(worker_end(*stream), "the next one\n");
        CHECK(p.file_becomes(file, "half a li\nthe next one\n"));
    }
}

TEST_CASE("log pump: drain takes all that a dead worker has left, in one go")
{
    Pumping p;
    const auto stream = p.open(p.path("out.log"));
    const std::string all(60'000, 'x');
    say(worker_end(*stream), all);
    p.pump.drain(*stream);
    CHECK(content(stream->path()) == all);
}

TEST_CASE("log pump: a file that cannot even be looked at stops nobody either")
{
    Pumping p;
    const auto stream = p.open(p.path("out.log"));
    const auto end = worker_end(*stream);
    p.system.faults["fstat"] = EIO;
    REQUIRE(pour(p, end, std::string(300'000, 'x')));
    p.pump.drain(*stream);
    CHECK(content(stream->path()).empty());
    CHECK(p.complaints.size() == 1);
}

TEST_CASE("log pump: a file system that cannot splice is copied to, at the end of the file")
{
    Pumping p;
    std::ofstream{p.path("out.log")} << "kept";
    p.system.faults["splice"] = EINVAL;
    const auto stream = p.open(p.path("out.log"));
    const auto end = worker_end(*stream);
    say(end, "one\n");
    REQUIRE(p.file_becomes(stream->path(), "kept\none\n"));
    CHECK(p.pump.size(*stream) == 9);
    CHECK(p.pump.tail(*stream, 0, 1) == std::vector<std::string>{"one"});
    REQUIRE(::truncate(stream->path().c_str(), 0) == 0);
    say(end, "two\n");
    CHECK(p.file_becomes(stream->path(), "two\n"));
    CHECK(p.system.calls["splice"] == 1); // asked once, then never again
}

TEST_CASE("log pump: without a second pipe lines may be torn, but none is lost")
{
    Pumping p;
    const std::string file = p.path("both.log");
    const auto one = p.open(file, 0);
    const auto two = p.open(file, 1);
    p.system.faults["pipe"] = EMFILE;
    say(worker_end(*one), "one\n");
    say(worker_end(*two), "two\n");
    REQUIRE(run_until(p.loop, [&] { return content(file).size() == 8; }));
    auto lines = lines_of(content(file));
    std::ranges::sort(lines);
    CHECK(lines == std::vector<std::string>{"one", "two"});
}

TEST_CASE("log pump: a tap gets the bytes that the file gets, and costs nothing once it is gone")
{
    Pumping p;
    std::string heard;
    int from = -1;
    const auto listen = [&](int worker, StreamKind kind, std::string_view bytes) {
        CHECK(kind == StreamKind::err);
        from = worker;
        heard += bytes;
    };
    for (const std::string& file : {p.path("err.log"), std::string{"/dev/null"}}) {
        CAPTURE(file);
        heard.clear();
        const auto stream = p.open(file, 7, StreamKind::err);
        const auto end = worker_end(*stream);
        p.pump.set_tap(listen);
        say(end, "a\nb");
        REQUIRE(run_until(p.loop, [&] { return heard == "a\nb"; }));
        CHECK(from == 7);
        p.pump.set_tap({});
        say(end, "c\n");
        p.pump.drain(*stream);
        CHECK(heard == "a\nb");
    }
}

TEST_CASE("log pump: a stream's own tap gets the bytes of that stream alone, beside the pump's")
{
    Pumping p;
    for (const std::string& file : {p.path("both.log"), std::string{"/dev/null"}}) {
        CAPTURE(file);
        std::string own, all;
        const auto one = p.open(file, 0);
        const auto two = p.open(file, 1);
        const auto end_one = worker_end(*one);
        const auto end_two = worker_end(*two);
        one->set_tap([&](std::string_view bytes) { own += bytes; });
        say(end_one, "one\n");
        say(end_two, "two\n");
        p.pump.drain(*one);
        p.pump.drain(*two);
        CHECK(own == "one\n");

        p.pump.set_tap([&](int, StreamKind, std::string_view bytes) { all += bytes; });
        say(end_one, "three\n");
        say(end_two, "four\n");
        REQUIRE(run_until(p.loop, [&] { return all.size() == 11; }));
        CHECK(own == "one\nthree\n");
        p.pump.set_tap({});
        one->set_tap({});
        say(end_one, "five\n");
        p.pump.drain(*one);
        CHECK(own == "one\nthree\n");
        CHECK(all.size() == 11);
    }
}

TEST_CASE("log pump: /dev/null takes everything, and a shared one lets nobody wait")
{
    Pumping p;
    const auto one = p.open("/dev/null", 0);
    const auto two = p.open("/dev/null", 1);
    const auto end = worker_end(*one);
    CHECK(pour(p, end, std::string(300'000, 'x')));
    CHECK(p.complaints.empty());
    CHECK(p.pump.size(*one) == 0);
    CHECK(p.pump.tail(*one, 0, 10).empty());
}

TEST_CASE("log pump: a FIFO without a reader stops neither the daemon nor the worker")
{
    Pumping p;
    const std::string file = p.path("fifo");
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
    const auto stream = p.open(file);
    const auto end = worker_end(*stream);
    say(end, "first\n");
    const ipc::UniqueFd reader{::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    std::string got;
    REQUIRE(run_until(p.loop, [&] {
        char bytes[64];
        const ssize_t size = ::read(reader.get(), bytes, sizeof bytes);
        if (size > 0) got.append(bytes, static_cast<std::size_t>(size));
        return got == "first\n";
    }));
    CHECK(pour(p, end, std::string(300'000, 'x'))); // more than the FIFO holds
    CHECK(run_until(p.loop, [&] { return !p.complaints.empty(); }));
    CHECK(p.complaints.size() == 1);
}

TEST_CASE("log pump: a log that cannot be opened is an error that names it")
{
    Pumping p;
    std::ofstream{p.path("file")} << "";
    const auto stream = p.pump.open(0, StreamKind::out, {.path = p.path("file/out.log")},
                                    {::geteuid(), ::getegid()});
    REQUIRE_FALSE(stream);
    CHECK(stream.error().text().find(p.path("file")) != std::string::npos);
}

TEST_CASE("log pump: the tail is what was written since, and no more lines than were asked for")
{
    Pumping p;
    const auto stream = p.open(p.path("err.log"));
    const auto end = worker_end(*stream);
    say(end, "of the one before\n");
    p.pump.drain(*stream);
    const std::uint64_t since = p.pump.size(*stream);
    CHECK(p.pump.tail(*stream, since, 5).empty());
    say(end, "a\nb\nc\nd");
    p.pump.drain(*stream);
    CHECK(p.pump.tail(*stream, since, 2) == std::vector<std::string>{"c", "d"});
    CHECK(p.pump.tail(*stream, since, 9) == std::vector<std::string>{"a", "b", "c", "d"});
    REQUIRE(::truncate(stream->path().c_str(), 0) == 0);
    CHECK(p.pump.tail(*stream, since, 9).empty());
}

TEST_CASE("log pump: a pipe is kept as long as its stream lives")
{
    Pumping p;
    auto stream = p.open(p.path("out.log"));
    CHECK(stream->inode() == inode_of(stream->fd()));
    CHECK(p.keeper.fds.contains(stream->inode()));
    stream.reset();
    CHECK(p.keeper.fds.empty());
}

TEST_CASE("log pump: another daemon goes on with a pipe in the middle of a line, no byte lost")
{
    for (const bool shared : {false, true}) {
        CAPTURE(shared);
        tests::Folder folder;
        const std::string file = folder.path + "/out.log";
        KeptFds kept;
        std::uint64_t inode = 0;
        ipc::UniqueFd end;
        {
            Pumping before;
            const auto stream = before.open(file);
            inode = stream->inode();
            end = worker_end(*stream);
            say(end, "one\ntwo, ");
            REQUIRE(before.file_becomes(file, "one\ntwo, "));
            say(end, "half a"); // nobody is there any more
            kept = before.keeper.hand_over();
        }
        Pumping p;
        std::unique_ptr<LogStream> other;
        auto stream = p.pump.adopt(0, StreamKind::out, {.path = file}, kept.take(inode));
        REQUIRE(stream);
        if (shared) other = p.open(file, 1);
        CHECK((*stream)->inode() == inode);
        CHECK(p.keeper.fds.contains(inode));
        say(end, " line\n");
        CHECK(p.file_becomes(file, "one\ntwo, half a line\n"));
        CHECK(p.complaints.empty());
        // Its next process gets the same pipe.
        say(worker_end(**stream), "next\n");
        CHECK(p.file_becomes(file, "one\ntwo, half a line\nnext\n"));
    }
}

TEST_CASE("log pump: a process begins a line of its own, whoever saw the one before it end")
{
    for (const bool shared : {false, true}) {
        CAPTURE(shared);
        tests::Folder folder;
        const std::string file = folder.path + "/out.log";
        KeptFds kept;
        std::uint64_t inode = 0, stage = 0, since = 0;
        ipc::UniqueFd end;
        {
            Pumping before;
            const auto other = shared ? before.open(file, 1) : nullptr;
            const auto stream = before.open(file);
            inode = stream->inode();
            stage = before.pump.stage_inode();
            end = worker_end(*stream);
            say(end, "cut sho");
            before.pump.drain(*stream); // it has been killed
            REQUIRE(content(file) == "cut sho");
            since = before.pump.size(*stream);
            kept = before.keeper.hand_over();
        }
        Pumping p;
        REQUIRE(p.pump.adopt_stage(stage, kept));
        auto stream = p.pump.adopt(0, StreamKind::out, {.path = file}, kept.take(inode), since);
        REQUIRE(stream);
        const auto other = shared ? p.open(file, 1) : nullptr;
        p.pump.settle_stage();
        say(end, "the next one\n");
        CHECK(p.file_becomes(file, "cut sho\nthe next one\n"));
    }
}

TEST_CASE(
    "log pump: a pipe whose file cannot be opened is not adopted, with an error that names it")
{
    Pumping p;
    std::unique_ptr<LogStream> stream = p.open(p.path("out.log"));
    KeptFds kept = p.keeper.hand_over();
    p.system.faults["open"] = EROFS;
    const auto adopted =
        p.pump.adopt(0, StreamKind::out, {.path = p.path("err.log")}, kept.take(stream->inode()));
    REQUIRE_FALSE(adopted);
    CHECK(adopted.error().text().contains(p.path("err.log")));
}

TEST_CASE("log pump: behind a shut gate output stays in its pipe, also when the worker has ended")
{
    Pumping p;
    bool open = false;
    p.pump.set_gate([&] { return open; });
    const std::string path = p.path("out.log");
    const auto stream = p.open(path);
    const auto end = worker_end(*stream);
    say(end, "one\n");
    p.settle();
    CHECK(content(path).empty());
    CHECK(p.pump.busy());
    p.pump.drain(*stream);
    CHECK(content(path).empty());

    open = true;
    p.pump.wake();
    CHECK(p.file_becomes(path, "one\n"));
    CHECK(run_until(p.loop, [&] { return !p.pump.busy(); }));

    open = false;
    say(end, "two\n");
    p.settle();
    CHECK(content(path) == "one\n");
    p.pump.empty(*stream); // its row is removed
    CHECK(content(path) == "one\ntwo\n");
}

TEST_CASE("log pump: a gate that is shut in the middle lets the streams take turns")
{
    Pumping p;
    int batches = 0; // that may still pass
    p.pump.set_gate([&] { return batches > 0; });
    const auto one = p.open(p.path("one.log"), 0);
    const auto other = p.open(p.path("other.log"), 1);
    one->set_tap([&](std::string_view) { --batches; });
    other->set_tap([&](std::string_view) { --batches; });
    const auto first = worker_end(*one);
    const auto second = worker_end(*other);
    for (int round = 1; round <= 3; ++round) { // both have more before the other was looked at
        say(first, "x\n");
        say(second, "x\n");
        p.settle();
        for (int turn = 0; turn < 2; ++turn) {
            batches = 1;
            p.pump.wake();
            p.settle();
            say(turn == 0 ? first : second, "more\n");
        }
        CHECK_FALSE(content(p.path("one.log")).empty());
        CHECK_FALSE(content(p.path("other.log")).empty());
    }
}
