// The notation of listening addresses (attribute `listen`).
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace cluster::ipc {

/// Checks "3001", ":3001", "127.0.0.1:3001", "[::1]:3001" or "unix:/run/x.sock" and returns it in
/// its shortest form (":3001" as "3001"). Port 0 lets the system choose. The error says what is
/// allowed, to stand after "must be".
[[nodiscard]] std::expected<std::string, std::string> check_address(std::string_view text);

} // namespace cluster::ipc
