#include "ipc/wire/address.hpp"

#include "ipc/wire/units.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>

namespace cluster::ipc {
namespace {

using Checked = std::expected<std::string, std::string>;

constexpr std::string_view kPort = "a port from 0 to 65535";

bool is_port(std::string_view text)
{
    const bool digits = !text.empty() && text.size() <= 5 &&
                        std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
    return digits && parse_whole(text).value_or(-1) <= 65535;
}

bool is_literal(int family, std::string_view host)
{
    in6_addr room{}; // large enough for both families
    return ::inet_pton(family, std::string{host}.c_str(), &room) == 1;
}

Checked check_unix(std::string_view text, std::string_view path)
{
    constexpr std::size_t kLongest = sizeof(sockaddr_un::sun_path) - 1;
    if (!path.starts_with('/')) return std::unexpected("unix: and an absolute path");
    if (path.size() > kLongest)
        return std::unexpected("unix: and a path of at most " + std::to_string(kLongest) +
                               " bytes");
    return std::string{text};
}

} // namespace

Checked check_address(std::string_view text)
{
    constexpr std::string_view kUnix = "unix:";
    if (text.starts_with(kUnix)) return check_unix(text, text.substr(kUnix.size()));
    const auto colon = text.rfind(':');
    const std::string_view port = colon == text.npos ? text : text.substr(colon + 1);
    const std::string_view host = colon == text.npos ? "" : text.substr(0, colon);
    const bool in_brackets = host.size() > 2 && host.starts_with('[') && host.ends_with(']');
    const bool host_is_good =
        host.empty() || is_literal(AF_INET, host) ||
        (in_brackets && is_literal(AF_INET6, host.substr(1, host.size() - 2)));
    if (is_port(port) && host_is_good) return std::string{host.empty() ? port : text};
    if (host_is_good && colon != text.npos)
        return std::unexpected(std::string{kPort} + " after the colon");
    if (is_literal(AF_INET6, text) || is_literal(AF_INET6, host))
        return std::unexpected("an IPv6 address in brackets and a port, such as \"[::1]:3001\"");
    return std::unexpected(std::string{kPort} +
                           ", \"ADDRESS:PORT\" with an IPv4 or [IPv6] address, or \"unix:/PATH\"");
}

} // namespace cluster::ipc
