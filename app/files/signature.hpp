// AWS Signature Version 4 (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests):
// how a request shows that its sender knows the secret key. Pure; the time comes in.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::app {

using S3Fields = std::vector<std::pair<std::string, std::string>>;

struct S3Credentials {
    std::string access_key{};
    std::string secret_key{};
    std::string session_token{}; ///< of temporary ones, else ""
};

/// A request before it is signed.
struct S3Request {
    std::string method;
    std::string host;   ///< with the port, unless it is that of the scheme
    std::string path;   ///< beginning with '/', each segment percent-encoded already
    S3Fields query{};   ///< names and values as they are meant, not encoded
    S3Fields headers{}; ///< names in lower case; "host" and "x-amz-…" of the signer are added
};

struct S3Signer {
    S3Credentials credentials{};
    std::string region{};

    /// The headers to send beside those of `request` ("host" excepted): x-amz-date,
    /// x-amz-content-sha256, x-amz-security-token, authorization. `payload_hash`: hex of the body's
    /// SHA-256.
    [[nodiscard]] S3Fields sign(const S3Request& request, std::string_view payload_hash,
                                std::int64_t wall_s) const;

    /// The whole query of an address that is signed by itself: anybody may send the request for
    /// `life` (at most 7 days).
    [[nodiscard]] std::string presign(const S3Request& request, std::chrono::seconds life,
                                      std::int64_t wall_s) const;
};

/// Everything but letters, digits and "-._~" as %XX; '/' stays when `keep_slash`.
[[nodiscard]] std::string percent_encode(std::string_view text, bool keep_slash = false);
/// "a=1&b=%20", in the order of `query`.
[[nodiscard]] std::string encode_query(const S3Fields& query);

} // namespace cluster::app
