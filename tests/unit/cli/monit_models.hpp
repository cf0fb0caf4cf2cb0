// Models of `monit` for its tests: what a daemon would have said.
#pragma once

#include "cli/monit_keys.hpp"
#include "cli/monit_model.hpp"
#include "cli/monit_view.hpp"

#include <initializer_list>
#include <string>
#include <string_view>

namespace cluster::cli::test {

inline constexpr std::int64_t kNow = 1'790'000'000'000;
inline constexpr Size kUsual{.width = 80, .height = 24};
inline constexpr Size kWide{.width = 200, .height = 60};

inline json process(int id, std::string_view name, std::string_view status = "online")
{
    const bool runs = status == "online";
    return {{"id", id},
            {"name", name},
            {"namespace", "default"},
            {"pid", runs ? 4250 + id : 0},
            {"status", status},
            {"ready", runs},
            {"restarts", id % 3},
            {"started_at", kNow - 60'000 * (id + 1)},
            {"cpu", runs ? 1.5 * id : 0.0},
            {"memory", runs ? 1'048'576 * (50 - id) : 0}};
}

inline MonitModel model_of(const json& processes)
{
    MonitModel model;
    model.utf8 = true;
    model.connected = true;
    model.now_ms = kNow;
    take_list(model, processes, true);
    return model;
}

/// api (0), api (1), job (2, stopped), mail (3).
inline MonitModel four()
{
    return model_of(json::array(
        {process(0, "api"), process(1, "api"), process(2, "job", "stopped"), process(3, "mail")}));
}

inline std::string screen(const MonitModel& model, Size size = kUsual)
{
    return text_of(draw_monit(model, size).lines);
}

/// Types each character, and "\n", "\x1b", "\b", "\t" as their keys.
inline MonitIntent type(MonitModel& model, std::string_view text, Size size = kUsual)
{
    MonitIntent last;
    for (const char c : text) {
        Key key{.text = {c}};
        if (c == '\n') key = {.name = KeyName::enter};
        if (c == '\x1b') key = {.name = KeyName::escape};
        if (c == '\b') key = {.name = KeyName::backspace};
        if (c == '\t') key = {.name = KeyName::tab};
        last = press(model, key, size);
    }
    return last;
}

inline MonitIntent press_key(MonitModel& model, KeyName name, Size size = kUsual)
{
    return press(model, {.name = name}, size);
}

} // namespace cluster::cli::test
