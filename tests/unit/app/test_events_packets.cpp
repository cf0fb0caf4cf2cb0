#include "app/events/engine_packet.hpp"
#include "app/events/guarded_json.hpp"
#include "app/events/socket_packet.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace cluster::app;
using namespace std::string_literals;

namespace {

std::string repeated(std::string_view text, std::size_t count)
{
    std::string all;
    for (std::size_t i = 0; i < count; ++i)
        all += text;
    return all;
}

/// {"k0":0,"k1":0,…}
std::string wide_object(std::size_t members)
{
    std::string text = "{";
    for (std::size_t i = 0; i < members; ++i)
        text += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":0";
    return text + "}";
}

/// What the decoder says to these messages; text begins with 't', binary with 'b'.
Result<std::optional<SocketPacket>> decoded(const std::vector<std::string>& messages)
{
    PacketDecoder decoder;
    Result<std::optional<SocketPacket>> last = std::nullopt;
    for (const std::string& message : messages) {
        last = message[0] == 't' ? decoder.add_text(message.substr(1))
                                 : decoder.add_binary(message.substr(1));
        if (!last) return last;
    }
    return last;
}

} // namespace

TEST_CASE("engine packets: what each text means")
{
    const struct {
        const char* text;
        EngineType type;
        const char* data;
        bool binary;
    } rows[] = {
        {"2probe", EngineType::ping, "probe", false},
        {"3", EngineType::pong, "", false},
        {"4hello", EngineType::message, "hello", false},
        {"5", EngineType::upgrade, "", false},
        {"1", EngineType::close, "", false},
        {"bAQID", EngineType::message, "\1\2\3", true},
        {"b", EngineType::message, "", true},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto packet = parse_engine_packet(row.text);
        REQUIRE(packet);
        CHECK(packet->type == row.type);
        CHECK(packet->data == row.data);
        CHECK(packet->binary == row.binary);
    }
    for (const char* const bad : {"", "7", "x", "bA", "b!!!!", "bAQ=D", " 4"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_engine_packet(bad));
    }
}

TEST_CASE("engine packets: a poll's body holds several, and ends at a bad one")
{
    EnginePayload payload{"4a\x1e"
                          "4b\x1e"
                          "9\x1e"
                          "4c"};
    CHECK(payload.next()->value().data == "a");
    CHECK(payload.next()->value().data == "b");
    CHECK_FALSE(payload.next()->has_value());
    CHECK_FALSE(payload.next());

    std::string body;
    append_frame(body, engine_frame(EngineType::message, "hi"));
    append_frame(body, binary_frame("\xff\xfe\x00"s));
    CHECK(body == "4hi\x1e"
                  "b//4A");
}

TEST_CASE("base64: there and back, at each length")
{
    for (std::size_t size = 0; size < 10; ++size) {
        const std::string bytes = std::string("\x00\xff\x10 abcdef", 10).substr(0, size);
        CHECK(from_base64(to_base64(bytes)) == bytes);
    }
    CHECK(to_base64("Man") == "TWFu");
    CHECK(to_base64("Ma") == "TWE=");
    CHECK(from_base64("TWE") == "Ma");
    CHECK_FALSE(from_base64("TWE=="s + "=="));
}

