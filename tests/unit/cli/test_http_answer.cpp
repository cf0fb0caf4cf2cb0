#include "cli/http_answer.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster::cli;
using State = AnswerReader::State;

namespace {

struct Want {
    State state;
    int status;
    bool reusable;
};

Want read(const std::string& text, std::size_t piece, bool ends)
{
    AnswerReader reader;
    for (std::size_t at = 0; at < text.size(); at += piece)
        reader.push(std::string_view{text}.substr(at, piece));
    if (ends) reader.end();
    return {reader.state(), reader.status(), reader.reusable()};
}

} // namespace

TEST_CASE("http answer: its end is found, in whatever pieces it comes")
{
    const std::string ok = "HTTP/1.1 200 OK\r\n";
    const struct {
        std::string name;
        std::string text;
        bool ends;
        Want want;
    } rows[] = {
        {"nothing", "", false, {State::head, 0, false}},
        {"half a head", ok + "Content-Le", false, {State::head, 0, false}},
        {"a body of a length",
         ok + "Content-Length: 2\r\n\r\nhi",
         false,
         {State::complete, 200, true}},
        {"its header in any case",
         ok + "content-LENGTH:2 \r\n\r\nhi",
         false,
         {State::complete, 200, true}},
        {"a byte is missing", ok + "Content-Length: 3\r\n\r\nhi", true, {State::body, 200, false}},
        {"an empty body", ok + "Content-Length: 0\r\n\r\n", false, {State::complete, 200, true}},
        {"no body by its status",
         "HTTP/1.1 204 No Content\r\n\r\n",
         false,
         {State::complete, 204, true}},
        {"a length that does not count",
         "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
         false,
         {State::complete, 304, true}},
        {"no length: open", ok + "\r\nhi", false, {State::body, 200, false}},
        {"no length: ends with the connection", ok + "\r\nhi", true, {State::complete, 200, false}},
        {"the server will close",
         ok + "Connection: close\r\nContent-Length: 0\r\n\r\n",
         false,
         {State::complete, 200, false}},
        {"HTTP/1.0 closes",
         "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
         false,
         {State::complete, 200, false}},
        {"unless it says not",
         "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
         false,
         {State::complete, 200, true}},
        {"more than was asked for",
         ok + "Content-Length: 1\r\n\r\nhi",
         false,
         {State::complete, 200, false}},
        {"chunks",
         ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
         false,
         {State::complete, 200, true}},
        {"chunks win over a length",
         ok + "Content-Length: 1\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: "
              "1\r\n\r\n0\r\n"
              "Trailer: x\r\n\r\n",
         false,
         {State::complete, 200, true}},
        {"the last chunk is missing",
         ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
         true,
         {State::body, 200, false}},
        {"the last line is missing",
         ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n",
         true,
         {State::body, 200, false}},
        {"a chunk of no size",
         ok + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
         false,
         {State::broken, 200, false}},
        {"an answer before the answer",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
         false,
         {State::complete, 503, true}},
        {"another protocol from here",
         "HTTP/1.1 101 Switching Protocols\r\n\r\n",
         false,
         {State::complete, 101, false}},
        {"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", false, {State::broken, 0, false}},
        {"HTTP/2", "HTTP/2 200\r\n\r\n", false, {State::broken, 0, false}},
        {"no status", "HTTP/1.1 OK\r\n\r\n", false, {State::broken, 0, false}},
        {"no number for a length",
         ok + "Content-Length: -1\r\n\r\n",
         false,
         {State::broken, 200, false}},
        {"a head without end",
         ok + "X: " + std::string(70'000, 'x'),
         false,
         {State::broken, 0, false}},
    };
    for (const auto& row : rows) {
        for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, row.text.size() + 1}) {
            CAPTURE(row.name);
            CAPTURE(piece);
            const Want got = read(row.text, piece, row.ends);
            CHECK(static_cast<int>(got.state) == static_cast<int>(row.want.state));
            CHECK(got.status == row.want.status);
            CHECK(got.reusable == row.want.reusable);
        }
    }
}
