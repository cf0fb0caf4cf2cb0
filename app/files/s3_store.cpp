#include "app/files/s3_store.hpp"

#include "app/files/digest.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace cluster::app {
namespace {

constexpr int kTries = 4;
constexpr milliseconds kFirstPause{200}; ///< before the second try, then doubled
constexpr std::size_t kMaxWaiting = 1024;
constexpr std::size_t kMaxTalk = 1 << 20;         ///< of an answer that is no content
constexpr std::uint64_t kPieceBytes = 2ULL << 20; ///< of a download, per request

bool is_good(const S3Answer& answer)
{
    return answer.status >= 200 && answer.status < 300;
}

/// As much of `source` as fits into `limit` bytes; less only at its end.
asio::awaitable<Result<std::string>> fill(FileSource& source, std::uint64_t limit)
{
    // Grows as it must: most files are small, and the memory of a part is much for those.
    constexpr std::size_t kStep = 256 << 10;
    std::string part;
    while (part.size() < limit) {
        const std::size_t old = part.size();
        part.resize(std::min<std::uint64_t>(old + kStep, limit));
        const std::span<char> space{part.data() + old, part.size() - old};
        auto reading = source.read_some(space);
        const auto size = co_await std::move(reading);
        if (!size) co_return std::unexpected(size.error());
        part.resize(old + *size);
        if (*size == 0) break;
    }
    co_return part;
}

} // namespace

/// A multipart upload that was begun.
struct S3Store::Upload {
    const NewFile& file;
    std::string id{};
    std::vector<std::string> tags{}; ///< of the parts that are there
    std::uint64_t size = 0;
};

S3Store::S3Store(asio::io_context& io, const ipc::Clock& clock, Log& log, S3Options options)
    : clock_{clock}, log_{log}, options_{std::move(options)},
      signer_{.credentials = options_.credentials, .region = options_.region},
      pool_{io, "s3", static_cast<unsigned>(options_.connections), kMaxWaiting}
{
}

void S3Store::close()
{
    client_.stop();
    pool_.stop();
}

/// Signed and sent, again when that may help: after trouble that passes.
asio::awaitable<Result<S3Answer>> S3Store::send(const S3Request& request, std::string_view body)
{
    auto hashing = pool_.run([body]() -> Result<std::string> { return hex(sha256(body)); });
    const auto hash = co_await std::move(hashing);
    if (!hash) co_return std::unexpected(hash.error());
    milliseconds pause = kFirstPause;
    for (int tried = 1;; ++tried) {
        auto sending = send_once(request, body, *hash);
        auto answer = co_await std::move(sending);
        const bool again =
            answer ? is_passing(*answer) : kind_of(answer.error()) == Trouble::unavailable;
        if (!again || tried == kTries) co_return answer;
        asio::steady_timer timer{co_await asio::this_coro::executor, pause};
        auto waiting = timer.async_wait(asio::as_tuple(asio::use_awaitable));
        co_await std::move(waiting);
        pause *= 2;
    }
}

asio::awaitable<Result<S3Answer>> S3Store::send_once(const S3Request& request,
                                                     std::string_view body, const std::string& hash)
{
    S3Fields headers = request.headers;
    for (auto& field : signer_.sign(request, hash, clock_.wall_ms() / 1000))
        headers.push_back(std::move(field));
    const bool content = request.method == "GET";
    const CurlRequest asked{.method = request.method,
                            .url = address_of(options_, request, encode_query(request.query)),
                            .headers = std::move(headers),
                            .body = body,
                            .max_answer = content ? kPieceBytes : kMaxTalk,
                            .stall_limit = options_.timeout};
    auto sending = pool_.run([this, &asked] { return client_.send(asked); });
    co_return co_await std::move(sending);
}

asio::awaitable<Result<FileInfo>> S3Store::put(NewFile file, FileSource& source)
{
    if (!is_file_key(file.key)) co_return bad_key(file.key);
    auto filling = fill(source, options_.part_bytes);
    auto first = co_await std::move(filling);
    if (!first) co_return std::unexpected(first.error());
    const bool whole = first->size() < options_.part_bytes;
    auto putting = whole ? put_whole(file, *first) : put_parts(file, std::move(*first), source);
    const auto put = co_await std::move(putting);
    if (!put) co_return std::unexpected(put.error());
    auto asking = stat(file.key);
    const auto info = co_await std::move(asking);
    if (!info) co_return std::unexpected(info.error());
    if (!*info) co_return trouble(Trouble::conflict, file.key + " was removed meanwhile");
    co_return **info;
}

asio::awaitable<Result<void>> S3Store::put_whole(const NewFile& file, std::string_view body)
{
    S3Request request = object_request(options_, "PUT", file.key);
    request.headers = describe(file);
    auto sending = send(request, body);
    const auto answer = co_await std::move(sending);
    if (!answer) co_return std::unexpected(answer.error());
    if (!is_good(*answer)) co_return failure_of(*answer, "put " + file.key);
    co_return Result<void>{};
}

