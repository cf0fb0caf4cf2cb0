#include "app/http/client_address.hpp"

#include "ipc/base/text.hpp"

#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace cluster::app {
namespace {

namespace ip = boost::asio::ip;

constexpr int kMaxHops = 32;

std::string_view trimmed(std::string_view text)
{
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    return text.substr(0, text.find_last_not_of(" \t") + 1);
}

/// "[::1]:80" → "::1", "10.0.0.1:80" → "10.0.0.1"; some proxies add the port.
std::string_view without_port(std::string_view text)
{
    if (text.starts_with('[')) return text.substr(1, text.find(']') - 1);
    const std::size_t colon = text.find(':');
    return colon != text.npos && text.find(':', colon + 1) == text.npos ? text.substr(0, colon)
                                                                        : text;
}

ip::address_v6 as_v6(const ip::address& address)
{
    return address.is_v4() ? ip::make_address_v6(ip::v4_mapped, address.to_v4()) : address.to_v6();
}

std::optional<ip::address_v6> parse_address(std::string_view text)
{
    boost::system::error_code failed;
    const auto address = ip::make_address(std::string{text}, failed);
    if (failed || text.contains('%')) return std::nullopt; // a zone means nothing to others
    return as_v6(address);
}

std::string text_of(const ip::address_v6& address)
{
    if (address.is_v4_mapped()) return ip::make_address_v4(ip::v4_mapped, address).to_string();
    return address.to_string();
}

/// "10.0.0.0/8", "fd00::/8" or a single address.
std::optional<ip::network_v6> parse_network(std::string_view text)
{
    const std::size_t slash = std::min(text.find('/'), text.size());
    const auto address = parse_address(text.substr(0, slash));
    if (!address) return std::nullopt;
    const int first = text.substr(0, slash).contains(':') ? 0 : 96;
    if (slash == text.size()) return ip::network_v6{*address, 128};
    const auto bits = ipc::parse_number<unsigned short>(text.substr(slash + 1));
    if (!bits || *bits > 128 - first) return std::nullopt;
    return ip::network_v6{*address, static_cast<unsigned short>(first + *bits)}.canonical();
}

struct Name {
    std::string_view name;
    std::array<std::string_view, 4> networks;
};
constexpr std::array kNames{
    Name{"loopback", {"127.0.0.0/8", "::1"}},
    Name{"linklocal", {"169.254.0.0/16", "fe80::/10"}},
    Name{"uniquelocal", {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"}},
};

bool add(TrustedProxies& trusted, std::string_view word)
{
    const auto* const name = std::ranges::find(kNames, word, &Name::name);
    if (name == kNames.end()) {
        const auto network = parse_network(word);
        if (network) trusted.networks.push_back(*network);
        return network.has_value();
    }
    for (const std::string_view network : name->networks)
        if (!network.empty()) trusted.networks.push_back(*parse_network(network));
    trusted.local = trusted.local || word == "loopback";
    return true;
}

bool holds(const ip::network_v6& network, const ip::address_v6& address)
{
    return ip::network_v6{address, network.prefix_length()}.canonical() == network.canonical();
}

/// Whether the `nth` address, counted from us (0 is the connection itself), is a proxy of ours.
bool is_trusted(const TrustedProxies& trusted, std::string_view address, int nth)
{
    if (nth < trusted.hops) return true;
    if (address == "unix") return trusted.local;
    const auto parsed = parse_address(address);
    return parsed && std::ranges::any_of(trusted.networks, [&](const ip::network_v6& network) {
               return holds(network, *parsed);
           });
}

} // namespace

std::expected<TrustedProxies, std::string> parse_trust_proxy(std::string_view text)
{
    TrustedProxies trusted;
    text = trimmed(text);
    if (text.empty() || text == "off" || text == "false" || text == "0") return trusted;
    if (const auto hops = ipc::parse_number<int>(text)) {
        if (*hops < 0 || *hops > kMaxHops)
            return std::unexpected(fmt::format(", as a number of proxies, from 0 to {}", kMaxHops));
        trusted.hops = *hops;
        return trusted;
    }
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(','), text.size());
        const std::string_view word = trimmed(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (!word.empty() && !add(trusted, word))
            return std::unexpected(" off, a number of proxies, or a list of addresses, networks "
                                   "(10.0.0.0/8), loopback, linklocal and uniquelocal");
    }
    return trusted;
}

std::string plain_address(std::string_view text)
{
    const auto address = parse_address(without_port(trimmed(text)));
    return address ? text_of(*address) : "";
}

Client client_of(const TrustedProxies& trusted, std::string_view peer, std::string_view forwarded)
{
    Client client{.address = std::string{peer}};
    if (!trusted.any()) return client;
    client.proxied = is_trusted(trusted, peer, 0);
    for (int nth = 0; is_trusted(trusted, client.address, nth) && !forwarded.empty(); ++nth) {
        const std::size_t comma = forwarded.rfind(',');
        const std::size_t begin = comma == std::string_view::npos ? 0 : comma + 1;
        std::string address = plain_address(forwarded.substr(begin));
        if (address.empty()) break;
        client.address = std::move(address);
        forwarded = forwarded.substr(0, begin == 0 ? 0 : begin - 1);
    }
    return client;
}

std::string rate_key_of(std::string_view address)
{
    const auto parsed = parse_address(address);
    if (!parsed || parsed->is_v4_mapped()) return std::string{address};
    return ip::network_v6{*parsed, 64}.canonical().to_string();
}

} // namespace cluster::app
