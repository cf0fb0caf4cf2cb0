#include "app/redis/link.hpp"
#include "app/redis/sentinel.hpp"
#include "app/redis/slots.hpp"
#include "app/redis/subscription.hpp"
#include "app/redis/wire.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>

using namespace cluster::app;
using namespace std::chrono_literals;
using namespace std::string_view_literals;

namespace {

using Type = RedisReply::Type;

/// A reply as one line, so that a table can hold it.
std::string shown(const RedisReply& reply)
{
    switch (reply.type) {
    case Type::nil:
        return "nil";
    case Type::status:
        return "+" + reply.text;
    case Type::error:
        return "-" + reply.text;
    case Type::text:
        return "'" + reply.text + "'";
    case Type::number:
        return std::to_string(reply.number);
    case Type::list:
        break;
    }
    std::string text = "[";
    for (const RedisReply& item : reply.items)
        text += (text.size() > 1 ? " " : "") + shown(item);
    return text + "]";
}

/// All replies in `bytes`, given to the reader in pieces of `step`; "!" where it refuses.
std::string read(std::string_view bytes, std::size_t step)
{
    ReplyReader reader;
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
        reader.feed(bytes.substr(at, step));
        while (true) {
            const auto reply = reader.next();
            if (!reply) return text + "!";
            if (!*reply) break;
            text += shown(**reply) + ";";
        }
    }
    return text;
}

RedisReply text_reply(std::string text)
{
    return {.type = Type::text, .text = std::move(text)};
}

RedisReply number_reply(std::int64_t number)
{
    return {.type = Type::number, .number = number};
}

RedisReply list_reply(std::vector<RedisReply> items)
{
    return {.type = Type::list, .items = std::move(items)};
}

} // namespace

TEST_CASE("commands: every word with its length, so any byte may stand in it")
{
    std::string bytes;
    append_command(bytes, {"SET", std::string{"k\0\r\n", 4}, ""});
    CHECK(bytes == "*3\r\n$3\r\nSET\r\n$4\r\nk\0\r\n\r\n$0\r\n\r\n"sv);
}

TEST_CASE("replies: each row is a stream, whole and byte by byte")
{
    const struct {
        std::string_view bytes;
        const char* want;
    } rows[] = {
        {"+OK\r\n", "+OK;"},
        {"$-1\r\n*-1\r\n", "nil;nil;"},
        {":-7\r\n$0\r\n\r\n", "-7;'';"},
        {"*0\r\n+A\r\n", "[];+A;"},
        {"*2\r\n*2\r\n:1\r\n$1\r\nx\r\n-ERR no\r\n", "[[1 'x'] -ERR no];"},
        {"-MOVED 1 a:2\r\n", "-MOVED 1 a:2;"},
        {"$5\r\na", ""},
        {"HTTP/1.1 400 Bad Request\r\n", "!"},
        {"+OK\r\n?\r\n", "+OK;!"},
        {"*2147483648\r\n", "!"},
        {"*2000000\r\n", "!"},
        {"$-5\r\n", "!"},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "!"},
        // Two lists that together announce more than a million, though each is below it.
        {"*2\r\n*600000\r\n", ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.bytes);
        CHECK(read(row.bytes, row.bytes.size()) == row.want);
        CHECK(read(row.bytes, 1) == row.want);
    }
}

TEST_CASE("replies: no bytes make the reader do more than refuse them")
{
    std::mt19937 random{20261122};
    constexpr std::string_view kLetters = "*$:+-0123456789\r\nxA";
    for (int i = 0; i < 20'000; ++i) {
        std::string bytes;
        for (unsigned left = random() % 40; left > 0; --left)
            bytes += kLetters[random() % kLetters.size()];
        static_cast<void>(read(bytes, 1 + random() % 7));
    }
}

TEST_CASE("error replies: what passes by itself is unavailable, the rest refused")
{
    const struct {
        const char* text;
        Trouble want;
    } rows[] = {
        {"LOADING Redis is loading", Trouble::unavailable},
        {"READONLY You can't write", Trouble::unavailable},
        {"CLUSTERDOWN The cluster is down", Trouble::unavailable},
        {"BUSY Redis is busy", Trouble::unavailable},
        {"BUSYGROUP Consumer Group name already exists", Trouble::refused},
        {"WRONGTYPE Operation against", Trouble::refused},
        {"ERR unknown", Trouble::refused},
        {"", Trouble::refused},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto outcome = outcome_of({.type = Type::error, .text = row.text});
        REQUIRE_FALSE(outcome.has_value());
        CHECK(kind_of(outcome.error()) == row.want);
        CHECK(outcome.error().what == row.text);
    }
    CHECK(outcome_of({.type = Type::status, .text = "OK"}).has_value());
}

