#include "supervisor/sys/socket_holder.hpp"

#include "ipc/base/text.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <string_view>

namespace cluster::supervisor {
namespace {

using Links = std::set<std::string, std::less<>>; ///< "socket:[4711]", as /proc/PID/fd shows them

/// Calls `visit` with the first ten words of each line.
template <class Visit>
void for_each_line(std::string_view text, Visit visit)
{
    for (auto line = ipc::next_word(text, "\n"); !line.empty(); line = ipc::next_word(text, "\n")) {
        std::array<std::string_view, 10> words;
        for (std::string_view& word : words)
            word = ipc::next_word(line);
        visit(words);
    }
}

std::string link_to(std::string_view inode)
{
    return "socket:[" + std::string{inode} + "]";
}

bool has_one_of(ipc::System& system, const std::string& process, const Links& links)
{
    const std::string folder = process + "/fd/";
    const auto names = system.list_directory(folder);
    if (!names) return false;
    return std::ranges::any_of(*names, [&](const std::string& name) {
        const auto target = system.readlink(folder + name);
        return target && links.contains(*target);
    });
}

std::string owner_of(ipc::System& system, const Links& links)
{
    if (links.empty()) return {};
    const auto names = system.list_directory("/proc");
    if (!names) return {};
    for (const std::string& pid : *names) {
        const std::string process = "/proc/" + pid;
        if (!ipc::parse_number<pid_t>(pid) || !has_one_of(system, process, links)) continue;
        const std::string comm = system.read_file(process + "/comm").value_or("?\n");
        return comm.substr(0, comm.find('\n')) + ", pid " + pid;
    }
    return {};
}

} // namespace

std::string holder_of_port(ipc::System& system, std::uint16_t port)
{
    Links links;
    for (const char* const path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        const auto text = system.read_file(path);
        if (!text) continue;
        for_each_line(*text, [&](const auto& words) {
            // 0: 0100007F:0BB9 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711
            constexpr std::string_view kListen = "0A";
            const std::string_view hex = words[1].substr(words[1].rfind(':') + 1);
            const auto local = ipc::parse_number<std::uint16_t>(hex, 16);
            if (words[3] == kListen && local == port) links.insert(link_to(words[9]));
        });
    }
    return owner_of(system, links);
}

std::string holder_of_path(ipc::System& system, const std::string& path)
{
    Links links;
    const auto text = system.read_file("/proc/net/unix");
    if (!text) return {};
    for_each_line(*text, [&](const auto& words) {
        // 0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/x.sock
        constexpr std::string_view kListening = "00010000";
        if (words[3] == kListening && words[7] == path) links.insert(link_to(words[6]));
    });
    return owner_of(system, links);
}

} // namespace cluster::supervisor
