// The bytes were recorded from @socket.io/redis-adapter 8.3.0 with notepack.io 3.0.1.
#include "app/events/adapter_message.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster::app;
using namespace std::chrono_literals;
using Names = std::vector<std::string>;

namespace {

std::string bytes_of(std::string_view hex)
{
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes += static_cast<char>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16));
    return bytes;
}

const std::string kBroadcast = bytes_of(
    "93a661626331323383a47479706502a46461746192a2686987a16e01a166cb3ff8000000000000a173f9a3626967ce"
    "00011170a36e756cc0a174c3a3627566c4020102a36e7370a12f83a5726f6f6d7391a27231a665786365707491a178"
    "a5666c61677381a8766f6c6174696c65c3");
const std::string kDates = bytes_of(
    "93a661626331323383a47479706502a46461746193a47768656ed6ff6553f100d7ff1d5353006553f100a36e7370a1"
    "2f83a5726f6f6d7390a665786365707490a5666c61677380");
const std::string kAsk = bytes_of(
    "85a3756964a6616263313233a9726571756573744964a3727131a47479706507a67061636b657483a47479706502a4"
    "6461746192a17101a36e7370a12fa46f70747383a5726f6f6d7391a172a665786365707490a5666c61677381a77469"
    "6d656f7574cd05dc");

} // namespace

TEST_CASE("adapter: a broadcast of a Node server")
{
    const auto broadcast = parse_broadcast(kBroadcast);
    REQUIRE(broadcast);
    CHECK(broadcast->uid == "abc123");
    CHECK(broadcast->nsp == "/");
    CHECK(broadcast->audience.rooms == Names{"r1"});
    CHECK(broadcast->audience.except == Names{"x"});
    CHECK(broadcast->is_volatile);
    const json& value = broadcast->data[1];
    CHECK(broadcast->data[0] == "hi");
    CHECK(value["n"] == 1);
    CHECK(value["f"] == 1.5);
    CHECK(value["s"] == -7);
    CHECK(value["big"] == 70'000);
    CHECK(value["nul"].is_null());
    CHECK(value["t"] == true);
    CHECK(value["buf"] == json::binary({1, 2}));
    // What we write about it is what Node would have written.
    const auto again = parse_broadcast(encode_broadcast(*broadcast));
    REQUIRE(again);
    CHECK(again->data == broadcast->data);
    CHECK(again->audience.except == broadcast->audience.except);
    CHECK(encode_broadcast(*broadcast).size() <= kBroadcast.size());
}

TEST_CASE("adapter: dates arrive as the text that JSON gives them")
{
    const auto broadcast = parse_broadcast(kDates);
    REQUIRE(broadcast);
    CHECK(broadcast->data[1] == "2023-11-14T22:13:20.000Z");
    CHECK(broadcast->data[2] == "2023-11-14T22:13:20.123Z");
}

TEST_CASE("adapter: every cut of a message is refused, and nothing else happens")
{
    for (std::size_t size = 0; size < kBroadcast.size(); ++size)
        CHECK_FALSE(parse_broadcast(kBroadcast.substr(0, size)));
    for (std::size_t size = 0; size < kAsk.size(); ++size)
        CHECK_FALSE(parse_request(kAsk.substr(0, size)));
    CHECK_FALSE(parse_broadcast(kBroadcast + "x"));
}

TEST_CASE("adapter: msgpack that would take memory or stack is refused")
{
    const std::string deep(100'000, '\x91');
    for (const std::string& bytes :
         {deep, bytes_of("ddffffffff"), bytes_of("dfffffffff"), bytes_of("c6ffffffff"),
          bytes_of("c1"), bytes_of("81"), bytes_of("810102"), bytes_of("d9"), bytes_of("")}) {
        CAPTURE(bytes.size());
        CHECK_FALSE(parse_msgpack(bytes));
    }
    // A map of 50,000 short keys.
    std::string wide = bytes_of("de") + bytes_of("c350");
    for (int i = 0; i < 50'000; ++i)
        wide += bytes_of("a2") + static_cast<char>(i % 100) + static_cast<char>(i / 1000) +
                bytes_of("c0");
    CHECK_FALSE(parse_msgpack(wide));
}

TEST_CASE("adapter: a broadcast that asks for acknowledgements")
{
    const auto ask = parse_request(kAsk);
    REQUIRE(ask);
    CHECK(ask->type == AdapterRequest::broadcast);
    CHECK(ask->request_id == "rq1");
    CHECK(ask->audience.rooms == Names{"r"});
    CHECK(ask->limit == 1500ms);
    CHECK(ask->data == json::array({"q", 1}));

    AdapterAsk ours = *ask;
    ours.room = "/";
    CHECK(parse_msgpack(encode_request(ours)).value() == parse_msgpack(kAsk).value());
}

TEST_CASE("adapter: requests in JSON")
{
    const struct {
        const char* text;
        AdapterRequest type;
        bool addressed;
    } rows[] = {
        {R"({"uid":"u","type":2,"opts":{"rooms":["r"],"except":[]},"rooms":["n"]})",
         AdapterRequest::remote_join, true},
        {R"({"uid":"u","type":3,"opts":{"rooms":["r"],"except":[]},"rooms":["n"]})",
         AdapterRequest::remote_leave, true},
        {R"({"uid":"u","type":4,"opts":{"rooms":["r"],"except":[]},"close":true})",
         AdapterRequest::remote_disconnect, true},
        {R"({"uid":"u","requestId":"i","type":5,"opts":{"rooms":["r"],"except":[]}})",
         AdapterRequest::remote_fetch, true},
        {R"({"uid":"u","type":6,"data":["hi",1]})", AdapterRequest::server_side_emit, false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto ask = parse_request(row.text);
        REQUIRE(ask);
        CHECK(ask->type == row.type);
        CHECK(ask->uid == "u");
        CHECK(ask->addressed == row.addressed);
        CHECK(encode_request(*ask) == row.text);
    }
    const auto one = parse_request(R"({"requestId":"i","type":2,"sid":"s","room":"n"})");
    REQUIRE(one);
    CHECK_FALSE(one->addressed);
    CHECK(one->sid == "s");
    CHECK(one->room == "n");
}

TEST_CASE("adapter: what is no request is refused")
{
    for (const char* const text :
         {"", "{", "{}", "[]", "null", R"({"type":10})", R"({"type":-1})", R"({"type":"2"})",
          R"({"type":1.5})", R"({"type":7,"packet":{"type":3,"data":["x"]}})",
          R"({"type":7,"packet":{"type":2,"data":[]}})", R"({"type":7})"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_request(text));
    }
    CHECK_FALSE(parse_response("{}"));
    CHECK(parse_response(R"({"requestId":"i"})"));
}