TEST_CASE("a script's name is the SHA-1 of its text")
{
    CHECK(script_name("return 1") == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
}

TEST_CASE("slots: the values of the specification")
{
    CHECK(crc16("123456789") == 0x31c3);
    CHECK(key_slot("") == 0);
    CHECK(key_slot("{a}b") == 15495);
    CHECK(key_slot("{a}b") == key_slot("a"));
    CHECK(key_slot("x{a}{b}") == key_slot("a"));
    CHECK(key_slot("foo{}{bar}") == crc16("foo{}{bar}") % 16384); // the first { } is empty
    CHECK(key_slot("foo{{bar}}zap") == key_slot("{bar"));
    CHECK(key_slot("foo{bar") == crc16("foo{bar") % 16384);
}

TEST_CASE("redirects: each row is an error")
{
    const auto at = [](std::string host, std::uint16_t port) {
        return RedisAddress{.host = std::move(host), .port = port, .path = {}};
    };
    const struct {
        const char* text;
        std::optional<Redirect> want;
    } rows[] = {
        {"MOVED 12182 127.0.0.1:7113",
         Redirect{.ask = false, .slot = 12182, .address = at("127.0.0.1", 7113)}},
        {"ASK 0 h:1", Redirect{.ask = true, .slot = 0, .address = at("h", 1)}},
        {"MOVED 3 ::1:6379", Redirect{.ask = false, .slot = 3, .address = at("::1", 6379)}},
        {"MOVED 3 :6379", Redirect{.ask = false, .slot = 3, .address = at("asked", 6379)}},
        {"MOVED 16384 h:1", std::nullopt},
        {"MOVED x h:1", std::nullopt},
        {"MOVED 1 h", std::nullopt},
        {"MOVED 1 h:0", std::nullopt},
        {"MOVED 1 h:70000", std::nullopt},
        {"MOVED 1", std::nullopt},
        {"MOVED ", std::nullopt},
        {"MOVED", std::nullopt},
        {"ASKING 1 h:1", std::nullopt},
        {"ERR x", std::nullopt},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        CHECK((parse_redirect(row.text, "asked") == row.want));
    }
}

TEST_CASE("the map of slots")
{
    const auto node = [](RedisReply host, std::int64_t port) {
        return list_reply({std::move(host), number_reply(port), text_reply("id")});
    };
    const auto reply =
        list_reply({list_reply({number_reply(0), number_reply(100), node(text_reply("a"), 1),
                                node(text_reply("r"), 9)}),
                    list_reply({number_reply(101), number_reply(16383), node(RedisReply{}, 2)})});
    auto map = SlotMap::parse(reply, "asked");
    REQUIRE(map.has_value());
    CHECK(map->whole());
    CHECK(map->owner(100)->text() == "a:1");
    CHECK(map->owner(101)->text() == "asked:2");
    CHECK(map->masters().size() == 2);
    CHECK(map->replicas().size() == 1);
    map->set_owner(100, {.host = "n", .port = 3, .path = {}});
    CHECK(map->owner(100)->text() == "n:3");
    CHECK(map->owner(99)->text() == "a:1");

    CHECK_FALSE(SlotMap{}.whole());
    CHECK(SlotMap{}.owner(1) == nullptr);
    const auto hole = SlotMap::parse(
        list_reply({list_reply({number_reply(0), number_reply(5), node(text_reply("?"), 1)})}), "");
    CHECK(hole->owner(3) == nullptr);
    for (const auto& bad :
         {text_reply("x"), list_reply({list_reply({number_reply(0), number_reply(1)})}),
          list_reply(
              {list_reply({number_reply(0), number_reply(16384), node(text_reply("a"), 1)})}),
          list_reply({list_reply({number_reply(-1), number_reply(3), node(text_reply("a"), 1)})}),
          list_reply({list_reply({number_reply(9), number_reply(3), node(text_reply("a"), 1)})})})
        CHECK_FALSE(SlotMap::parse(bad, "").has_value());
}

TEST_CASE("what sentinels say")
{
    CHECK(parse_master(list_reply({text_reply("10.0.0.1"), text_reply("6379")}))->text() ==
          "10.0.0.1:6379");
    CHECK_FALSE(parse_master(RedisReply{}).has_value());
    CHECK_FALSE(parse_master(list_reply({text_reply("a"), text_reply("x")})).has_value());
    CHECK(parse_switch("mine 10.0.0.1 6379 10.0.0.2 6380", "mine")->text() == "10.0.0.2:6380");
    CHECK_FALSE(parse_switch("other 10.0.0.1 6379 10.0.0.2 6380", "mine").has_value());
    CHECK_FALSE(parse_switch("mine 10.0.0.1 6379", "mine").has_value());
    CHECK_FALSE(parse_switch("mine a 1 b 0", "mine").has_value());
    CHECK_FALSE(parse_switch("", "").has_value());
}

TEST_CASE("what a listener hears")
{
    const auto plain =
        parse_heard(list_reply({text_reply("message"), text_reply("c"), text_reply("b")}));
    CHECK(plain.what == Heard::What::message);
    CHECK(plain.channel == "c");
    CHECK(plain.bytes == "b");
    const auto matched = parse_heard(
        list_reply({text_reply("pmessage"), text_reply("p*"), text_reply("pc"), text_reply("b")}));
    CHECK(matched.pattern == "p*");
    CHECK(matched.channel == "pc");
    CHECK(
        parse_heard(list_reply({text_reply("subscribe"), text_reply("c"), number_reply(1)})).what ==
        Heard::What::confirmed);
    CHECK(
        parse_heard(list_reply({text_reply("pmessage"), text_reply("p"), text_reply("c")})).what ==
        Heard::What::other);
    CHECK(parse_heard(text_reply("PONG")).what == Heard::What::other);
}

TEST_CASE("pauses between tries double up to two seconds, a random part of each")
{
    CHECK(reconnect_pause(1, 1.0) == 50ms);
    CHECK(reconnect_pause(1, 0.0) == 25ms);
    CHECK(reconnect_pause(3, 1.0) == 200ms);
    CHECK(reconnect_pause(100, 1.0) == 2000ms);
    CHECK(reconnect_pause(0, 1.0) == 50ms);
}
