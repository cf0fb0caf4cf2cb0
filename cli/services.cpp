#include "cli/services.hpp"

#include "cli/context.hpp"
#include "cli/paths.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace cluster::cli {
namespace {

constexpr const char* kSystemUnits = "/etc/systemd/system";
constexpr ipc::milliseconds kProgramLimit{600'000}; ///< a stop may take its time

std::string variable(const ipc::Environment& environment, const char* name)
{
    const auto found = environment.find(name);
    return found == environment.end() ? "" : found->second;
}

std::string trimmed(std::string text)
{
    while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
        text.pop_back();
    return text;
}

std::optional<InstalledUnit> find_in(ipc::System& system, Scope scope, const std::string& folder,
                                     const std::string& home)
{
    auto names = system.list_directory(folder);
    if (!names) return std::nullopt;
    std::ranges::sort(*names);
    for (const std::string& name : *names) {
        if (!name.ends_with(".service")) continue;
        const std::string path = fmt::format("{}/{}", folder, name);
        const auto text = system.read_file(path);
        if (text && home_in_unit(*text) == home)
            return InstalledUnit{.scope = scope, .name = name, .path = path};
    }
    return std::nullopt;
}

ipc::Result<Captured> run(ipc::System& system, const ipc::Clock& clock,
                          const std::vector<std::string>& words,
                          const ipc::Environment& environment, int fd)
{
    const auto program = find_in_path(words.front(), environment, "/");
    if (!program) return ipc::fail(ENOENT, "find " + words.front() + " in PATH");
    return capture(system, clock,
                   {.program = *program,
                    .args = {words.begin() + 1, words.end()},
                    .environment = environment,
                    .cwd = "/",
                    .fd = fd,
                    .limit = kProgramLimit});
}

std::string how_it_ended(const Captured& captured)
{
    if (!captured.status)
        return fmt::format("it took longer than {} s", kProgramLimit.count() / 1000);
    if (captured.status->signal != 0)
        return fmt::format("it was ended by signal {}", captured.status->signal);
    return fmt::format("it exited with code {}", captured.status->code);
}

/// Is it on its way up by itself, or about to be gone for another one?
bool is_coming(ipc::System& system, const ipc::Clock& clock, const std::vector<std::string>& words,
               const ipc::Environment& environment)
{
    constexpr std::string_view kComing[] = {"active", "activating", "reloading", "deactivating"};
    const auto state = run(system, clock, words, environment, STDOUT_FILENO);
    return state && std::ranges::find(kComing, trimmed(state->output)) != std::end(kComing);
}

} // namespace

bool systemd_runs()
{
    return ::access("/run/systemd/system/", F_OK) == 0;
}

std::string config_folder(const ipc::Environment& environment)
{
    const std::string given = variable(environment, "XDG_CONFIG_HOME");
    return given.starts_with('/') ? given : variable(environment, "HOME") + "/.config";
}

std::optional<InstalledUnit> find_unit(ipc::System& system, const std::string& home,
                                       const std::string& config_folder)
{
    if (auto of_system = find_in(system, Scope::system, kSystemUnits, home)) return of_system;
    return find_in(system, Scope::user, config_folder + "/systemd/user", home);
}

std::expected<void, std::string> run_program(ipc::System& system, const ipc::Clock& clock,
                                             const std::vector<std::string>& words,
                                             const ipc::Environment& environment)
{
    const auto captured = run(system, clock, words, environment, STDERR_FILENO);
    if (!captured) return std::unexpected(captured.error().text());
    if (captured->status == ipc::ExitStatus{}) return {};
    const std::string said = trimmed(captured->output);
    return std::unexpected(how_it_ended(*captured) + (said.empty() ? "" : ": " + said));
}

ipc::Environment with_runtime_folder(ipc::Environment environment)
{
    const std::string folder = fmt::format("/run/user/{}", ::geteuid());
    if (variable(environment, "XDG_RUNTIME_DIR").empty() &&
        file_kind(folder) == FileKind::directory)
        environment["XDG_RUNTIME_DIR"] = folder;
    return environment;
}

bool start_by_service(const std::string& home, const ipc::Clock& clock)
{
    if (!systemd_runs()) return false;
    ipc::LinuxSystem system; // as all of the starter, behind the seam: its users have no other
    const ipc::Environment environment = with_runtime_folder(current_environment());
    const auto unit = find_unit(system, home, config_folder(environment));
    if (!unit) return false;
    std::vector<std::string> systemctl{"systemctl", "--no-ask-password"};
    if (unit->scope == Scope::user) systemctl.emplace_back("--user");
    const auto with = [&](const char* verb) {
        std::vector<std::string> words = systemctl;
        words.insert(words.end(), {verb, unit->name});
        return words;
    };
    return run_program(system, clock, with("start"), environment).has_value() ||
           is_coming(system, clock, with("is-active"), environment);
}

} // namespace cluster::cli