TEST_CASE("socket packets: each row is one text")
{
    const struct {
        const char* text;
        SocketPacketType type;
        const char* nsp;
        int id; // -1: none
        const char* data;
    } rows[] = {
        {"0", SocketPacketType::connect, "/", -1, ""},
        {R"(0{"token":"t"})", SocketPacketType::connect, "/", -1, R"({"token":"t"})"},
        {"0/admin,", SocketPacketType::connect, "/admin", -1, ""},
        {"0/admin", SocketPacketType::connect, "/admin", -1, ""},
        {"1", SocketPacketType::disconnect, "/", -1, ""},
        {"1/admin,", SocketPacketType::disconnect, "/admin", -1, ""},
        {R"(2["hi",1])", SocketPacketType::event, "/", -1, R"(["hi",1])"},
        {R"(213["hi"])", SocketPacketType::event, "/", 13, R"(["hi"])"},
        {R"(2/a,456["x",{"b":1,"a":2}])", SocketPacketType::event, "/a", 456,
         R"(["x",{"b":1,"a":2}])"},
        {R"(2[7])", SocketPacketType::event, "/", -1, "[7]"},
        {"30[]", SocketPacketType::ack, "/", 0, "[]"},
        {R"(4{"message":"no"})", SocketPacketType::connect_error, "/", -1, R"({"message":"no"})"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto packet = decoded({"t"s + row.text});
        REQUIRE(packet);
        REQUIRE(*packet);
        CHECK((*packet)->type == row.type);
        CHECK((*packet)->nsp == row.nsp);
        CHECK((*packet)->id.has_value() == (row.id >= 0));
        if (row.id >= 0) CHECK((*packet)->id == static_cast<std::uint64_t>(row.id));
        CHECK(((*packet)->data ? json_text(*(*packet)->data) : "") == row.data);
    }
}

TEST_CASE("socket packets: what breaks the protocol is an error, never more")
{
    const std::string many = "2[\"x\"," + repeated("[", 200) + repeated("]", 200) + "]";
    const std::string rows[] = {
        "",
        "9",
        "x",
        "2",
        "2{}",
        "2[]",
        "2[null]",
        "2[{}]",
        "2[\"disconnect\"]",
        "2[\"connect_error\"]",
        "2[\"x\"",
        "2[\"x\"]]",
        "2\"x\"",
        "0[]",
        "0\"x\"",
        "1{}",
        "3",
        "3{}",
        "4",
        "4[]",
        "5[\"x\"]",
        "5-[\"x\"]",
        "50-[\"x\"]",
        "511-[\"x\"]",
        "599999999999999999999-[1]",
        "5-1-[\"x\"]",
        "21234567890123456[\"x\"]",
        "2/" + std::string(300, 'n') + ",[\"x\"]",
        "2[\"\xff\"]",
        "2[\"\\ud800\"]",
        "2[NaN]",
        many,
        "2[\"x\"," + wide_object(8000) + "]",
    };
    for (const std::string& row : rows) {
        CAPTURE(row.substr(0, 60));
        const auto packet = decoded({"t" + row});
        CHECK_FALSE(packet);
    }
    CHECK(decoded({"t2[\"x\"," + wide_object(3000) + "]"}));
    CHECK(decoded({"t2[\"x\"," + repeated("[", 90) + repeated("]", 90) + "]"}));
}

TEST_CASE("socket packets: attachments find their places")
{
    const auto packet = decoded({R"(t52-/a,7["x",{"_placeholder":true,"num":1},)"
                                 R"([{"k":{"_placeholder":true,"num":0}}]])",
                                 "bfirst", "bsecond"});
    REQUIRE(packet);
    REQUIRE(*packet);
    CHECK((*packet)->type == SocketPacketType::event);
    CHECK((*packet)->nsp == "/a");
    const json& data = *(*packet)->data;
    CHECK(data[1] == json::binary({'s', 'e', 'c', 'o', 'n', 'd'}));
    CHECK(data[2][0]["k"] == json::binary({'f', 'i', 'r', 's', 't'}));

    const auto frames = encode_packet(**packet);
    REQUIRE(frames.size() == 3);
    CHECK(*frames[0].bytes == R"(452-/a,7["x",{"_placeholder":true,"num":0},)"
                              R"([{"k":{"_placeholder":true,"num":1}}]])");
    CHECK(*frames[1].bytes == "second");
    CHECK(frames[2].binary);
}

TEST_CASE("socket packets: attachments that do not fit are errors")
{
    const std::vector<std::string> rows[] = {
        {"bbytes"},                                                   // of nothing
        {R"(t51-["x",{"_placeholder":true,"num":0}])", R"(t2["y"])"}, // text between
        {R"(t51-["x",{"_placeholder":true,"num":1}])", "ba"},         // not there
        {R"(t51-["x",{"_placeholder":true,"num":-1}])", "ba"},
        {R"(t51-["x",{"_placeholder":true,"num":"0"}])", "ba"},
        {R"(t51-["x",{"_placeholder":true}])", "ba"},
        // One that stands twice would be copied: a small packet could fill the memory.
        {R"(t51-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}])", "ba"},
    };
    for (const auto& row : rows) {
        CAPTURE(row[0]);
        CHECK_FALSE(decoded(row));
    }
    const auto waiting = decoded({R"(t52-["x",{"_placeholder":true,"num":0}])", "ba"});
    REQUIRE(waiting);
    CHECK_FALSE(*waiting);
}

TEST_CASE("socket packets: what is sent")
{
    const auto text = [](SocketPacket packet) { return *encode_packet(packet)[0].bytes; };
    CHECK(text({.type = SocketPacketType::connect, .data = json{{"sid", "s"}}}) ==
          R"(40{"sid":"s"})");
    CHECK(text({.type = SocketPacketType::disconnect, .nsp = "/a"}) == "41/a,");
    CHECK(text({.data = json::array({"e", 1.5, nullptr})}) == R"(42["e",1.5,null])");
    CHECK(text({.type = SocketPacketType::ack, .id = 9, .data = json::array()}) == "439[]");
    CHECK(text({.data = json::array({"\xff"})}) == "42[\"\xef\xbf\xbd\"]");
}
