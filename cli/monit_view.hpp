// The screen of `monit`: the model as a frame. Pure.
#pragma once

#include "cli/monit_frame.hpp"
#include "cli/monit_model.hpp"

namespace cluster::cli {

[[nodiscard]] Frame draw_monit(const MonitModel& model, Size size);

} // namespace cluster::cli
