// Hashes and signatures, as OpenSSL makes them.
#pragma once

#include <string>
#include <string_view>

namespace cluster::app {

/// 32 bytes.
[[nodiscard]] std::string sha256(std::string_view bytes);
/// 32 bytes (RFC 2104 with SHA-256).
[[nodiscard]] std::string hmac_sha256(std::string_view key, std::string_view bytes);
/// Lower case.
[[nodiscard]] std::string hex(std::string_view bytes);

} // namespace cluster::app
