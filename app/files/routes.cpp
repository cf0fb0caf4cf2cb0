#include "app/files/routes.hpp"

#include "app/base/ids.hpp"
#include "app/base/times.hpp"
#include "app/files/digest.hpp"
#include "app/files/links.hpp"
#include "app/files/range.hpp"
#include "app/files/s3_wire.hpp"
#include "app/http/fields.hpp"
#include "ipc/base/text.hpp"

#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace cluster::app {
namespace {

constexpr std::size_t kMaxName = 200;
constexpr std::size_t kMaxType = 127;

Response no_such_file()
{
    return problem(http::status::not_found, "FILE_NOT_FOUND", "There is no such file.");
}

Response too_large(std::uint64_t max)
{
    return problem(http::status::payload_too_large, "FILE_TOO_LARGE",
                   fmt::format("A file may have at most {} MB.", max >> 20U));
}

std::string_view text_of(boost::beast::string_view text)
{
    return {text.data(), text.size()};
}

/// "type/subtype; parameters" if it is one; what it is not given out as would be guessed.
std::string content_type_of(const Request& request)
{
    const std::string_view given = request.header(http::field::content_type);
    const bool plain = std::ranges::all_of(
        given, [](char letter) { return letter >= ' ' && letter < 0x7F && letter != '\\'; });
    const std::size_t slash = given.find('/');
    if (!plain || given.size() > kMaxType || slash == 0 || slash == std::string_view::npos)
        return "application/octet-stream";
    return std::string{given};
}

std::string value_of(const Pairs& pairs, std::string_view name)
{
    const std::string* const found = find(pairs, name);
    return found == nullptr ? "" : *found;
}

/// The body of a request, as long as it keeps to the limit.
class BodySource final : public FileSource {
public:
    BodySource(Exchange& exchange, std::uint64_t max) : exchange_{exchange}, left_{max} {}

    asio::awaitable<Result<std::size_t>> read_some(std::span<char> space) override
    {
        auto reading = exchange_.read_some(space);
        const auto size = co_await std::move(reading);
        failed_ = !size;
        if (!size) co_return size;
        exceeded_ = *size > left_;
        if (exceeded_) co_return trouble(Trouble::refused, "the file is too large");
        left_ -= *size;
        co_return size;
    }
    [[nodiscard]] bool exceeded() const { return exceeded_; }
    /// The client broke off, sent too slowly, or no HTTP.
    [[nodiscard]] bool failed() const { return failed_; }

private:
    Exchange& exchange_;
    std::uint64_t left_;
    bool exceeded_ = false;
    bool failed_ = false;
};

class AnswerSink final : public FileSink {
public:
    explicit AnswerSink(Exchange& exchange) : exchange_{exchange} {}
    asio::awaitable<Result<void>> write(std::string_view bytes) override
    {
        return exchange_.write(bytes);
    }

private:
    Exchange& exchange_;
};

/// Whether the client has this very content already (RFC 9110 section 13.1.2).
bool is_known(const Request& request, const std::string& tag)
{
    const std::string_view known = request.header(http::field::if_none_match);
    return known == "*" || known.contains(tag);
}

/// Someone else's content in our origin: never shown as a page, never guessed at.
void guard(Response& response)
{
    response.headers.emplace_back("X-Content-Type-Options", "nosniff");
    response.headers.emplace_back("Content-Security-Policy", "sandbox; default-src 'none'");
    response.headers.emplace_back("Cache-Control", "private, no-cache");
}

} // namespace

json file_json(const FileInfo& info)
{
    return {{"id", info.key},
            {"name", info.name},
            {"contentType", info.content_type},
            {"size", info.size},
            {"createdAt", iso_time(info.changed_ms)}};
}

std::string derive_link_secret(std::string_view secret)
{
    return hex(hmac_sha256(secret, "clusterapp file links"));
}

void FileRoutes::add_to(Router& router)
{
    for (const http::verb method : {http::verb::post, http::verb::put})
        router.add({.method = method,
                    .pattern = "/api/files",
                    .handler = nullptr,
                    .rules = {.caller = true},
                    .stream = [this](Request& request, Exchange& exchange) {
                        return upload(request, exchange);
                    }});
    router.add({.method = http::verb::get,
                .pattern = "/api/files/{id}",
                .handler = nullptr,
                .rules = {.caller = false}, // or a link: see refusal
                .stream = [this](Request& request, Exchange& exchange) {
                    return download(request, exchange);
                }});
    router.add({.method = http::verb::get,
                .pattern = "/api/files/{id}/link",
                .handler = [this](Request& request) { return link(request); },
                .rules = {.caller = true}});
    router.add({.method = http::verb::delete_,
                .pattern = "/api/files/{id}",
                .handler = [this](Request& request) { return remove(request); },
                .rules = {.caller = true}});
}

asio::awaitable<std::optional<Response>> FileRoutes::upload(Request& request, Exchange& exchange)
{
    const auto announced = ipc::parse_number<std::uint64_t>(
        text_of(request.headers->operator[](http::field::content_length)));
    if (announced && *announced > options_.max_bytes) co_return too_large(options_.max_bytes);
    NewFile file{.key = new_id(clock_.wall_ms()),
                 .name = value_of(request.query, "name"),
                 .content_type = content_type_of(request),
                 .owner = request.caller->user_id};
    if (characters(file.name) > kMaxName || has_control(file.name, false))
        co_return problem(http::status::bad_request, "VALIDATION",
                          "name must have at most 200 characters and no control characters.");
    BodySource source{exchange, options_.max_bytes};
    auto putting = store_.put(std::move(file), source);
    const auto info = co_await std::move(putting);
    if (source.exceeded()) co_return too_large(options_.max_bytes);
    if (source.failed())
        co_return problem(http::status::bad_request, "BAD_REQUEST",
                          "The body of the request could not be read to its end.");
    if (!info) co_return problem(info.error());
    Response response = success(file_json(*info), http::status::created);
    response.headers.emplace_back("Location", "/api/files/" + info->key);
    co_return response;
}

