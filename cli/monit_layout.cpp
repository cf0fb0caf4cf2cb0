#include "cli/monit_layout.hpp"

#include <algorithm>

namespace cluster::cli {
namespace {

constexpr int kWide = 120;      ///< from here on list and detail stand side by side
constexpr int kTall = 18;       ///< from here on a narrow screen shows the detail too
constexpr int kShortDetail = 6; ///< its height there
constexpr int kLeastList = 4;

/// List (left) and detail (right) above the logs.
void lay_wide(MonitLayout& layout, Size size, int body)
{
    const int top = std::max(body / 2, 8);
    const int left = size.width * 3 / 5;
    layout.list = {0, 1, left, top};
    layout.detail = {left + 1, 1, size.width - left - 1, top};
    layout.logs = {0, 1 + top, size.width, body - top};
}

/// One below the other. Rows that the list does not need go to the logs.
void lay_narrow(MonitLayout& layout, Size size, int body, int rows)
{
    const int detail = size.height >= kTall ? kShortDetail : 0;
    const int most = detail > 0 ? body * 2 / 5 : body / 2;
    const int list = std::clamp(rows + 1, std::min(kLeastList, most), most);
    layout.list = {0, 1, size.width, list};
    layout.detail = {0, 1 + list, size.width, detail};
    layout.logs = {0, 1 + list + detail, size.width, body - list - detail};
}

void settle_list(MonitModel& model, const Rect& list)
{
    const auto shown = visible_rows(model);
    const int height = std::max(list.height - 1, 1);
    const auto at = std::ranges::find_if(
        shown, [&](std::size_t row) { return model.rows[row].id == model.selected; });
    if (at != shown.end()) {
        const auto place = static_cast<int>(at - shown.begin());
        model.list_top = std::clamp(model.list_top, place - height + 1, place);
    }
    const int most = std::max(static_cast<int>(shown.size()) - height, 0);
    model.list_top = std::clamp(model.list_top, 0, most);
}

} // namespace

MonitLayout layout_of(const MonitModel& model, Size size)
{
    MonitLayout layout;
    layout.too_small = size.width < kLeastSize.width || size.height < kLeastSize.height;
    if (layout.too_small) return layout;
    layout.title = {0, 0, size.width, 1};
    layout.status = {0, size.height - 1, size.width, 1};
    const int body = size.height - 2;
    if (model.logs_full)
        layout.logs = {0, 1, size.width, body};
    else if (size.width >= kWide && size.height >= kTall)
        lay_wide(layout, size, body);
    else
        lay_narrow(layout, size, body, static_cast<int>(visible_rows(model).size()));
    return layout;
}

void settle(MonitModel& model, Size size)
{
    settle_selection(model);
    const MonitLayout layout = layout_of(model, size);
    if (layout.too_small) return;
    if (layout.list.height > 0) settle_list(model, layout.list);
    model.log.settle(layout.logs.width, layout.logs.height - 1);
    if (model.logs_full) model.focus = MonitPane::logs;
    if (model.focus == MonitPane::detail && layout.detail.height == 0)
        model.focus = MonitPane::list;
}

} // namespace cluster::cli
