// Where the panes of `monit` are. Pure.
#pragma once

#include "cli/monit_frame.hpp"
#include "cli/monit_model.hpp"

namespace cluster::cli {

inline constexpr Size kLeastSize{.width = 40, .height = 10};

/// The first line of each pane is its heading. What has no height is not shown.
struct MonitLayout {
    Rect title;
    Rect list;
    Rect detail;
    Rect logs;
    Rect status;
    bool too_small = false;
};

[[nodiscard]] MonitLayout layout_of(const MonitModel& model, Size size);

/// Brings what is scrolled into its bounds, the selected row into view, and the focus to a pane
/// that is shown. Before each frame.
void settle(MonitModel& model, Size size);

} // namespace cluster::cli
