#include "cli/probe_address.hpp"

#include "cli/text.hpp"
#include "ipc/wire/address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

namespace cluster::cli {
namespace {

using Parsed = std::expected<ProbeAddress, std::string>;

ProbeAddress unix_address(std::string_view text)
{
    const std::string_view path = text.substr(std::string_view{"unix:"}.size());
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    std::memcpy(local.sun_path, path.data(), path.size()); // its length was checked
    ProbeAddress out{.text = std::string{text}, .host = "localhost"};
    std::memcpy(&out.address, &local, sizeof local);
    out.size = sizeof local;
    return out;
}

ProbeAddress ipv4_address(const std::string& host, std::uint16_t port)
{
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(port);
    ::inet_pton(AF_INET, host.empty() || host == "0.0.0.0" ? "127.0.0.1" : host.c_str(),
                &place.sin_addr);
    char shown[INET_ADDRSTRLEN]{};
    ::inet_ntop(AF_INET, &place.sin_addr, shown, sizeof shown);
    ProbeAddress out{.text = fmt::format("{}:{}", shown, port)};
    out.host = out.text;
    std::memcpy(&out.address, &place, sizeof place);
    out.size = sizeof place;
    return out;
}

ProbeAddress ipv6_address(const std::string& host, std::uint16_t port)
{
    sockaddr_in6 place{};
    place.sin6_family = AF_INET6;
    place.sin6_port = htons(port);
    ::inet_pton(AF_INET6, host.c_str(), &place.sin6_addr);
    if (IN6_IS_ADDR_UNSPECIFIED(&place.sin6_addr)) place.sin6_addr = in6addr_loopback;
    char shown[INET6_ADDRSTRLEN]{};
    ::inet_ntop(AF_INET6, &place.sin6_addr, shown, sizeof shown);
    ProbeAddress out{.text = fmt::format("[{}]:{}", shown, port)};
    out.host = out.text;
    std::memcpy(&out.address, &place, sizeof place);
    out.size = sizeof place;
    return out;
}

Parsed look_up(const std::string& host, const std::string& port)
{
    const addrinfo wanted{.ai_flags = AI_NUMERICSERV,
                          .ai_family = AF_UNSPEC,
                          .ai_socktype = SOCK_STREAM,
                          .ai_protocol = 0,
                          .ai_addrlen = 0,
                          .ai_addr = nullptr,
                          .ai_canonname = nullptr,
                          .ai_next = nullptr};
    addrinfo* found = nullptr;
    if (const int code = ::getaddrinfo(host.c_str(), port.c_str(), &wanted, &found); code != 0)
        return std::unexpected(
            fmt::format("cannot look up {}: {}", escape_controls(host), ::gai_strerror(code)));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner{found, &::freeaddrinfo};
    ProbeAddress out{.text = fmt::format("{}:{}", host, port),
                     .host = fmt::format("{}:{}", host, port)};
    std::memcpy(&out.address, found->ai_addr, found->ai_addrlen);
    out.size = found->ai_addrlen;
    return out;
}

} // namespace

Parsed parse_probe_address(std::string_view text)
{
    const auto good = ipc::check_address(text);
    if (!good)
        return std::unexpected(
            fmt::format("the address must be {}, got \"{}\"", good.error(), escape_controls(text)));
    if (good->starts_with("unix:")) return unix_address(*good);
    const auto colon = good->rfind(':');
    const std::string host = colon == std::string::npos ? "" : good->substr(0, colon);
    const auto port = static_cast<std::uint16_t>(
        std::stoi(colon == std::string::npos ? *good : good->substr(colon + 1)));
    if (port == 0) return std::unexpected("the address has no port yet");
    if (host.starts_with('[')) return ipv6_address(host.substr(1, host.size() - 2), port);
    return ipv4_address(host, port);
}

std::expected<ProbeUrl, std::string> parse_probe_url(std::string_view text)
{
    constexpr std::string_view kScheme = "http://";
    const auto refuse = [&](const char* why) {
        return std::unexpected(
            fmt::format("the URL must be {}, got \"{}\"", why, escape_controls(text)));
    };
    if (!text.starts_with(kScheme)) return refuse("http://ADDRESS:PORT/PATH");
    std::string_view rest = text.substr(kScheme.size());
    const auto slash = rest.find('/');
    const std::string path{slash == rest.npos ? "/" : rest.substr(slash)};
    std::string place{rest.substr(0, slash)};
    const auto bad = [](char c) { return c <= ' ' || c > '~' || c == '@'; };
    if (place.empty() || std::ranges::any_of(text, bad)) return refuse("http://ADDRESS:PORT/PATH");
    const auto colon = place.rfind(':');
    if (colon == std::string::npos || place.ends_with(']')) place += ":80";
    if (auto address = parse_probe_address(place)) return ProbeUrl{std::move(*address), path};
    const auto split = place.rfind(':');
    auto found = look_up(place.substr(0, split), place.substr(split + 1));
    if (!found) return std::unexpected(std::move(found.error()));
    return ProbeUrl{std::move(*found), path};
}

} // namespace cluster::cli
