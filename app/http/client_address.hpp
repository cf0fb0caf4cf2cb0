// Which address a request really comes from when there are proxies between: pure. X-Forwarded-For
// is read from its right end, because only what proxies of ours have written there can be believed.
#pragma once

#include <boost/asio/ip/network_v6.hpp>

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

/// Whom to believe. Neither hops nor networks: nobody.
struct TrustedProxies {
    int hops = 0; ///< so many proxies stand in front of us, whatever their addresses
    std::vector<boost::asio::ip::network_v6> networks; ///< IPv4 ones as ::ffff:a.b.c.d/(96+n)
    bool local = false; ///< whoever connects by a unix socket is a proxy of ours

    [[nodiscard]] bool any() const { return hops > 0 || !networks.empty() || local; }
};

/// TRUST_PROXY: "off", a number of hops, or a list of addresses, networks ("10.0.0.0/8") and the
/// names loopback, linklocal and uniquelocal. Errors: what is wrong with it, as a sentence's end.
[[nodiscard]] std::expected<TrustedProxies, std::string> parse_trust_proxy(std::string_view text);

/// The text of an address in one form: no port, no brackets, IPv4-mapped IPv6 as IPv4. "" when it
/// is none.
[[nodiscard]] std::string plain_address(std::string_view text);

struct Client {
    std::string address;  ///< "unix" when a unix socket's other end is not named by a proxy
    bool proxied = false; ///< the connection comes from a proxy that we trust
    bool operator==(const Client&) const = default;
};

/// `peer` is the plain address of the connection, "unix" for a unix socket; `forwarded` the
/// X-Forwarded-For fields, joined by commas. What is no address ends the walk.
[[nodiscard]] Client client_of(const TrustedProxies& trusted, std::string_view peer,
                               std::string_view forwarded);

/// What the rate limit counts by: an IPv4 address, or the /64 network of an IPv6 one, since one
/// host has all of it.
[[nodiscard]] std::string rate_key_of(std::string_view address);

} // namespace cluster::app
