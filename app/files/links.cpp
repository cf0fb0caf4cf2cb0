#include "app/files/links.hpp"

#include "app/files/digest.hpp"
#include "app/files/signature.hpp"
#include "ipc/base/secret.hpp"

#include <fmt/format.h>

namespace cluster::app {
namespace {

/// The parts are parted by what none of them but the last may hold, and begin with what no other
/// use of the secret does.
std::string signature_of(std::string_view secret, const FileLink& link)
{
    return hex(hmac_sha256(
        secret, fmt::format("file-link\n{}\n{}\n{}", link.key, link.expires_s, link.name)));
}

} // namespace

std::string sign_link(std::string_view secret, const FileLink& link)
{
    return fmt::format("/api/files/{}?{}", percent_encode(link.key),
                       encode_query({{"expires", std::to_string(link.expires_s)},
                                     {"name", link.name},
                                     {"signature", signature_of(secret, link)}}));
}

bool is_valid_link(std::string_view secret, const FileLink& link, std::string_view signature,
                   std::int64_t now_s)
{
    return ipc::equal_in_constant_time(signature, signature_of(secret, link)) &&
           now_s < link.expires_s;
}

} // namespace cluster::app
