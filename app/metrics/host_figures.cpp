#include "app/metrics/host_figures.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>

namespace cluster::app {
namespace {

constexpr std::string_view kEnding = ".figures";
constexpr std::string_view kEnded = "ended.figures";
constexpr int kTries = 5;
constexpr std::time_t kUnfinishedFor_s = 60;

std::vector<std::string> names_in(const std::string& folder)
{
    std::vector<std::string> names;
    std::error_code code;
    for (std::filesystem::directory_iterator at{folder, code}, end; !code && at != end;
         at.increment(code))
        names.push_back(at->path().filename().string());
    std::ranges::sort(names);
    return names;
}

bool is_process(std::string_view name)
{
    return name.ends_with(kEnding) && name[0] >= '0' && name[0] <= '9';
}

bool holds(const std::vector<std::string>& names, const std::string& name)
{
    return std::ranges::find(names, name) != names.end();
}

/// What a process left that was killed while it made its file.
void remove_unfinished(const std::string& path)
{
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0 &&
        std::time(nullptr) - status.st_mtime > kUnfinishedFor_s)
        ::unlink(path.c_str());
}

} // namespace

struct HostFigures::Gathered {
    Totals totals;
    std::vector<std::string> folded; ///< files that are in `totals` and still there
    bool changed = false;
};

std::string HostFigures::path_of(std::string_view name) const
{
    return folder_ + "/" + std::string{name};
}

ReadFigures HostFigures::read_ended()
{
    return read_figures(path_of(kEnded), descriptions_).value_or(ReadFigures{});
}

/// One pass; whether it can be trusted says whether `ended` stayed the same.
Totals HostFigures::read_once(const Snapshot& own, const std::string& own_name,
                              std::uint64_t& generation)
{
    const ReadFigures ended = read_ended();
    generation = ended.generation;
    Totals totals;
    totals.add(own, true);
    totals.add(ended.snapshot, false);
    for (const std::string& name : names_in(folder_)) {
        if (!is_process(name) || name == own_name || holds(ended.folded, name)) continue;
        if (const auto figures = read_figures(path_of(name), descriptions_))
            totals.add(figures->snapshot, figures->alive);
    }
    return totals;
}

Totals HostFigures::read(const Snapshot& own, const std::string& own_name)
{
    for (int tries = 1;; ++tries) {
        std::uint64_t generation = 0;
        Totals totals = read_once(own, own_name, generation);
        if (read_generation(path_of(kEnded)) == generation || tries == kTries) return totals;
    }
}

/// Files in which nobody counts any more.
std::vector<std::string> HostFigures::without_process() const
{
    std::vector<std::string> names;
    for (std::string& name : names_in(folder_)) {
        if (name.ends_with(".figures.new") && !name.starts_with(kEnded))
            remove_unfinished(path_of(name));
        if (is_process(name) && !is_counting(path_of(name))) names.push_back(std::move(name));
    }
    return names;
}

HostFigures::Gathered HostFigures::gather(const std::vector<std::string>& names,
                                          const ReadFigures& ended)
{
    Gathered gathered;
    gathered.totals.add(ended.snapshot, false);
    for (const std::string& name : names) {
        if (!holds(ended.folded, name)) {
            // One that cannot be read may be of a version to come: it stays.
            const auto figures = read_figures(path_of(name), descriptions_);
            if (!figures || figures->alive) continue;
            gathered.totals.add(figures->snapshot, false);
            gathered.changed = true;
        }
        gathered.folded.push_back(name);
    }
    return gathered;
}

Result<void> HostFigures::fold()
{
    if (without_process().empty()) return {};
    const std::string lock_path = path_of("lock");
    const ipc::UniqueFd lock{::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (!lock) return ipc::fail(errno, "open " + lock_path);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return {}; // somebody else is at it

    const ReadFigures ended = read_ended();
    const Gathered gathered = gather(without_process(), ended);
    if (gathered.changed) {
        const auto replaced = replace_figures(path_of(kEnded), gathered.totals.lasting(),
                                              gathered.folded, ended.generation + 1);
        if (!replaced) return std::unexpected(replaced.error());
    }
    for (const std::string& name : gathered.folded)
        ::unlink(path_of(name).c_str());
    return {};
}

} // namespace cluster::app
