// The frame reader against any bytes, cut anywhere: the first byte is the limit, the second says
// how the stream is cut. However it is cut, the same frames come out, none holds a newline, and
// when the limit is broken, whole frames before it still came out the same.
#include "ipc/base/check.hpp"
#include "ipc/wire/frame.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using namespace cluster::ipc;

namespace {

struct Outcome {
    std::vector<std::string> frames;
    std::string rest;
    bool refused = false;
};

/// `step` gives the length of the next piece.
template <class Step>
Outcome read_in_pieces(std::string_view stream, std::size_t limit, Step step)
{
    FrameReader reader{limit};
    Outcome outcome;
    while (!stream.empty() && !outcome.refused) {
        const std::string_view piece = stream.substr(0, step());
        stream.remove_prefix(piece.size());
        outcome.refused = !reader.push(piece);
        while (const auto frame = reader.next())
            outcome.frames.emplace_back(*frame);
    }
    outcome.rest = reader.rest();
    return outcome;
}

/// What the document says, without a buffer: lines without "\r", empty ones passed over.
std::vector<std::string> lines_of(std::string_view stream)
{
    std::vector<std::string> lines;
    for (std::size_t end = stream.find('\n'); end != stream.npos; end = stream.find('\n')) {
        std::string_view line = stream.substr(0, end);
        stream.remove_prefix(end + 1);
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (!line.empty()) lines.emplace_back(line);
    }
    return lines;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size < 2) return 0;
    const std::size_t limit = data[0];
    std::uint32_t random = data[1] + 1U;
    const std::string_view stream{reinterpret_cast<const char*>(data) + 2, size - 2};
    const auto expected = lines_of(stream);

    const auto any_cut = [&] {
        random = random * 1664525U + 1013904223U;
        return 1 + (random >> 16U) % 40;
    };
    const Outcome unlimited = read_in_pieces(stream, 0, any_cut);
    CLUSTER_CHECK(!unlimited.refused, "without a limit nothing is refused");
    CLUSTER_CHECK(unlimited.frames == expected, "the same frames however the stream is cut");
    CLUSTER_CHECK(unlimited.rest == stream.substr(stream.rfind('\n') + 1),
                  "what follows the last newline is kept");

    const Outcome limited = read_in_pieces(stream, limit, any_cut);
    CLUSTER_CHECK(limited.frames.size() <= expected.size() &&
                      std::equal(limited.frames.begin(), limited.frames.end(), expected.begin()),
                  "up to a refusal the frames are those of the stream");
    CLUSTER_CHECK(limited.refused || limited.frames == expected,
                  "no frame is missing unless the limit was broken");
    const bool too_long = std::ranges::any_of(
        expected, [&](const std::string& line) { return limit > 0 && line.size() > limit + 40; });
    CLUSTER_CHECK(!too_long || limited.refused, "a frame far over the limit is refused");
    return 0;
}
