// Lines from a Node worker against any bytes. Nothing may crash, and whatever a worker asks for,
// our answer is one line of JSON that names the key that it will later close.
#include "ipc/base/check.hpp"
#include "supervisor/core/node_protocol.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string_view>

using namespace cluster::supervisor;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view line{reinterpret_cast<const char*>(data), size};
    const NodeMessage message = parse_node_message(line);
    const auto* query = std::get_if<NodeQuery>(&message);
    if (!query) return 0;
    for (const std::string& answer :
         {node_handle_reply(query->seq, query->address, query->data),
          node_error_reply(query->seq, query->address, query->data, 98)}) {
        CLUSTER_CHECK(answer.find('\n') == answer.size() - 1, "an answer is one line");
        const auto parsed = nlohmann::json::parse(answer);
        const auto& inner = parsed.contains("msg") ? parsed["msg"] : parsed;
        CLUSTER_CHECK(inner["ack"] == query->seq, "an answer echoes the number");
        CLUSTER_CHECK(inner["key"] == node_key(query->address), "an answer names the key");
    }
    return 0;
}
