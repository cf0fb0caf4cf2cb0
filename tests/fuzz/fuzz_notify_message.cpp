// Datagrams of a worker to $NOTIFY_SOCKET against any bytes. Nothing may crash, and the status that
// comes out is fit to be shown: short, UTF-8, one line, no control characters.
#include "ipc/base/check.hpp"
#include "ipc/wire/units.hpp"
#include "supervisor/core/notify_message.hpp"
#include "supervisor/core/shown_line.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>

using namespace cluster;
using namespace cluster::supervisor;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view datagram{reinterpret_cast<const char*>(data), size};
    const NotifyMessage message = parse_notify_message(datagram);
    if (message.extend) CLUSTER_CHECK(message.extend->count() >= 0, "time does not run backwards");
    if (!message.status) return 0;
    CLUSTER_CHECK(message.status->size() <= kShownBytes, "a status is short");
    CLUSTER_CHECK(ipc::is_utf8(*message.status), "a status is UTF-8");
    CLUSTER_CHECK(
        std::ranges::none_of(*message.status, [](unsigned char c) { return c < ' ' || c == 0x7f; }),
        "a status is one line");
    CLUSTER_CHECK(shown_line(*message.status) == *message.status, "there is nothing left to clean");
    return 0;
}
