// The settings of the file store.
#pragma once

#include "app/base/environment.hpp"
#include "app/files/signature.hpp"

#include <chrono>
#include <string>

namespace cluster::app {

struct S3Options {
    std::string bucket{}; ///< "": no S3, a local folder instead
    std::string region = "us-east-1";
    S3Credentials credentials{};
    std::string scheme = "https";
    std::string host{};      ///< of the endpoint, with a port that is not the usual one
    bool path_style = false; ///< HOST/BUCKET/KEY instead of BUCKET.HOST/KEY
    std::string prefix{};    ///< before every key: "uploads/"
    int connections = 8;     ///< requests at a time
    std::uint64_t part_bytes = 8ULL << 20; ///< larger files go in parts of this size
    milliseconds timeout{30'000};          ///< of a connection that stands still

    [[nodiscard]] bool enabled() const { return !bucket.empty(); }
};

struct FileOptions {
    S3Options s3{};
    std::string folder = "./data/files";  ///< of the local form
    std::string link_secret{};            ///< signs the links of the local form; see below
    std::uint64_t max_bytes = 1ULL << 30; ///< of one upload
    std::chrono::seconds link_life{900};  ///< of links that we hand out
    std::string public_url{};             ///< "https://example.org", before links of our own
};

/// AWS_S3_BUCKET, AWS_S3_REGION (or AWS_REGION), AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
/// AWS_SESSION_TOKEN, AWS_S3_PREFIX, S3_ENDPOINT, S3_FORCE_PATH_STYLE, S3_CONNECTIONS,
/// S3_PART_BYTES, S3_TIMEOUT_MS; FILES_DIR, DATA_DIR, FILES_LINK_SECRET, FILES_LINK_EXPIRATION,
/// FILES_MAX_MB, PUBLIC_URL. Without FILES_LINK_SECRET whoever builds the store fills
/// `link_secret` with something that all instances share.
[[nodiscard]] FileOptions read_file_options(Environment& environment);

} // namespace cluster::app
