// Any bytes as a connection: they are parsed, routed and read as JSON as the server does it, once
// in one piece and once in small ones. Nothing may crash, and how the bytes were cut up must not
// matter.
#include "app/http/client_address.hpp"
#include "app/http/head.hpp"
#include "app/http/request_parser.hpp"
#include "app/http/router.hpp"
#include "app/http/target.hpp"
#include "ipc/base/check.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using namespace cluster;
using namespace cluster::app;

namespace {

constexpr std::size_t kHeaderLimit = 2048;

asio::awaitable<Response> nothing(Request&)
{
    co_return Response{};
}

const Router& router()
{
    static const Router kRouter = [] {
        Router made;
        for (const char* const pattern : {"/", "/a", "/a/{id}", "/a/{id}/b/{other}", "/a/mine"})
            for (const auto method : {http::verb::get, http::verb::post})
                made.add({.method = method, .pattern = pattern, .handler = nothing});
        return made;
    }();
    return kRouter;
}

/// What a request is to a handler, as text, so that two readings can be compared.
std::string answer_to(const RequestParser& parser, const std::string& body)
{
    if (const auto refusal = parser.refusal()) return refusal->body;
    const auto text = parser.header().target();
    const Target target = split_target({text.data(), text.size()});
    Request request;
    request.method = parser.header().method();
    request.headers = &parser.header();
    request.body = body;
    const auto match = router().match(request.method, target.path);
    const auto query = parse_query(target.query);
    const auto json = json_body(request);
    const auto forwarded = request.header(http::field::forwarded);
    const auto trusted = parse_trust_proxy("2");
    Response response = json ? success(*json) : json.error();
    response.headers.emplace_back("X-Target", target.path);
    response.headers.emplace_back("X-Client", client_of(*trusted, "::1", forwarded).address);
    for (const auto& [name, value] : match.params)
        response.headers.emplace_back("X-Param", value);
    for (const auto& [name, value] : query.value_or(Pairs{}))
        response.headers.emplace_back("X-Query", value);
    std::string head;
    append_head(head, response, {.length = 0});
    CLUSTER_CHECK(head.find("\r\n\r\n") == head.size() - 4, "nobody can end a head early");
    return head + response.body;
}

/// Reads all requests of `bytes`, of which `piece` become known at a time.
std::vector<std::string> read_all(std::string_view bytes, std::size_t piece)
{
    std::vector<std::string> answers;
    std::string_view known = bytes.substr(0, 0);
    std::size_t at = 0; // of what is known, consumed
    const auto more = [&] {
        if (known.size() == bytes.size()) return false;
        known = bytes.substr(0, std::min(known.size() + piece, bytes.size()));
        return true;
    };
    while (true) {
        RequestParser parser{kHeaderLimit};
        while (!parser.has_header()) {
            const auto step = parser.take_header(known.substr(at));
            at += step.used;
            // Where it notices that a header is too long may depend on how it was cut up.
            if (step.code) return answers;
            if (step.starved && !parser.has_header() && !more()) return answers;
        }
        std::string body;
        std::array<char, 64> space;
        while (!parser.is_done()) {
            const auto step = parser.take_body(known.substr(at), space);
            at += step.used;
            body.append(space.data(), step.filled);
            if (step.code) return answers;
            if (step.starved && step.filled == 0 && !parser.is_done() && !more()) return answers;
        }
        answers.push_back(answer_to(parser, body));
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view bytes{reinterpret_cast<const char*>(data), size};
    const auto at_once = read_all(bytes, size + 1);
    const auto in_pieces = read_all(bytes, 1 + size % 7);
    const bool small = size <= kHeaderLimit;
    CLUSTER_CHECK(!small || at_once == in_pieces, "how the bytes were cut up does not matter");
    return 0;
}
