// What S3 says, and what is said to it, apart from how it gets there. Pure.
#pragma once

#include "app/files/file_store.hpp"
#include "app/files/options.hpp"
#include "app/files/signature.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

/// What came back.
struct S3Answer {
    int status = 0;
    std::map<std::string, std::string, std::less<>> headers{}; ///< names in lower case
    std::string body{};

    [[nodiscard]] std::string header(std::string_view name) const;
};

/// A request to the object `key`, in the style that `options` want.
[[nodiscard]] S3Request object_request(const S3Options& options, std::string method,
                                       std::string_view key);
/// Its address, with `query` (encoded) unless it is "".
[[nodiscard]] std::string address_of(const S3Options& options, const S3Request& request,
                                     std::string_view query);

/// The text of the first element `name` of an answer, its entities replaced; "" when it is not
/// there.
[[nodiscard]] std::string xml_text(std::string_view body, std::string_view name);

/// The body of CompleteMultipartUpload; `tags` as the parts' answers had them.
[[nodiscard]] std::string complete_body(const std::vector<std::string>& tags);

/// Headers that carry what S3 has no place for: x-amz-meta-name, x-amz-meta-owner and content-type.
[[nodiscard]] S3Fields describe(const NewFile& file);
/// The other way round, from the answer to HEAD.
[[nodiscard]] FileInfo read_info(const std::string& key, const S3Answer& answer);

/// Whether it is worth to ask again.
[[nodiscard]] bool is_passing(const S3Answer& answer);
/// What an answer that is no success means. `what`: "put KEY".
[[nodiscard]] std::unexpected<ipc::Error> failure_of(const S3Answer& answer, std::string_view what);

/// How large parts must be that a file of unknown size, of which `sent` parts are sent, keeps
/// within the 10,000 that S3 allows: they grow.
[[nodiscard]] std::uint64_t part_size(std::uint64_t base, std::size_t sent);

/// attachment; filename="…"; filename*=UTF-8''… (RFC 6266), whatever the name holds.
[[nodiscard]] std::string content_disposition(std::string_view kind, std::string_view name);

} // namespace cluster::app
