#include "supervisor/daemon/scrape_request.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster::supervisor;

namespace {

int status_of(std::string_view request, std::string_view token = "")
{
    ScrapeRequest parser{token};
    const auto verdict = parser.put(request);
    return verdict ? verdict->status : 0;
}

} // namespace

TEST_CASE("scrape_request: one question is answered")
{
    const std::string long_header = "GET /metrics HTTP/1.1\r\nX: " + std::string(9000, 'y');
    const struct {
        std::string_view request;
        int status; ///< 0: more has to come
    } rows[] = {
        {"GET /metrics HTTP/1.1\r\n\r\n", 200},
        {"GET /metrics?a=b HTTP/1.1\r\nHost: x\r\n\r\n", 200},
        {"GET /metrics HTTP/1.0\r\n\r\n", 200},
        {"GET /metrics HTTP/1.1\r\n", 0},
        {"GE", 0},
        {"", 0},
        {"GET / HTTP/1.1\r\n\r\n", 404},
        {"GET /metricsx HTTP/1.1\r\n\r\n", 404},
        {"POST /metrics HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", 405},
        {"HEAD /metrics HTTP/1.1\r\n\r\n", 405},
        {"nonsense\r\n\r\n", 400},
        {"GET /metrics HTTP/9.9\r\n\r\n", 400},
        {"GET /metrics HTTP/1.1\r\nbad header\r\n\r\n", 400},
        {long_header, 431},
    };
    for (const auto& row : rows) {
        CAPTURE(row.request);
        CHECK(status_of(row.request) == row.status);
    }
}

TEST_CASE("scrape_request: comes in whatever pieces")
{
    const std::string_view request = "GET /metrics HTTP/1.1\r\nAuthorization: Bearer abc\r\n\r\n";
    ScrapeRequest parser{"abc"};
    for (std::size_t at = 0; at + 1 < request.size(); ++at)
        CHECK(!parser.put(request.substr(at, 1)));
    const auto verdict = parser.put(request.substr(request.size() - 1));
    REQUIRE(verdict);
    CHECK(verdict->status == 200);
    CHECK(verdict->chunked);
}

TEST_CASE("scrape_request: the token comes before everything else")
{
    CHECK(status_of("GET /nothing HTTP/1.1\r\n\r\n", "abc") == 401);
    CHECK(status_of("GET /metrics HTTP/1.1\r\nAuthorization: Bearer abc\r\n\r\n", "abc") == 200);
    CHECK(is_authorized("BEARER abc", "abc"));
    for (const char* header : {"", "Bearer", "Bearer ", "Bearer ab", "Bearer abd", "Bearer abcabc",
                               "Basic abc", "abc", "Bearer  abc"}) {
        CAPTURE(header);
        CHECK(!is_authorized(header, "abc"));
    }
}

TEST_CASE("scrape_request: an answer says how it ends")
{
    CHECK(answer_head({.status = 200, .chunked = true}).find("Transfer-Encoding: chunked\r\n") !=
          std::string::npos);
    CHECK(answer_head({.status = 200}).starts_with("HTTP/1.0 200 OK\r\n"));
    CHECK(answer_head({.status = 401}).find("WWW-Authenticate: Bearer") != std::string::npos);
    CHECK(as_chunk("abc") == "3\r\nabc\r\n");
    CHECK(as_chunk("") == "0\r\n\r\n");
}
