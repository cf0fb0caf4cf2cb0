// The state of a machine as text, and what a text says.
#pragma once

#include "supervisor/daemon/state.hpp"
#include "tests/unit/supervisor/engine/machine.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>

namespace cluster::tests {

/// With a name, and nothing else.
inline ipc::AppSpec named_app(std::string name = "api")
{
    ipc::AppSpec spec;
    spec.name = std::move(name);
    return spec;
}

/// All that a new journal would begin with.
inline std::string text_of(const Machine& m, const supervisor::UnderWay& under_way = {})
{
    supervisor::EnvironmentNumbers numbers;
    return supervisor::state_text(m.supervisor, under_way, numbers);
}

inline supervisor::SavedState read(const std::string& text)
{
    auto state = supervisor::parse_state(text);
    if (!state) FAIL(state.error());
    return std::move(*state);
}

} // namespace cluster::tests
