#include "cli/paths.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace cluster::cli {

std::string absolute_path(std::string_view path, const std::string& base,
                          const ipc::Environment& environment)
{
    std::filesystem::path out{path};
    const auto home = environment.find("HOME");
    if ((path == "~" || path.starts_with("~/")) && home != environment.end())
        out = home->second + std::string{path.substr(1)};
    std::string normal = (std::filesystem::path{base} / out).lexically_normal().string();
    while (normal.size() > 1 && normal.ends_with('/'))
        normal.pop_back();
    return normal;
}

FileKind file_kind(const std::string& path)
{
    struct stat status{};
    if (::stat(path.c_str(), &status) < 0) return FileKind::missing;
    if (S_ISREG(status.st_mode)) return FileKind::regular;
    return S_ISDIR(status.st_mode) ? FileKind::directory : FileKind::other;
}

bool is_executable(const std::string& path)
{
    return file_kind(path) == FileKind::regular && ::access(path.c_str(), X_OK) == 0;
}

std::optional<std::string> find_in_path(std::string_view word, const ipc::Environment& environment,
                                        const std::string& cwd)
{
    if (word.empty()) return std::nullopt;
    const auto path = environment.find("PATH");
    std::string_view rest =
        path == environment.end() ? "/usr/local/bin:/usr/bin:/bin" : std::string_view{path->second};
    while (true) {
        const auto colon = std::min(rest.find(':'), rest.size());
        const std::filesystem::path folder{rest.substr(0, colon)};
        std::string candidate =
            (std::filesystem::path{cwd} / folder / word).lexically_normal().string();
        if (is_executable(candidate)) return candidate;
        if (colon == rest.size()) return std::nullopt;
        rest.remove_prefix(colon + 1);
    }
}

std::string own_program()
{
    std::error_code ignored;
    return std::filesystem::read_symlink("/proc/self/exe", ignored).string();
}

} // namespace cluster::cli
