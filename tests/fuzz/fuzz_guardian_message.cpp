// Messages between guardian and manager, which may be of different versions, and the list that a
// new guardian is handed: any bytes. What is understood is the same again after it was written out.
#include "ipc/base/check.hpp"
#include "supervisor/daemon/guardian_messages.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

using namespace cluster::supervisor;

namespace {

std::string encoded(const Message& message)
{
    switch (message.verb) {
    case Verb::drop:
        return encode_drop(message.inodes);
    case Verb::acknowledge:
    case Verb::ended:
        return encode_ended(message.verb, message.ended);
    case Verb::upgrade:
    case Verb::outcome:
        return encode_upgrade(message.verb, message.upgrade);
    case Verb::descriptor:
        return encode_descriptor(message.role, message.number);
    case Verb::manager:
        return encode_manager(message.number);
    default:
        return encode(message.verb);
    }
}

void check_message(std::string_view bytes)
{
    const std::optional<Message> message = decode(bytes);
    if (!message) return;
    CLUSTER_CHECK(message->inodes.size() <= bytes.size() / 8, "as many inodes as there are bytes");
    const std::optional<Message> again = decode(encoded(*message));
    CLUSTER_CHECK(again && again->verb == message->verb, "it is understood again");
    if (message->upgrade.reason.size() > 1000 || message->upgrade.program.size() > 4096 ||
        message->upgrade.from.size() > 1000 || message->upgrade.to.size() > 1000 ||
        message->inodes.size() > kMaxPerMessage || message->ended.size() > kMaxPerMessage)
        return; // longer than we write them ourselves
    CLUSTER_CHECK(*again == *message, "and is the same");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view bytes{reinterpret_cast<const char*>(data), size};
    check_message(bytes);
    std::string_view list = bytes;
    while (const auto message = next_of_list(list))
        check_message(*message);
    return 0;
}
