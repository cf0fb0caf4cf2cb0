// Any bytes as an access token: as they are, and as header and payload (parted by a line break)
// below a right signature, which is how a stranger's claims would look if he had the secret.
// Nothing may crash, and only what has a right signature may pass.
#include "app/accounts/email.hpp"
#include "app/accounts/tokens.hpp"
#include "ipc/base/check.hpp"
#include "tests/support/manual_clock.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

using namespace cluster;
using namespace cluster::app;

namespace {

const std::string kKey = "0123456789abcdef0123456789abcdef";

std::string base64url(std::string_view bytes)
{
    std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
    const int size = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                       reinterpret_cast<const unsigned char*>(bytes.data()),
                                       static_cast<int>(bytes.size()));
    text.resize(static_cast<std::size_t>(size));
    for (char& c : text)
        c = c == '+' ? '-' : c == '/' ? '_' : c;
    return text.substr(0, text.find('='));
}

std::string signed_token(std::string_view header, std::string_view payload)
{
    std::string token = base64url(header) + "." + base64url(payload);
    std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
    unsigned size = 0;
    ::HMAC(::EVP_sha256(), kKey.data(), static_cast<int>(kKey.size()),
           reinterpret_cast<const unsigned char*>(token.data()), token.size(), mac.data(), &size);
    return token + "." + base64url({reinterpret_cast<const char*>(mac.data()), size});
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    static const tests::ManualClock kClock;
    static Tokens tokens{kClock,
                         {.access = kKey,
                          .refresh{},
                          .access_life = std::chrono::minutes{15},
                          .refresh_life = std::chrono::hours{24}}};
    // The clock stands at a second that no committed token lives to see.
    CLUSTER_CHECK(!tokens.read_refresh(text), "nobody has that secret");
    static_cast<void>(tokens.read_access(text));
    static_cast<void>(normal_email(text));

    const std::size_t line = std::min(text.find('\n'), text.size());
    const std::string_view header = text.substr(0, line);
    const std::string_view payload = text.substr(std::min(line + 1, text.size()));
    const auto claims = tokens.read_access(signed_token(header, payload));
    if (claims) CLUSTER_CHECK(claims->expires_s > kClock.wall_ms() / 1000, "it has expired");
    static_cast<void>(tokens.read_access(signed_token(R"({"alg":"HS256"})", text)));
    return 0;
}
