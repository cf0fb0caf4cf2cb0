#include "app/http/client_address.hpp"

#include <doctest/doctest.h>

using namespace cluster::app;

TEST_CASE("client address: each row is one connection")
{
    const struct {
        const char* name;
        const char* trust;
        const char* peer;
        const char* forwarded;
        Client want;
    } rows[] = {
        {"nobody is trusted", "off", "10.0.0.9", "1.1.1.1", {"10.0.0.9", false}},
        {"by default too", "", "127.0.0.1", "1.1.1.1", {"127.0.0.1", false}},
        {"one hop", "1", "10.0.0.9", "6.6.6.6, 1.1.1.1", {"1.1.1.1", true}},
        {"two hops", "2", "10.0.0.9", "6.6.6.6, 1.1.1.1,10.0.0.8", {"1.1.1.1", true}},
        {"more hops than addresses", "5", "10.0.0.9", "1.1.1.1", {"1.1.1.1", true}},
        {"a hop without the header", "1", "10.0.0.9", "", {"10.0.0.9", true}},
        {"loopback", "loopback", "127.0.0.1", "1.1.1.1", {"1.1.1.1", true}},
        {"loopback of IPv6", "loopback", "::1", "1.1.1.1", {"1.1.1.1", true}},
        {"loopback holds a unix socket", "loopback", "unix", "1.1.1.1", {"1.1.1.1", true}},
        {"a network does not", "10.0.0.0/8", "unix", "1.1.1.1", {"unix", false}},
        {"a stranger who writes the header",
         "10.0.0.0/8",
         "9.9.9.9",
         "1.1.1.1",
         {"9.9.9.9", false}},
        {"a chain of trusted ones",
         "10.0.0.0/8,192.168.1.7",
         "10.1.2.3",
         "6.6.6.6, 1.1.1.1, 192.168.1.7, 10.0.0.8",
         {"1.1.1.1", true}},
        {"all of them trusted", "10.0.0.0/8", "10.1.2.3", "10.0.0.1", {"10.0.0.1", true}},
        {"garbage ends the walk",
         "loopback",
         "127.0.0.1",
         "1.1.1.1, <script>",
         {"127.0.0.1", true}},
        {"an empty entry ends it too", "loopback", "127.0.0.1", "1.1.1.1,", {"127.0.0.1", true}},
        {"a port is dropped", "1", "127.0.0.1", "1.1.1.1:5000", {"1.1.1.1", true}},
        {"brackets too", "1", "127.0.0.1", "[2001:db8::1]:443", {"2001:db8::1", true}},
        {"IPv4 in IPv6", "1", "127.0.0.1", "::ffff:1.1.1.1", {"1.1.1.1", true}},
        {"IPv6 in a network", "fd00::/8", "fd12::1", "2001:db8::9", {"2001:db8::9", true}},
        {"private networks by name", "uniquelocal", "172.20.0.2", "1.1.1.1", {"1.1.1.1", true}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto trusted = parse_trust_proxy(row.trust);
        REQUIRE(trusted.has_value());
        CHECK(client_of(*trusted, row.peer, row.forwarded) == row.want);
    }
}

TEST_CASE("client address: what cannot be a proxy is refused")
{
    for (const char* const text : {"yes", "10.0.0.0/33", "::/129", "10.0.0", "1.2.3.4/x", "-1",
                                   "33", "loopback,local", "fe80::1%eth0"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_trust_proxy(text).has_value());
    }
}

TEST_CASE("client address: the rate limit counts an IPv6 network as one client")
{
    CHECK(rate_key_of("1.2.3.4") == "1.2.3.4");
    CHECK(rate_key_of("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64");
    CHECK(rate_key_of("2001:db8:1:2::99") == rate_key_of("2001:db8:1:2:ffff::"));
    CHECK(rate_key_of("unix") == "unix");
}
