// Which workers a target on the command line means, as pure functions over a view of the table.
// Rules: PM2 (docs/protocol.md, "Values").
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// What target resolution needs to know of one worker.
struct TargetView {
    int id;
    std::string_view name;
    std::string_view name_space;
    std::string_view script; ///< absolute path
};

/// Ids in ascending order, empty when nothing matches. `all` → every one; `/regex/` → names,
/// unanchored (a bad regex matches nothing); then exact name, then absolute or `cwd`-relative
/// script path, then namespace, then id. A name or namespace spelled as a number wins over the id.
[[nodiscard]] std::vector<int> resolve_target(std::string_view target, std::string_view cwd,
                                              const std::vector<TargetView>& workers);

/// An error text when `target` is a `/regex/` that does not compile, else empty.
[[nodiscard]] std::string target_fault(std::string_view target);

} // namespace cluster::supervisor
