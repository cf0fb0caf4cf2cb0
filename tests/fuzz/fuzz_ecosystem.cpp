// The ecosystem loader against any bytes: the first byte chooses the format ("y" YAML, else JSON),
// the rest is the file. Nothing may crash, every message is one printable line, and every app that
// is accepted survives the way to JSON text and back, which is how it travels to the daemon.
#include "ipc/base/check.hpp"
#include "ipc/wire/attributes.hpp"
#include "ipc/wire/ecosystem.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <string_view>

using namespace cluster::ipc;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0) return 0;
    const std::string_view text{reinterpret_cast<const char*>(data) + 1, size - 1};
    const Format format = data[0] == 'y' ? Format::yaml : Format::json;
    const Ecosystem ecosystem = parse_ecosystem(text, format, "file", "production");
    for (const Diagnostic& diagnostic : ecosystem.diagnostics) {
        const std::string line = diagnostic.text();
        CLUSTER_CHECK(
            std::ranges::none_of(line, [](unsigned char c) { return c < ' ' || c == 0x7f; }),
            "a message is one printable line");
    }
    for (const AppSpec& app : ecosystem.apps) {
        Diagnostics diagnostics;
        const auto again = parse_app(nlohmann::json::parse(to_json(app).dump()), {}, diagnostics);
        CLUSTER_CHECK(again == app, "an app survives the way to JSON and back");
        CLUSTER_CHECK(diagnostics.empty(), "what to_json writes is accepted without a word");
    }
    return 0;
}
