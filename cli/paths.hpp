// Paths as the user's shell would read them: `~`, the working directory, PATH.
#pragma once

#include "ipc/wire/app_spec.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace cluster::cli {

/// `path` against `base`, without "." and ".." parts; a leading "~" or "~/" is $HOME.
[[nodiscard]] std::string absolute_path(std::string_view path, const std::string& base,
                                        const ipc::Environment& environment);

enum class FileKind { missing, regular, directory, other };
[[nodiscard]] FileKind file_kind(const std::string& path);

/// A regular file that this user may execute.
[[nodiscard]] bool is_executable(const std::string& path);

/// The absolute path of `word` in $PATH, as execvp(3) would find it; an empty entry is `cwd`.
[[nodiscard]] std::optional<std::string>
find_in_path(std::string_view word, const ipc::Environment& environment, const std::string& cwd);

/// Where the program that runs is; "" when that cannot be told.
[[nodiscard]] std::string own_program();

} // namespace cluster::cli
