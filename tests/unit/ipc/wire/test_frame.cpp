#include "ipc/wire/frame.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using cluster::ipc::FrameReader;

namespace {

std::vector<std::string> all(FrameReader& reader)
{
    std::vector<std::string> frames;
    while (const auto frame = reader.next())
        frames.emplace_back(*frame);
    return frames;
}

} // namespace

TEST_CASE("frames: however the stream is cut, the same lines come out")
{
    const std::string stream = "one\ntwo\r\n\n\nthree\nfo";
    for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
        CAPTURE(piece);
        FrameReader reader{64};
        std::vector<std::string> got;
        for (std::size_t at = 0; at < stream.size(); at += piece) {
            REQUIRE(reader.push(stream.substr(at, piece)));
            for (auto& frame : all(reader))
                got.push_back(std::move(frame));
        }
        CHECK(got == std::vector<std::string>{"one", "two", "three"});
        CHECK(reader.rest() == "fo");
    }
}

TEST_CASE("frames: a line over the limit is refused before it is kept")
{
    FrameReader reader{8};
    CHECK(reader.push("12345678"));
    CHECK_FALSE(reader.push("9"));

    FrameReader at_once{8};
    CHECK_FALSE(at_once.push(std::string(1000, 'x')));
    CHECK(at_once.rest().empty());
}

TEST_CASE("frames: the limit counts one line, not all that wait")
{
    FrameReader reader{8};
    REQUIRE(reader.push("1234567\n1234567\n1234567\n"));
    CHECK(all(reader).size() == 3);
}

TEST_CASE("frames: a whole line in one piece may be exactly as long as the limit")
{
    FrameReader reader{4};
    REQUIRE(reader.push("1234\n"));
    CHECK(all(reader) == std::vector<std::string>{"1234"});
    CHECK_FALSE(reader.push("12345\n"));
}
