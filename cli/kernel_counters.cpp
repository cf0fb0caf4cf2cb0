#include "cli/kernel_counters.hpp"

#include "ipc/wire/units.hpp"

#include <algorithm>
#include <vector>

namespace cluster::cli {
namespace {

constexpr std::string_view kWanted[] = {"ListenOverflows", "ListenDrops", "TCPAbortOnData",
                                        "TCPAbortOnClose", "EstabResets", "OutRsts"};

std::vector<std::string_view> split(std::string_view text, char at)
{
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const auto end = text.find(at);
        if (end != 0) parts.push_back(text.substr(0, end));
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
    }
    return parts;
}

} // namespace

KernelCounters parse_counters(std::string_view text)
{
    KernelCounters counters;
    const auto lines = split(text, '\n');
    for (std::size_t i = 0; i + 1 < lines.size(); i += 2) {
        const auto names = split(lines[i], ' ');
        const auto values = split(lines[i + 1], ' ');
        for (std::size_t k = 1; k < std::min(names.size(), values.size()); ++k) {
            const auto value = ipc::parse_whole(values[k]);
            if (value && *value >= 0 && std::ranges::find(kWanted, names[k]) != std::end(kWanted))
                counters[std::string{names[k]}] = static_cast<std::uint64_t>(*value);
        }
    }
    return counters;
}

KernelCounters read_counters(ipc::System& system)
{
    KernelCounters counters;
    for (const char* path : {"/proc/net/netstat", "/proc/net/snmp"})
        if (const auto text = system.read_file(path)) counters.merge(parse_counters(*text));
    return counters;
}

} // namespace cluster::cli
