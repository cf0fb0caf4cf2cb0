#include "app/files/curl_client.hpp"

#include "ipc/base/check.hpp"
#include "ipc/base/text.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>

namespace cluster::app {
namespace {

constexpr long kConnectLimitMs = 5000;

/// What one request is given and collects.
struct Exchange {
    const CurlRequest& request;
    const std::atomic<bool>& stopped;
    S3Answer answer{};
    std::size_t sent = 0;
    bool too_long = false;
};

std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* at)
{
    auto& exchange = *static_cast<Exchange*>(at);
    exchange.too_long = exchange.answer.body.size() + size * count > exchange.request.max_answer;
    if (exchange.too_long) return 0;
    exchange.answer.body.append(bytes, size * count);
    return size * count;
}

std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* at)
{
    auto& exchange = *static_cast<Exchange*>(at);
    const std::string_view line{bytes, size * count};
    if (line.starts_with("HTTP/")) exchange.answer.headers.clear(); // those of "100 Continue"
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return line.size();
    std::string name{line.substr(0, colon)};
    std::ranges::transform(name, name.begin(), [](unsigned char letter) {
        return static_cast<char>(std::tolower(letter));
    });
    const std::size_t begin = std::min(line.find_first_not_of(" \t", colon + 1), line.size());
    const std::size_t end = line.find_last_not_of(" \t\r\n") + 1;
    exchange.answer.headers[name] = line.substr(begin, end > begin ? end - begin : 0);
    if (name == "content-length" &&
        exchange.request.method !=
            "HEAD") { // at once: growing would leave garbage of twice the size
        const auto length = ipc::parse_number<std::size_t>(exchange.answer.headers[name]);
        if (length && *length <= exchange.request.max_answer) exchange.answer.body.reserve(*length);
    }
    return line.size();
}

std::size_t give_body(char* space, std::size_t size, std::size_t count, void* at)
{
    auto& exchange = *static_cast<Exchange*>(at);
    const auto rest = exchange.request.body.substr(exchange.sent);
    const std::size_t part = std::min(rest.size(), size * count);
    std::memcpy(space, rest.data(), part);
    exchange.sent += part;
    return part;
}

/// A connection that curl had kept may be gone: then it sends from the front again.
int rewind_body(void* at, curl_off_t offset, int origin)
{
    auto& exchange = *static_cast<Exchange*>(at);
    if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
    exchange.sent = std::min(static_cast<std::size_t>(offset), exchange.request.body.size());
    return CURL_SEEKFUNC_OK;
}

int is_stopped(void* at, curl_off_t, curl_off_t, curl_off_t, curl_off_t)
{
    return static_cast<Exchange*>(at)->stopped ? 1 : 0;
}

void set_method(CURL* handle, Exchange& exchange)
{
    const CurlRequest& request = exchange.request;
    curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    if (request.method == "HEAD") curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
    if (request.method != "PUT" && request.method != "POST") return;
    curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(handle, CURLOPT_INFILESIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(handle, CURLOPT_READFUNCTION, &give_body);
    curl_easy_setopt(handle, CURLOPT_READDATA, &exchange);
    curl_easy_setopt(handle, CURLOPT_SEEKFUNCTION, &rewind_body);
    curl_easy_setopt(handle, CURLOPT_SEEKDATA, &exchange);
}

void set_limits(CURL* handle, const CurlRequest& request)
{
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L); // threads
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, kConnectLimitMs);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME,
                     std::max<long>(static_cast<long>(request.stall_limit.count() / 1000), 1L));
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L); // a signature is for one host
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
}

struct EndList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, EndList>;

List headers_of(const CurlRequest& request)
{
    List list;
    const auto add = [&](const std::string& line) {
        curl_slist* const longer = curl_slist_append(list.get(), line.c_str());
        CLUSTER_CHECK(longer != nullptr, "out of memory");
        static_cast<void>(list.release());
        list.reset(longer);
    };
    for (const auto& [name, value] : request.headers)
        add(value.empty() ? name + ";" : name + ": " + value);
    add("Expect:"); // a round trip that saves nothing: bodies are small or wanted
    return list;
}

std::unexpected<ipc::Error> failure(CURLcode code, const Exchange& exchange, const char* detail)
{
    const bool ours = exchange.too_long || code == CURLE_PEER_FAILED_VERIFICATION ||
                      code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
                      code == CURLE_SSL_CACERT_BADFILE;
    return trouble(ours ? Trouble::refused : Trouble::unavailable,
                   fmt::format("s3: {}: {}", exchange.request.method,
                               exchange.too_long ? "the answer is too long"
                               : *detail != '\0' ? detail
                                                 : curl_easy_strerror(code)));
}

} // namespace

void CurlClient::EndHandle::operator()(void* handle) const
{
    curl_easy_cleanup(handle);
}

CurlClient::CurlClient()
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

CurlClient::~CurlClient()
{
    idle_.clear();
    curl_global_cleanup();
}

CurlClient::Handle CurlClient::borrow()
{
    const std::scoped_lock lock{mutex_};
    if (idle_.empty()) return Handle{curl_easy_init()};
    Handle handle = std::move(idle_.back());
    idle_.pop_back();
    return handle;
}

void CurlClient::give_back(Handle handle)
{
    curl_easy_reset(handle.get()); // keeps its connections
    const std::scoped_lock lock{mutex_};
    idle_.push_back(std::move(handle));
}

Result<S3Answer> CurlClient::send(const CurlRequest& request)
{
    Handle owner = borrow();
    CLUSTER_CHECK(owner != nullptr, "out of memory");
    auto* const handle = static_cast<CURL*>(owner.get());
    Exchange exchange{.request = request, .stopped = stopped_};
    std::array<char, CURL_ERROR_SIZE> detail{};
    const List headers = headers_of(request);
    curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &take_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &exchange);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, &take_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, &exchange);
    curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, &is_stopped);
    curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &exchange);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, detail.data());
    set_method(handle, exchange);
    set_limits(handle, request);
    const CURLcode code = curl_easy_perform(handle);
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    give_back(std::move(owner));
    if (code != CURLE_OK) return failure(code, exchange, detail.data());
    exchange.answer.status = static_cast<int>(status);
    return std::move(exchange.answer);
}

} // namespace cluster::app
