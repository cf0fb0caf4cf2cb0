#include "cli/service_unit.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace cluster::cli {
namespace {

constexpr std::string_view kSuffix = ".service";
constexpr std::size_t kLongestName = 255; ///< man 5 systemd.unit, with the suffix
/// So many descriptors are stored at most. Their names are handed over in one variable, of which
/// the kernel takes 128 KiB.
constexpr int kStored = 2048;

constexpr std::string_view kUserFolders =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view{":-_.\\"}.contains(c);
}

bool is_control(char c)
{
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

/// A C string as systemd's parser reads it; `%` twice, and `$` too when variables are expanded.
std::string quoted(std::string_view text, bool expands)
{
    std::string out{'"'};
    for (const char c : text) {
        if (is_control(c)) {
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
            continue;
        }
        if (c == '"' || c == '\\') out += '\\';
        if (c == '%' || (c == '$' && expands)) out += c;
        out += c;
    }
    return out + '"';
}

bool needs_no_quotes(std::string_view text)
{
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return is_name_character(c) ? c != '\\' : std::string_view{"/=@+,"}.contains(c);
    });
}

std::string line(std::string_view key, std::string_view value)
{
    return fmt::format("{}={}\n", key, value);
}

/// Those of systemd's sandbox that imply NoNewPrivileges or that a program may stumble over: on
/// request only.
constexpr std::string_view kSandbox =
    "NoNewPrivileges=yes\n"
    "ProtectSystem=full\n"
    "PrivateDevices=yes\n"
    "ProtectClock=yes\n"
    "ProtectHostname=yes\n"
    "ProtectKernelLogs=yes\n"
    "ProtectKernelModules=yes\n"
    "ProtectKernelTunables=yes\n"
    "LockPersonality=yes\n"
    "RestrictNamespaces=yes\n"
    "RestrictRealtime=yes\n"
    "RestrictSUIDSGID=yes\n"
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n"
    "SystemCallArchitectures=native\n"
    "SystemCallFilter=~@clock @cpu-emulation @debug @module @mount "
    "@obsolete @raw-io @reboot @swap\n"
    "SystemCallFilter=pidfd_getfd\n"
    "SystemCallErrorNumber=EPERM\n";

/// No app needs these, whatever it does, and taking them away implies nothing else.
constexpr std::string_view kNeverNeeded =
    "CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_BOOT CAP_SYS_TIME CAP_SYSLOG "
    "CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_LINUX_IMMUTABLE CAP_BLOCK_SUSPEND CAP_WAKE_ALARM "
    "CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_SYS_PACCT CAP_SYS_TTY_CONFIG\n";

std::string limits_text()
{
    // One worker that the kernel kills for its memory is no reason to stop the others.
    return "Delegate=yes\n"
           "OOMPolicy=continue\n"
           "LimitNOFILE=1048576\n"
           "LimitNPROC=infinity\n"
           "TasksMax=infinity\n";
}

std::string unit_section(const DaemonUnit& unit)
{
    const bool of_system = unit.scope == Scope::system;
    const std::string of = of_system ? " of " + plain_value(unit.user) : "";
    std::string text = "[Unit]\n" + line("Description", fmt::format("clusterd{} ({})", of,
                                                                    plain_value(unit.home)));
    if (of_system) {
        const char* network = unit.wait_ip ? "network-online.target" : "network.target";
        text += line("After", network);
        if (unit.wait_ip) text += line("Wants", network);
        // Its parser knows quotes, and no backslashes.
        if (unit.home.find_first_of("\"\\") == std::string::npos)
            text += line("RequiresMountsFor", quoted(unit.home, false));
    }
    // Workers run without a daemon until it is back: never give up.
    return text + line("StartLimitIntervalSec", "0");
}

std::string service_section(const DaemonUnit& unit)
{
    const std::string ctl = exec_program(unit.clusterctl);
    std::string text = "\n[Service]\n"
                       "Type=notify\n"
                       "NotifyAccess=main\n";
    if (unit.scope == Scope::system) text += line("User", unit.user);
    text += line("Environment", environment_assignment("CLUSTER_HOME", unit.home));
    text += line("Environment", environment_assignment("PATH", unit.path));
    // As systemd 254 sets it by itself.
    text += line("Environment", environment_assignment("FDSTORE", std::to_string(kStored)));
    text += line("FileDescriptorStoreMax", std::to_string(kStored));
    // Every worker gets a group of its own below ours; --free-group gives that back.
    text += line("Environment", environment_assignment("CLUSTER_OWN_CGROUP", "1"));
    // Whoever runs this home by hand gives it over, under running workers.
    text += line("ExecStartPre", "-" + ctl + " kill --leave-workers --silent");
    text += line("ExecStart", exec_program(unit.clusterd) + " --foreground");
    text += line("ExecReload", ctl + " update " + exec_argument(unit.clusterd));
    // So that systemd can start it over workers that have groups of their own. Before the start
    // would be too late: the commands there are put into the group itself.
    text += line("ExecStopPost", "-" + exec_program(unit.clusterd) + " --free-group");
    // Only the guardian is systemd's to end: it stops the workers in their order, and when it was
    // killed they go on until the next one takes them over.
    text += "KillMode=process\n"
            "Restart=on-failure\n"
            "RestartSec=500ms\n"
            "TimeoutStopSec=90s\n"
            "WatchdogSec=30s\n"
            "WatchdogSignal=SIGKILL\n";
    text += limits_text();
    if (unit.scope == Scope::system) text += kNeverNeeded;
    if (unit.hardened) text += kSandbox;
    return text;
}

} // namespace

