// Who comes before whom, from `depends_on`. Pure.
#pragma once

#include "ipc/wire/app_spec.hpp"

#include <map>
#include <string>
#include <vector>

namespace cluster::ipc {

/// An app's name → the names of the apps that it depends on.
using Needs = std::map<std::string, std::vector<std::string>>;
void add_needs(const AppSpec& app, Needs& needs);

/// From a name back to the same name: {"a", "b", "a"}.
using Cycle = std::vector<std::string>;

/// The cycles, at least one of each group of apps that wait for each other; those named have no app
/// in common. Names that have no entry end a path. Takes no more stack for a longer chain.
[[nodiscard]] std::vector<Cycle> dependency_cycles(const Needs& needs);

/// "a → b → a"; a long one is shortened in the middle.
[[nodiscard]] std::string cycle_text(const Cycle& cycle);

} // namespace cluster::ipc