asio::awaitable<Result<void>> S3Store::put_parts(const NewFile& file, std::string first,
                                                 FileSource& source)
{
    S3Request request = object_request(options_, "POST", file.key);
    request.query = {{"uploads", ""}};
    request.headers = describe(file);
    auto sending = send(request, "");
    const auto answer = co_await std::move(sending);
    if (!answer) co_return std::unexpected(answer.error());
    Upload upload{.file = file, .id = xml_text(answer->body, "UploadId")};
    if (!is_good(*answer) || upload.id.empty())
        co_return failure_of(*answer, "begin the upload of " + file.key);

    auto parts = send_parts(upload, std::move(first), source);
    auto outcome = co_await std::move(parts);
    if (outcome) {
        auto completing = complete(upload);
        outcome = co_await std::move(completing);
    }
    if (!outcome) {
        auto aborting = abort(upload);
        co_await std::move(aborting);
    }
    co_return outcome;
}

asio::awaitable<Result<void>> S3Store::send_parts(Upload& upload, std::string part,
                                                  FileSource& source)
{
    while (!part.empty()) {
        S3Request request = object_request(options_, "PUT", upload.file.key);
        request.query = {{"partNumber", std::to_string(upload.tags.size() + 1)},
                         {"uploadId", upload.id}};
        auto sending = send(request, part);
        const auto answer = co_await std::move(sending);
        if (!answer) co_return std::unexpected(answer.error());
        if (!is_good(*answer)) co_return failure_of(*answer, "put a part of " + upload.file.key);
        upload.tags.push_back(answer->header("etag"));
        upload.size += part.size();
        part = {}; // before the next one is filled
        auto filling = fill(source, part_size(options_.part_bytes, upload.tags.size()));
        auto next = co_await std::move(filling);
        if (!next) co_return std::unexpected(next.error());
        part = std::move(*next);
    }
    co_return Result<void>{};
}

asio::awaitable<Result<void>> S3Store::complete(Upload& upload)
{
    S3Request request = object_request(options_, "POST", upload.file.key);
    request.query = {{"uploadId", upload.id}};
    const std::string body = complete_body(upload.tags);
    auto sending = send(request, body);
    const auto answer = co_await std::move(sending);
    if (!answer) co_return std::unexpected(answer.error());
    // It says 200 before it knows; how it ended stands in the body.
    if (is_good(*answer) && !answer->body.contains("<Error>")) co_return Result<void>{};
    // The first try may have done it, and its answer was lost.
    if (xml_text(answer->body, "Code") == "NoSuchUpload") {
        auto asking = stat(upload.file.key);
        const auto info = co_await std::move(asking);
        if (info && *info && (*info)->size == upload.size) co_return Result<void>{};
    }
    co_return failure_of(*answer, "complete the upload of " + upload.file.key);
}

/// Parts that belong to no file cost money until they are told to go.
asio::awaitable<void> S3Store::abort(const Upload& upload)
{
    S3Request request = object_request(options_, "DELETE", upload.file.key);
    request.query = {{"uploadId", upload.id}};
    auto sending = send(request, "");
    const auto answer = co_await std::move(sending);
    if (answer && (is_good(*answer) || answer->status == 404)) co_return;
    log_.warn("the parts of a failed upload stay in the bucket",
              {{"key", upload.file.key}, {"upload", upload.id}});
}

asio::awaitable<Result<void>> S3Store::get(const FileInfo& info, std::uint64_t offset,
                                           std::uint64_t length, FileSink& sink)
{
    if (!is_file_key(info.key)) co_return bad_key(info.key);
    while (length > 0) {
        const std::uint64_t size = std::min(length, kPieceBytes);
        S3Request request = object_request(options_, "GET", info.key);
        request.headers = {
            {"range", "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + size - 1)}};
        auto sending = send(request, "");
        const auto answer = co_await std::move(sending);
        if (!answer) co_return std::unexpected(answer.error());
        const bool gone = answer->status == 404 || answer->status == 416;
        if (!gone && !is_good(*answer)) co_return failure_of(*answer, "get " + info.key);
        if (gone || read_info(info.key, *answer).tag != info.tag || answer->body.size() != size)
            co_return trouble(Trouble::conflict, info.key + " was replaced meanwhile");
        auto writing = sink.write(answer->body);
        const auto written = co_await std::move(writing);
        if (!written) co_return std::unexpected(written.error());
        offset += size;
        length -= size;
    }
    co_return Result<void>{};
}

asio::awaitable<Result<std::optional<FileInfo>>> S3Store::stat(std::string key)
{
    if (!is_file_key(key)) co_return std::nullopt;
    const S3Request request = object_request(options_, "HEAD", key);
    auto sending = send(request, "");
    const auto answer = co_await std::move(sending);
    if (!answer) co_return std::unexpected(answer.error());
    if (answer->status == 404) co_return std::nullopt;
    if (!is_good(*answer)) co_return failure_of(*answer, "look at " + key);
    co_return read_info(key, *answer);
}

asio::awaitable<Result<bool>> S3Store::remove(std::string key)
{
    if (!is_file_key(key)) co_return false;
    const S3Request request = object_request(options_, "DELETE", key);
    auto sending = send(request, "");
    const auto answer = co_await std::move(sending);
    if (!answer) co_return std::unexpected(answer.error());
    if (!is_good(*answer) && answer->status != 404) co_return failure_of(*answer, "remove " + key);
    co_return true;
}

std::string S3Store::link(const std::string& key, const std::string& name,
                          std::chrono::seconds life) const
{
    S3Request request = object_request(options_, "GET", key);
    request.query = {{"response-content-disposition", content_disposition("attachment", name)}};
    const std::string query = signer_.presign(request, life, clock_.wall_ms() / 1000);
    return address_of(options_, request, query);
}

} // namespace cluster::app
