#include "cli/host_facts.hpp"

#include "ipc/base/text.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

namespace cluster::cli {
namespace {

constexpr std::string_view kBlanks = " \t\n";

/// The next word of `text`, taken off it; "" at its end.
std::string_view take_word(std::string_view& text)
{
    const auto begin = text.find_first_not_of(kBlanks);
    if (begin == text.npos) return text = {};
    text.remove_prefix(begin);
    const std::string_view word = text.substr(0, text.find_first_of(kBlanks));
    text.remove_prefix(word.size());
    return word;
}

std::optional<std::uint64_t> limit_value(std::string_view word)
{
    if (word == "unlimited") return std::numeric_limits<std::uint64_t>::max();
    return ipc::parse_number<std::uint64_t>(word);
}

/// The strings of a block as /proc gives it.
std::vector<std::string_view> strings_of(std::string_view block)
{
    std::vector<std::string_view> strings;
    while (!block.empty()) {
        const auto end = std::min(block.find('\0'), block.size());
        strings.push_back(block.substr(0, end));
        block.remove_prefix(std::min(end + 1, block.size()));
    }
    return strings;
}

std::optional<std::uint64_t> read_number(ipc::System& system, const std::string& path,
                                         std::size_t index = 0)
{
    const auto text = system.read_file(path);
    return text ? number_at(*text, index) : std::nullopt;
}

std::optional<Volume> read_volume(const std::string& folder)
{
    struct statvfs about{};
    if (::statvfs(folder.c_str(), &about) < 0) return std::nullopt;
    return Volume{.path = folder,
                  .bytes_free = about.f_bavail * about.f_frsize,
                  .bytes_total = about.f_blocks * about.f_frsize,
                  .files_free = about.f_favail,
                  .files_total = about.f_files};
}

std::optional<FileRights> read_rights(const std::string& path)
{
    struct stat about{};
    if (::stat(path.c_str(), &about) < 0) return std::nullopt;
    return FileRights{.mode = about.st_mode & 07777U, .owner = about.st_uid};
}

/// Of the "total" in the second half of "0.1 0.2 0.3 1/523 4711".
std::optional<std::uint64_t> threads_in(std::string_view loadavg)
{
    const auto slash = loadavg.find('/');
    if (slash == loadavg.npos) return std::nullopt;
    loadavg.remove_prefix(slash + 1);
    return ipc::parse_number<std::uint64_t>(take_word(loadavg));
}

void read_processes(ipc::System& system, HostFacts& facts)
{
    const auto names = system.list_directory("/proc");
    if (!names) return;
    std::uint64_t own = 0;
    for (const std::string& name : *names) {
        const auto pid = ipc::parse_number<pid_t>(name);
        if (!pid) continue;
        struct stat about{};
        const std::string folder = "/proc/" + name;
        if (::stat(folder.c_str(), &about) < 0) continue;
        if (about.st_uid == facts.uid) ++own;
        const auto command = system.read_file(folder + "/cmdline");
        if (!command || !command->contains("clusterd")) continue;
        const auto environment = system.read_file(folder + "/environ");
        if (is_guardian_of(facts.paths.home, *command, environment ? *environment : ""))
            facts.daemons.push_back(*pid);
    }
    facts.own_processes = own;
}

} // namespace

std::optional<Limit> find_limit(std::string_view limits, std::string_view name)
{
    const auto at = limits.find(name);
    if (at == limits.npos) return std::nullopt;
    std::string_view rest = limits.substr(at + name.size());
    const auto soft = limit_value(take_word(rest));
    const auto hard = limit_value(take_word(rest));
    if (!soft || !hard) return std::nullopt;
    return Limit{*soft, *hard};
}

std::optional<std::uint64_t> number_at(std::string_view text, std::size_t index)
{
    std::string_view word = take_word(text);
    while (index-- > 0)
        word = take_word(text);
    return ipc::parse_number<std::uint64_t>(word);
}

bool is_guardian_of(const std::string& home, std::string_view command_line,
                    std::string_view environment)
{
    const auto words = strings_of(command_line);
    if (words.empty() || !words[0].substr(words[0].rfind('/') + 1).starts_with("clusterd"))
        return false;
    if (std::ranges::find(words, "--manager") != words.end()) return false;
    const auto option = std::ranges::find(words, "--home");
    if (option != words.end() && option + 1 != words.end()) return option[1] == home;
    const auto variables = strings_of(environment);
    return std::ranges::find(variables, "CLUSTER_HOME=" + home) != variables.end();
}

HostFacts read_host_facts(ipc::System& system, const ipc::HomePaths& paths, pid_t daemon,
                          const std::vector<std::string>& folders)
{
    HostFacts facts;
    facts.uid = ::geteuid();
    facts.paths = paths;
    utsname about{};
    if (::uname(&about) == 0) facts.kernel = about.release;
    const std::string who = daemon > 0 ? std::to_string(daemon) : "self";
    if (const auto limits = system.read_file("/proc/" + who + "/limits")) {
        facts.open_files = find_limit(*limits, "Max open files");
        facts.processes = find_limit(*limits, "Max processes");
    }
    if (const auto load = system.read_file("/proc/loadavg")) facts.threads = threads_in(*load);
    facts.pid_max = read_number(system, "/proc/sys/kernel/pid_max");
    facts.files_open = read_number(system, "/proc/sys/fs/file-nr");
    facts.file_max = read_number(system, "/proc/sys/fs/file-nr", 2);
    facts.pipe_pages = read_number(system, "/proc/sys/fs/pipe-user-pages-soft");
    facts.somaxconn = read_number(system, "/proc/sys/net/core/somaxconn");
    facts.ptrace_scope = read_number(system, "/proc/sys/kernel/yama/ptrace_scope");
    for (const std::string& folder : folders)
        if (const auto volume = read_volume(folder)) facts.volumes.push_back(*volume);
    facts.home = read_rights(paths.home);
    facts.socket = read_rights(paths.socket);
    read_processes(system, facts);
    return facts;
}

} // namespace cluster::cli
