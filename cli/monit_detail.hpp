// The detail pane of `monit`: what `describe` knows of a process, and graphs of its figures. Pure.
#pragma once

#include "cli/monit_model.hpp"

namespace cluster::cli {

/// The pane without its heading, cut to that size.
[[nodiscard]] Lines detail_lines(const MonitModel& model, int width, int height);

} // namespace cluster::cli
