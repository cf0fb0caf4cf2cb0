#include "app/files/options.hpp"

#include "ipc/base/text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace cluster::app {
namespace {

using std::chrono::days;
using std::chrono::seconds;

constexpr std::size_t kLeastSecret = 32;
constexpr int kLeastPart = 5 << 20; // S3 takes no smaller one but the last
constexpr int kLargestPart = 512 << 20;

bool is_host(std::string_view text)
{
    return !text.empty() &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  ".-:[]_") == std::string_view::npos;
}

/// "https://host[:port]" into scheme and host, without the port that goes without saying.
void read_endpoint(Environment& environment, S3Options& s3)
{
    std::string_view rest;
    const std::string given = environment.text("S3_ENDPOINT");
    rest = given;
    const std::size_t mark = rest.find("://");
    s3.scheme = rest.substr(0, std::min(mark, rest.size()));
    if (mark != std::string_view::npos) rest.remove_prefix(mark + 3);
    while (rest.ends_with('/'))
        rest.remove_suffix(1);
    if (mark == std::string_view::npos || (s3.scheme != "http" && s3.scheme != "https") ||
        !is_host(rest)) {
        environment.fault(fmt::format(
            "S3_ENDPOINT must be http:// or https:// with a host and perhaps a port, got \"{}\"",
            given));
        return;
    }
    const std::string_view usual = s3.scheme == "http" ? ":80" : ":443";
    if (rest.ends_with(usual)) rest.remove_suffix(usual.size());
    s3.host = rest;
}

/// docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, as far as an address
/// needs.
bool is_bucket(std::string_view text)
{
    return text.size() >= 3 && text.size() <= 63 &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") ==
               std::string_view::npos &&
           text.front() != '.' && text.front() != '-';
}

S3Options read_s3(Environment& environment)
{
    S3Options s3;
    s3.bucket = environment.text("AWS_S3_BUCKET");
    if (!s3.enabled()) return s3;
    if (!is_bucket(s3.bucket))
        environment.fault(fmt::format("AWS_S3_BUCKET must be 3 to 63 of a-z, 0-9, '.' and '-', "
                                      "got \"{}\"",
                                      s3.bucket));
    s3.region = environment.text("AWS_S3_REGION", environment.text("AWS_REGION", s3.region));
    s3.credentials = {.access_key = environment.text("AWS_ACCESS_KEY_ID"),
                      .secret_key = environment.text("AWS_SECRET_ACCESS_KEY"),
                      .session_token = environment.text("AWS_SESSION_TOKEN")};
    if (s3.credentials.access_key.empty() || s3.credentials.secret_key.empty())
        environment.fault("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set when "
                          "AWS_S3_BUCKET is");
    s3.host = fmt::format("s3.{}.amazonaws.com", s3.region);
    if (environment.has("S3_ENDPOINT")) read_endpoint(environment, s3);
    // A name with dots fits no wildcard certificate; other servers rarely have names per bucket.
    s3.path_style = environment.flag("S3_FORCE_PATH_STYLE",
                                     environment.has("S3_ENDPOINT") || s3.bucket.contains('.'));
    s3.prefix = environment.text("AWS_S3_PREFIX");
    s3.connections = environment.number("S3_CONNECTIONS", s3.connections, 1, 64);
    s3.part_bytes = static_cast<std::uint64_t>(environment.number(
        "S3_PART_BYTES", static_cast<int>(s3.part_bytes), kLeastPart, kLargestPart));
    s3.timeout = milliseconds{
        environment.number("S3_TIMEOUT_MS", static_cast<int>(s3.timeout.count()), 100, 600'000)};
    return s3;
}

} // namespace

FileOptions read_file_options(Environment& environment)
{
    FileOptions options;
    options.s3 = read_s3(environment);
    options.folder =
        environment.text("FILES_DIR", environment.text("DATA_DIR", "./data") + "/files");
    options.link_secret = environment.text("FILES_LINK_SECRET");
    if (!options.link_secret.empty() && options.link_secret.size() < kLeastSecret)
        environment.fault(fmt::format("FILES_LINK_SECRET must have at least {} characters, got {}",
                                      kLeastSecret, options.link_secret.size()));
    options.link_life = std::chrono::duration_cast<seconds>(environment.duration(
        "FILES_LINK_EXPIRATION", options.link_life, seconds{1}, days{7})); // S3 allows no more
    options.max_bytes =
        static_cast<std::uint64_t>(environment.number("FILES_MAX_MB", 1024, 1, 1 << 20)) << 20U;
    options.public_url = environment.text("PUBLIC_URL");
    while (options.public_url.ends_with('/'))
        options.public_url.pop_back();
    return options;
}

} // namespace cluster::app
