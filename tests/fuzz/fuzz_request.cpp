// The request parser against any bytes: nothing may crash, a refusal has a code of the document and
// a text, and what is accepted is the same request again after it has been written out.
#include "ipc/base/check.hpp"
#include "ipc/wire/rpc.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

using namespace cluster::ipc;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view frame{reinterpret_cast<const char*>(data), size};
    const auto request = parse_request(frame);
    if (!request) {
        const BadRequest& bad = request.error();
        CLUSTER_CHECK(bad.error.code == kParseError || bad.error.code == kInvalidRequest ||
                          bad.error.code == kInvalidParams,
                      "a refusal has one of three codes");
        CLUSTER_CHECK(!bad.error.message.empty(), "a refusal has a text");
        const std::string answer = error_frame(bad.id, bad.error);
        CLUSTER_CHECK(answer.find('\n') == answer.size() - 1, "an answer is one line");
        CLUSTER_CHECK(json::parse(answer).at("id") == bad.id, "an answer is JSON with the id");
        return 0;
    }
    CLUSTER_CHECK(request->params.is_object(), "params are an object");
    json again = {{"jsonrpc", "2.0"}, {"method", request->method}, {"params", request->params}};
    if (request->reply) again["id"] = request->id;
    const std::string text = dump(again);
    CLUSTER_CHECK(text.find('\n') == std::string::npos, "JSON text is one line");
    const auto back = parse_request(text);
    CLUSTER_CHECK(back && back->id == request->id && back->reply == request->reply &&
                      back->method == request->method && back->params == request->params,
                  "an accepted request survives being written out");
    return 0;
}
