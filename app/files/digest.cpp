#include "app/files/digest.hpp"

#include "ipc/base/check.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

namespace cluster::app {
namespace {

using Digest = std::array<unsigned char, EVP_MAX_MD_SIZE>;

const unsigned char* bytes_of(std::string_view text)
{
    return reinterpret_cast<const unsigned char*>(text.data());
}

std::string text_of(const Digest& digest, unsigned size)
{
    return {reinterpret_cast<const char*>(digest.data()), size};
}

} // namespace

std::string sha256(std::string_view bytes)
{
    Digest digest{};
    unsigned size = 0;
    const int made =
        EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr);
    CLUSTER_CHECK(made == 1, "SHA-256 failed");
    return text_of(digest, size);
}

std::string hmac_sha256(std::string_view key, std::string_view bytes)
{
    Digest digest{};
    unsigned size = 0;
    const auto* const made = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                                  bytes_of(bytes), bytes.size(), digest.data(), &size);
    CLUSTER_CHECK(made != nullptr, "HMAC failed");
    return text_of(digest, size);
}

std::string hex(std::string_view bytes)
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const char byte : bytes) {
        const auto value = static_cast<unsigned char>(byte);
        text += kDigits[value >> 4U];
        text += kDigits[value & 0xFU];
    }
    return text;
}

} // namespace cluster::app
