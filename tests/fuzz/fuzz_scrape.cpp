// What strangers send to the metrics listener, in pieces of any size: there is one verdict, the
// same whatever the pieces were, and nothing but 200 without the token.
#include "ipc/base/check.hpp"
#include "supervisor/daemon/scrape_request.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

using namespace cluster::supervisor;

namespace {

std::optional<ScrapeVerdict> verdict_on(std::string_view bytes, std::size_t piece)
{
    ScrapeRequest request{"token"};
    while (!bytes.empty()) {
        if (const auto verdict = request.put(bytes.substr(0, piece))) return verdict;
        bytes.remove_prefix(std::min(piece, bytes.size()));
    }
    return std::nullopt;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0) return 0;
    const std::size_t piece = 1U + data[0];
    const std::string_view bytes{reinterpret_cast<const char*>(data + 1), size - 1};
    const auto verdict = verdict_on(bytes, piece);
    if (!verdict) return 0;
    CLUSTER_CHECK(verdict->status >= 200 && verdict->status < 600, "a status of HTTP");
    CLUSTER_CHECK(verdict->status != 200 || bytes.find("token") != std::string_view::npos,
                  "nobody is served who does not know the token");
    const std::string head = answer_head(*verdict);
    CLUSTER_CHECK(head.starts_with("HTTP/1.") && head.find("\r\n\r\n") != std::string::npos,
                  "an answer has a head");
    return 0;
}
