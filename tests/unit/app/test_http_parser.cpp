#include "app/http/request_parser.hpp"

#include <boost/beast/http/error.hpp>
#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace cluster::app;

namespace {

struct Read {
    bool whole = false;
    std::string code{}; ///< of what is wrong
    std::string target{};
    std::string body{};
    std::size_t used = 0; ///< bytes that belong to the request
    bool operator==(const Read&) const = default;
};

/// Reads one request of `bytes`, of which `piece` arrive at a time.
Read read(std::string_view bytes, std::size_t piece, std::size_t header_limit = 1024)
{
    RequestParser parser{header_limit};
    Read result;
    std::size_t known = 0;
    const auto fail = [&result](const RequestParser::Step& step) {
        result.code = step.code.message();
        return result;
    };
    while (!parser.has_header()) {
        const auto step = parser.take_header(bytes.substr(result.used, known - result.used));
        result.used += step.used;
        if (step.code) return fail(step);
        if (!step.starved || parser.has_header()) continue;
        if (known == bytes.size()) return result;
        known = std::min(known + piece, bytes.size());
    }
    result.target = std::string{parser.header().target()};
    std::array<char, 3> space{};
    while (!parser.is_done()) {
        const auto step = parser.take_body(bytes.substr(result.used, known - result.used), space);
        result.used += step.used;
        result.body.append(space.data(), step.filled);
        if (step.code) return fail(step);
        if (!step.starved || step.filled > 0 || parser.is_done()) continue;
        if (known == bytes.size()) return result;
        known = std::min(known + piece, bytes.size());
    }
    result.whole = true;
    return result;
}

constexpr std::string_view kChunked =
    "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;q=1\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";

} // namespace

TEST_CASE("request parser: how the bytes are cut up does not matter")
{
    const std::string_view length =
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nhello!";
    for (const std::string_view bytes : {kChunked, length}) {
        for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
            CAPTURE(piece);
            // What follows belongs to the next request.
            CHECK(read(std::string{bytes} + "GET ", piece) ==
                  Read{true, "", "/a", "hello!", bytes.size()});
        }
    }
}

TEST_CASE("request parser: a last chunk that comes byte by byte")
{
    // Found by fuzz_http: Beast asserted that at least five bytes of it come at once.
    const std::string_view bytes =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    CHECK(read(bytes, 1) == Read{true, "", "/", "", bytes.size()});
}

TEST_CASE("request parser: a request that ends early is not whole")
{
    for (std::size_t size = 0; size < kChunked.size(); ++size) {
        CAPTURE(size);
        const Read got = read(kChunked.substr(0, size), 4);
        CHECK_FALSE(got.whole);
        CHECK(got.code == "");
    }
}

TEST_CASE("request parser: the limit of the header holds for any pieces")
{
    std::string drip = "GET / HTTP/1.1\r\nHost: x\r\n";
    for (int i = 0; i < 200; ++i)
        drip += "A: 0123456789abcdef\r\n";
    for (const std::size_t piece : std::initializer_list<std::size_t>{1, 20, 21, 100, 5000}) {
        CAPTURE(piece);
        const Read got = read(drip, piece);
        CHECK(got.code == make_error_code(http::error::header_limit).message());
        CHECK(got.used <= 1024 + 5000);
    }
}

TEST_CASE("request parser: headers that are well formed and yet refused")
{
    const struct {
        const char* head;
        unsigned want; ///< 0: taken
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        {"GET / HTTP/1.0\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", 0},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1,1\r\n\r\n", 400},
    };
    for (const auto& row : rows) {
        CAPTURE(row.head);
        RequestParser parser{1024};
        std::string_view rest = row.head;
        while (!parser.has_header()) {
            const auto step = parser.take_header(rest);
            REQUIRE_FALSE(step.code);
            rest.remove_prefix(step.used);
        }
        const auto refusal = parser.refusal();
        CHECK((refusal ? static_cast<unsigned>(refusal->status) : 0) == row.want);
    }
}
