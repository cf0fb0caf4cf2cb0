// The state of a daemon (state.json, dump.json, the journal) as a crash, another version or a hand
// may have left it: any bytes. A refusal says why; nothing crashes.
#include "ipc/base/check.hpp"
#include "supervisor/daemon/state.hpp"

#include <cstdint>
#include <string_view>

using namespace cluster::supervisor;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    const auto state = parse_state(text);
    if (!state) {
        CLUSTER_CHECK(!state.error().empty(), "a refusal says why");
        return 0;
    }
    for (const auto& [number, app] : state->apps) {
        CLUSTER_CHECK(!app.spec.name.empty(), "an app has a name");
        CLUSTER_CHECK(app.environment == 0 || state->environments.contains(app.environment),
                      "an app's environment is there");
    }
    for (const auto& [key, worker] : state->workers)
        CLUSTER_CHECK(state->apps.contains(worker.app), "a worker's app is there");
    return 0;
}
