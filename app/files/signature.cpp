#include "app/files/signature.hpp"

#include "app/files/digest.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

namespace cluster::app {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kService = "s3";

struct Moment {
    std::string date; ///< "20260131"
    std::string time; ///< "20260131T120000Z"
};

Moment moment_of(std::int64_t wall_s)
{
    const std::tm parts = fmt::gmtime(static_cast<std::time_t>(wall_s));
    return {.date = fmt::format("{:%Y%m%d}", parts),
            .time = fmt::format("{:%Y%m%dT%H%M%SZ}", parts)};
}

/// The value as the canonical form has it: no blanks at its ends, one where there are several.
std::string trimmed(std::string_view text)
{
    std::string result;
    for (const char letter : text) {
        const bool blank = letter == ' ' || letter == '\t';
        if (!blank)
            result += letter;
        else if (!result.empty() && result.back() != ' ')
            result += ' ';
    }
    if (!result.empty() && result.back() == ' ') result.pop_back();
    return result;
}

/// By their encoded form, as the specification wants it.
std::string canonical_query(const S3Fields& query)
{
    S3Fields encoded;
    for (const auto& [name, value] : query)
        encoded.emplace_back(percent_encode(name), percent_encode(value));
    std::ranges::sort(encoded);
    std::string text;
    for (const auto& [name, value] : encoded)
        text += fmt::format("{}{}={}", text.empty() ? "" : "&", name, value);
    return text;
}

std::string names_of(const S3Fields& headers)
{
    std::string names;
    for (const auto& [name, value] : headers)
        names += (names.empty() ? "" : ";") + name;
    return names;
}

std::string canonical_request(const S3Request& request, const S3Fields& headers,
                              std::string_view payload_hash)
{
    std::string text =
        fmt::format("{}\n{}\n{}\n", request.method, request.path, canonical_query(request.query));
    for (const auto& [name, value] : headers)
        text += fmt::format("{}:{}\n", name, trimmed(value));
    return text + fmt::format("\n{}\n{}", names_of(headers), payload_hash);
}

std::string scope_of(const Moment& moment, const std::string& region)
{
    return fmt::format("{}/{}/{}/aws4_request", moment.date, region, kService);
}

std::string signature_of(const S3Signer& signer, const Moment& moment, const std::string& canonical)
{
    const std::string to_sign =
        fmt::format("{}\n{}\n{}\n{}", kAlgorithm, moment.time, scope_of(moment, signer.region),
                    hex(sha256(canonical)));
    std::string key = hmac_sha256("AWS4" + signer.credentials.secret_key, moment.date);
    for (const std::string_view part :
         {std::string_view{signer.region}, kService, std::string_view{"aws4_request"}})
        key = hmac_sha256(key, part);
    return hex(hmac_sha256(key, to_sign));
}

} // namespace

S3Fields S3Signer::sign(const S3Request& request, std::string_view payload_hash,
                        std::int64_t wall_s) const
{
    const Moment moment = moment_of(wall_s);
    S3Fields added{{"x-amz-date", moment.time},
                   {"x-amz-content-sha256", std::string{payload_hash}}};
    if (!credentials.session_token.empty())
        added.emplace_back("x-amz-security-token", credentials.session_token);
    S3Fields all = request.headers;
    all.emplace_back("host", request.host);
    all.insert(all.end(), added.begin(), added.end());
    std::ranges::sort(all);
    const std::string signature =
        signature_of(*this, moment, canonical_request(request, all, payload_hash));
    added.emplace_back("authorization",
                       fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}",
                                   kAlgorithm, credentials.access_key, scope_of(moment, region),
                                   names_of(all), signature));
    return added;
}

std::string S3Signer::presign(const S3Request& request, std::chrono::seconds life,
                              std::int64_t wall_s) const
{
    const Moment moment = moment_of(wall_s);
    S3Request whole = request;
    whole.headers.emplace_back("host", request.host);
    std::ranges::sort(whole.headers);
    whole.query.emplace_back("X-Amz-Algorithm", kAlgorithm);
    whole.query.emplace_back("X-Amz-Credential",
                             credentials.access_key + "/" + scope_of(moment, region));
    whole.query.emplace_back("X-Amz-Date", moment.time);
    whole.query.emplace_back("X-Amz-Expires", std::to_string(life.count()));
    if (!credentials.session_token.empty())
        whole.query.emplace_back("X-Amz-Security-Token", credentials.session_token);
    whole.query.emplace_back("X-Amz-SignedHeaders", names_of(whole.headers));
    const std::string signature =
        signature_of(*this, moment, canonical_request(whole, whole.headers, "UNSIGNED-PAYLOAD"));
    whole.query.emplace_back("X-Amz-Signature", signature);
    return encode_query(whole.query);
}

std::string percent_encode(std::string_view text, bool keep_slash)
{
    std::string result;
    for (const char letter : text) {
        const bool plain = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                           (letter >= '0' && letter <= '9') || letter == '-' || letter == '.' ||
                           letter == '_' || letter == '~' || (keep_slash && letter == '/');
        if (plain)
            result += letter;
        else
            result += fmt::format("%{:02X}", static_cast<unsigned char>(letter));
    }
    return result;
}

std::string encode_query(const S3Fields& query)
{
    std::string text;
    for (const auto& [name, value] : query)
        text += fmt::format("{}{}={}", text.empty() ? "" : "&", percent_encode(name),
                            percent_encode(value));
    return text;
}

} // namespace cluster::app
