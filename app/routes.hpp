// The routes that need nothing else: the greeting, and one that takes its time.
#pragma once

#include "app/http/router.hpp"

#include <optional>

namespace cluster::app {

constexpr milliseconds kMaxDelay{30'000};

/// `/` and `/slow?ms=N`; neither is limited. `instance` is told by the greeting.
void add_basic_routes(Router& router, std::optional<int> instance);

} // namespace cluster::app
