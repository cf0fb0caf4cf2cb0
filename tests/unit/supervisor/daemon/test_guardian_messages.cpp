#include "supervisor/daemon/guardian_messages.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <random>

using namespace cluster::supervisor;

namespace {

const EndedProcess kExited{.pid = 7, .start_time = 1ULL << 40U, .status = {.code = 42}};
const EndedProcess kKilled{.pid = 1 << 22, .start_time = 0, .status = {.signal = SIGKILL}};
const Upgrade kUpgrade{.serial = 3,
                       .ok = true,
                       .since_ms = 1ULL << 50U,
                       .gap_ms = 17,
                       .from = "0.1.0",
                       .to = "0.1.1",
                       .program = "/usr/bin/clusterd",
                       .reason = "no \xff reason\n"};

const std::vector<std::uint64_t> kInodes{1, 1ULL << 63U};
const std::vector<EndedProcess> kEnded{kExited, kKilled};

const struct {
    std::string bytes;
    Message message;
} kRows[] = {
    {encode(Verb::keep), {.verb = Verb::keep}},
    {encode(Verb::journal), {.verb = Verb::journal}},
    {encode(Verb::ready), {.verb = Verb::ready}},
    {encode(Verb::alive), {.verb = Verb::alive}},
    {encode(Verb::complete), {.verb = Verb::complete}},
    {encode(Verb::hand_over), {.verb = Verb::hand_over}},
    {encode_drop(kInodes), {.verb = Verb::drop, .inodes = kInodes}},
    {encode_drop({}), {.verb = Verb::drop}},
    {encode_ended(Verb::ended, kEnded), {.verb = Verb::ended, .ended = kEnded}},
    {encode_ended(Verb::acknowledge, kEnded), {.verb = Verb::acknowledge, .ended = kEnded}},
    {encode_upgrade(Verb::upgrade, kUpgrade), {.verb = Verb::upgrade, .upgrade = kUpgrade}},
    {encode_upgrade(Verb::outcome, kUpgrade), {.verb = Verb::outcome, .upgrade = kUpgrade}},
    {encode_descriptor(FdRole::journal, 70000),
     {.verb = Verb::descriptor, .role = FdRole::journal, .number = 70000}},
    {encode_manager(4711), {.verb = Verb::manager, .number = 4711}},
};

} // namespace

TEST_CASE("guardian messages: what is said is what is heard")
{
    for (const auto& row : kRows) {
        CAPTURE(row.bytes);
        const auto heard = decode(row.bytes);
        REQUIRE(heard);
        CHECK(*heard == row.message);
    }
}

TEST_CASE("guardian messages: numbers are little-endian, as in every version")
{
    CHECK(encode_drop(std::vector<std::uint64_t>{0x0102}) ==
          std::string("d\x02\x01\0\0\0\0\0\0", 9));
    CHECK(encode_manager(0x010203) == std::string("m\x03\x02\x01\0", 5));
}

TEST_CASE("guardian messages: one that is cut off inside a field is none")
{
    for (const auto& row : kRows) {
        for (std::size_t size = 0; size < row.bytes.size(); ++size) {
            CAPTURE(row.bytes);
            CAPTURE(size);
            const auto heard = decode(std::string_view{row.bytes}.substr(0, size));
            // Lists may end after any of their entries.
            if (heard) CHECK(heard->inodes.size() + heard->ended.size() < 2);
            if (heard) CHECK((heard->verb == Verb::drop || !row.message.ended.empty()));
        }
    }
}

TEST_CASE("guardian messages: of another version's message the known fields are taken")
{
    CHECK_FALSE(decode("Zwhatever"));
    CHECK(decode(encode(Verb::ready) + "more")->verb == Verb::ready);
    CHECK(decode(encode_upgrade(Verb::outcome, kUpgrade) + "more")->upgrade == kUpgrade);
}

TEST_CASE("guardian messages: texts that are too long are cut")
{
    Upgrade upgrade = kUpgrade;
    upgrade.reason = std::string(100'000, 'x');
    upgrade.program = "/" + std::string(4000, 'x');
    const auto heard = decode(encode_upgrade(Verb::outcome, upgrade));
    REQUIRE(heard);
    CHECK(heard->upgrade.reason == std::string(1000, 'x'));
    CHECK(heard->upgrade.program == upgrade.program);
}

TEST_CASE("guardian messages: a list gives its messages back in order")
{
    std::string list;
    for (const auto& row : kRows)
        append_to_list(list, row.bytes);
    std::string_view rest = list;
    for (const auto& row : kRows)
        CHECK(next_of_list(rest) == row.bytes);
    CHECK_FALSE(next_of_list(rest));
    std::string_view cut = std::string_view{list}.substr(0, 3);
    CHECK_FALSE(next_of_list(cut));
    std::string_view lying{"\xff\xff\xff\xffxyz"};
    CHECK_FALSE(next_of_list(lying));
}

TEST_CASE("guardian messages: any bytes at all are heard or passed over")
{
    const std::uint32_t seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937 random{seed};
    const std::string verbs = "kdjraueochfm";
    for (int round = 0; round < 20'000; ++round) {
        std::string bytes(random() % 60, '\0');
        for (char& byte : bytes)
            byte = static_cast<char>(random());
        if (!bytes.empty() && round % 2 == 0) bytes.front() = verbs[random() % verbs.size()];
        if (const auto heard = decode(bytes)) {
            CHECK(heard->inodes.size() <= bytes.size() / 8);
            CHECK(heard->ended.size() <= bytes.size() / 20);
        }
        std::string_view list = bytes;
        while (next_of_list(list)) {
        }
        CHECK(list.size() <= bytes.size());
    }
}
