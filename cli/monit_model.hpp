// What `monit` knows and where its user is in it: the value that monit_view draws, monit_keys
// changes by keys and monit_link by what the daemon says. Pure; the clock and the daemon are
// elsewhere.
#pragma once

#include "cli/monit_frame.hpp"
#include "cli/monit_log.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::cli {

using nlohmann::json;

/// One process of the list (docs/protocol.md, "Values"). Names are as the app gave them: the view
/// makes them harmless.
struct MonitRow {
    std::int64_t id = 0;
    std::string name;
    std::string name_space;
    std::string status;
    bool ready = false;
    std::int64_t pid = 0;
    std::int64_t restarts = 0;
    std::int64_t started_at = 0;
    double cpu = 0;          ///< percent of one CPU, the whole tree
    std::int64_t memory = 0; ///< bytes, the whole tree
};

/// Figures of one process, one a second, the newest at the end.
struct MonitHistory {
    std::vector<float> cpu;
    std::vector<float> memory;
};

enum class MonitSort { id, name, cpu, memory, restarts, uptime };
enum class MonitPane { list, detail, logs };

/// What the shell shall do after a key.
struct MonitIntent {
    enum class Kind { nothing, quit, request };
    Kind kind = Kind::nothing;
    std::string method{}; ///< of a request to the daemon, with its params
    json params{};
    std::string doing{}; ///< "restart api (0)"
};

/// What is typed at.
enum class MonitPrompt { none, filter, search, confirm };

struct MonitNote {
    std::string text;
    Colour colour = Colour::none;
};

struct MonitModel {
    // What the daemon said.
    std::vector<MonitRow> rows;
    std::map<std::int64_t, MonitHistory> history; ///< by id
    json detail = json::object();                 ///< of the selected one: what `describe` knows
    LogPane log;                                  ///< of the selected one
    bool connected = false;
    std::string link_text; ///< what is wrong with the connection

    // Where the user is.
    std::optional<std::int64_t> selected; ///< id
    MonitSort sort = MonitSort::id;
    bool reversed = false;
    std::string filter;
    MonitPane focus = MonitPane::list;
    int list_top = 0; ///< first row shown
    int detail_top = 0;
    bool logs_full = false;
    bool help = false;
    int help_top = 0;
    MonitPrompt prompt = MonitPrompt::none;
    std::string typed;  ///< at a prompt
    MonitIntent asking; ///< what is done when confirmed
    MonitNote note;

    // What the terminal can do, and the wall clock.
    bool utf8 = false;
    std::int64_t now_ms = 0;
};

/// The array that `list` answers. With `sample`, its figures go into the history.
void take_list(MonitModel& model, const json& processes, bool sample);
/// One process as it is now, or, with `gone`, no more.
void take_process(MonitModel& model, const json& process, bool gone);

/// Those that the filter lets through, in the order of the list. Indices of `rows`.
[[nodiscard]] std::vector<std::size_t> visible_rows(const MonitModel& model);
/// Null when nothing is selected.
[[nodiscard]] const MonitRow* selected_row(const MonitModel& model);
/// Selects something where nothing, or what is not shown, is selected.
void settle_selection(MonitModel& model);

/// "api (0)", harmless.
[[nodiscard]] std::string title_of(const MonitRow& row, bool utf8);
[[nodiscard]] std::string_view name_of(MonitSort sort);

/// The target that means this one process; empty when there is none, because a name or namespace
/// that is the same number wins over the id.
[[nodiscard]] std::optional<std::string> target_of(const MonitModel& model, const MonitRow& row);

} // namespace cluster::cli