std::string exec_argument(std::string_view word)
{
    return needs_no_quotes(word) ? std::string{word} : quoted(word, true);
}

std::string exec_program(std::string_view path)
{
    return needs_no_quotes(path) ? std::string{path} : quoted(path, false);
}

std::string environment_assignment(std::string_view name, std::string_view value)
{
    return quoted(fmt::format("{}={}", name, value), false);
}

std::string plain_value(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        if (c == '%') out += c;
        out += is_control(c) ? ' ' : c;
    }
    return out;
}

std::string shell_word(std::string_view word)
{
    const bool plain = !word.empty() && std::ranges::all_of(word, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view{"/=@+,.:_-"}.contains(c);
    });
    if (plain) return std::string{word};
    std::string out{'\''};
    for (const char c : word)
        out += c == '\'' ? std::string{"'\\''"} : std::string{c};
    return out + '\'';
}

std::string service_path(std::string_view path)
{
    std::vector<std::string> folders;
    for (std::string_view rest : {path, kUserFolders}) {
        while (!rest.empty()) {
            const auto colon = rest.find(':');
            const std::string folder{rest.substr(0, colon)};
            if (folder.starts_with('/') && std::ranges::find(folders, folder) == folders.end())
                folders.push_back(folder);
            rest.remove_prefix(colon == rest.npos ? rest.size() : colon + 1);
        }
    }
    return fmt::format("{}", fmt::join(folders, ":"));
}

std::optional<std::string> service_name(std::string_view word)
{
    std::string name{word};
    if (!name.ends_with(kSuffix)) name += kSuffix;
    const std::string_view stem = std::string_view{name}.substr(0, name.size() - kSuffix.size());
    const bool valid = !stem.empty() && name.size() <= kLongestName && !stem.starts_with('-') &&
                       std::ranges::all_of(stem, is_name_character) && !stem.contains('\\');
    return valid ? std::optional{name} : std::nullopt;
}

std::string as_unit_name(std::string_view text)
{
    std::string name{text};
    for (char& c : name)
        if (!is_name_character(c) || c == '\\') c = '-';
    return name;
}

std::string daemon_unit_text(const DaemonUnit& unit)
{
    const bool of_system = unit.scope == Scope::system;
    return "# Written by `clusterctl startup`; `clusterctl unstartup` removes it. Changes of "
           "yours: "
           "systemctl edit.\n" +
           unit_section(unit) + service_section(unit) + "\n[Install]\n" +
           line("WantedBy", of_system ? "multi-user.target" : "default.target") +
           "\n[X-Clusterctl]\n" + line("Home", unit.home);
}

std::optional<std::string> home_in_unit(std::string_view text)
{
    constexpr std::string_view kMark = "\n[X-Clusterctl]\nHome=";
    const auto at = text.find(kMark);
    if (at == text.npos) return std::nullopt;
    text.remove_prefix(at + kMark.size());
    return std::string{text.substr(0, text.find('\n'))};
}

std::string file_unit_text(const FileUnit& unit)
{
    const std::string_view stem{unit.name.data(), unit.name.size() - kSuffix.size()};
    const bool of_system = unit.scope == Scope::system;
    const std::string folder =
        of_system ? "/etc/systemd/system" : std::string{"~/.config/systemd/user"};
    const char* ctl = of_system ? "systemctl" : "systemctl --user";
    std::string text = fmt::format("# clusterctl systemd-unit {0} > {1}/{2}\n"
                                   "# {3} daemon-reload && {3} enable --now {4}\n",
                                   shell_word(unit.file), folder, unit.name, ctl, stem);
    text += "[Unit]\n" +
            line("Description", plain_value(fmt::format("{}", fmt::join(unit.apps, ", "))));
    if (of_system) text += line("After", "network.target");
    text += "\n[Service]\nType=exec\n";
    if (!unit.user.empty()) text += line("User", unit.user);
    // A daemon of its own, with a home of its own.
    const std::string state = fmt::format("clusterctl-{}", stem);
    text += line("StateDirectory", state) + "StateDirectoryMode=0700\n";
    text += line("Environment", fmt::format("CLUSTER_HOME=%S/{}", state));
    text += line("Environment", environment_assignment("PATH", unit.path));
    text += line("WorkingDirectory", plain_value(unit.folder));
    constexpr int kMargin = 10; // for what is left after the grace period
    std::string command = fmt::format("{} run {} --grace {}s", exec_program(unit.clusterctl),
                                      exec_argument(unit.file), unit.stop_seconds - kMargin);
    if (!unit.env_name.empty()) command += " --env " + exec_argument(unit.env_name);
    text += line("ExecStart", command);
    text += "KillMode=mixed\n"
            "Restart=on-failure\n"
            "RestartSec=1s\n";
    text += line("TimeoutStopSec", fmt::format("{}s", unit.stop_seconds)) + limits_text();
    return text + "\n[Install]\n" +
           line("WantedBy", of_system ? "multi-user.target" : "default.target");
}

} // namespace cluster::cli
