// Where a prober connects to, from the notations of `listen` and of URLs.
#pragma once

#include <sys/socket.h>

#include <expected>
#include <string>
#include <string_view>

namespace cluster::cli {

struct ProbeAddress {
    std::string text{}; ///< for people: "127.0.0.1:3001", "unix:/x"
    std::string host{}; ///< for the Host header
    sockaddr_storage address{};
    socklen_t size = 0;
};

/// "3001", "127.0.0.1:3001", "[::]:3001", "unix:/x"; a wildcard becomes the loopback address.
/// Errors: a sentence.
[[nodiscard]] std::expected<ProbeAddress, std::string> parse_probe_address(std::string_view text);

struct ProbeUrl {
    ProbeAddress address;
    std::string path;
};

/// "http://127.0.0.1:3001/health" (port 80 when absent); a name is looked up. Errors: a sentence.
[[nodiscard]] std::expected<ProbeUrl, std::string> parse_probe_url(std::string_view text);

} // namespace cluster::cli