/// Who the caller is, asked for here because a link needs none.
asio::awaitable<std::optional<Response>> FileRoutes::refusal(Request& request)
{
    if (request.caller) co_return std::nullopt;
    if (authenticator_ != nullptr && request.headers->count(http::field::authorization) > 0) {
        auto asking = authenticator_->authenticate(request);
        auto caller = co_await std::move(asking);
        if (!caller) co_return std::move(caller.error());
        request.caller = std::move(*caller);
        co_return std::nullopt;
    }
    Response response = problem(http::status::unauthorized, "UNAUTHORIZED",
                                "Log in, or use a link that is still valid.");
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    co_return response;
}

bool FileRoutes::is_by_link(const Request& request) const
{
    const FileLink link{
        .key = request.param("id"),
        .name = value_of(request.query, "name"),
        .expires_s =
            ipc::parse_number<std::int64_t>(value_of(request.query, "expires")).value_or(0)};
    const std::string signature = value_of(request.query, "signature");
    return !options_.link_secret.empty() && !signature.empty() &&
           is_valid_link(options_.link_secret, link, signature, clock_.wall_ms() / 1000);
}

/// The file, if the request may have it. That one of somebody else is there is not told.
asio::awaitable<std::expected<FileInfo, Response>> FileRoutes::find_for(Request& request,
                                                                        bool by_link)
{
    auto asking = store_.stat(request.param("id"));
    auto info = co_await std::move(asking);
    if (!info) co_return std::unexpected(problem(info.error()));
    if (!*info) co_return std::unexpected(no_such_file());
    if (!by_link && (*info)->owner != request.caller->user_id)
        co_return std::unexpected(no_such_file());
    co_return std::move(**info);
}

asio::awaitable<std::optional<Response>> FileRoutes::download(Request& request, Exchange& exchange)
{
    const bool by_link = is_by_link(request);
    if (!by_link) {
        auto asking = refusal(request);
        auto refused = co_await std::move(asking);
        if (refused) co_return refused;
    }
    auto finding = find_for(request, by_link);
    auto info = co_await std::move(finding);
    if (!info) co_return std::move(info.error());
    if (!by_link && value_of(request.query, "redirect") == "true") {
        Response response{.status = http::status::found, .content_type = "text/plain"};
        response.headers.emplace_back("Location",
                                      store_.link(info->key, info->name, options_.link_life));
        response.headers.emplace_back("Cache-Control", "no-store");
        co_return response;
    }
    auto sending = send(request, exchange, *info);
    co_return co_await std::move(sending);
}

asio::awaitable<std::optional<Response>> FileRoutes::send(const Request& request,
                                                          Exchange& exchange, const FileInfo& info)
{
    const std::string tag = '"' + info.tag + '"';
    Response head{.status = http::status::ok, .content_type = info.content_type};
    guard(head);
    head.headers.emplace_back("ETag", tag);
    if (is_known(request, tag)) {
        head.status = http::status::not_modified;
        co_return head;
    }
    head.headers.emplace_back("Accept-Ranges", "bytes");
    head.headers.emplace_back("Content-Disposition", content_disposition("attachment", info.name));
    // A range of what was another file when the client began would not fit.
    const std::string_view only_if = request.header(http::field::if_range);
    const bool ranged = only_if.empty() || only_if == tag;
    const ByteRange range =
        parse_range(ranged ? request.header(http::field::range) : std::string_view{}, info.size);
    if (range.what == ByteRange::What::outside) {
        Response response = problem(http::status::range_not_satisfiable, "RANGE_NOT_SATISFIABLE",
                                    "The file has no such range.");
        response.headers.emplace_back("Content-Range", fmt::format("bytes */{}", info.size));
        co_return response;
    }
    if (range.what == ByteRange::What::part) {
        head.status = http::status::partial_content;
        head.headers.emplace_back(
            "Content-Range",
            fmt::format("bytes {}-{}/{}", range.first, range.first + range.length - 1, info.size));
    }
    auto beginning = exchange.begin(std::move(head), range.length);
    const auto begun = co_await std::move(beginning);
    if (!begun || request.method == http::verb::head) co_return std::nullopt;
    AnswerSink sink{exchange};
    auto getting = store_.get(info, range.first, range.length, sink);
    const auto got = co_await std::move(getting);
    if (got) co_return std::nullopt;
    co_return problem(got.error()); // for the log: the connection ends in the middle
}

asio::awaitable<Response> FileRoutes::link(Request& request)
{
    auto finding = find_for(request, false);
    const auto info = co_await std::move(finding);
    if (!info) co_return info.error();
    const std::string url = store_.link(info->key, info->name, options_.link_life);
    const std::int64_t end =
        clock_.wall_ms() / 1000 * 1000 + std::chrono::milliseconds{options_.link_life}.count();
    co_return success({{"url", url}, {"expiresAt", iso_time(end)}});
}

asio::awaitable<Response> FileRoutes::remove(Request& request)
{
    auto finding = find_for(request, false);
    const auto info = co_await std::move(finding);
    if (!info) co_return info.error();
    auto removing = store_.remove(info->key);
    const auto removed = co_await std::move(removing);
    if (!removed) co_return problem(removed.error());
    co_return success({{"id", info->key}});
}

} // namespace cluster::app
