// What keys and the mouse do in `monit`. Pure: the model changes, and what has to be asked of the
// daemon comes back as an intent.
#pragma once

#include "cli/monit_frame.hpp"
#include "cli/monit_model.hpp"

#include <string>

namespace cluster::cli {

enum class KeyName {
    text, ///< a character; all below have none
    up,
    down,
    page_up,
    page_down,
    home,
    end,
    enter,
    escape,
    backspace,
    tab,
    back_tab,
    click,
    wheel_up,
    wheel_down
};

struct Key {
    KeyName name = KeyName::text;
    std::string text{}; ///< the character as UTF-8
    int x = 0;          ///< where the mouse is
    int y = 0;
};

/// `size`: of the screen that the key was pressed in front of.
[[nodiscard]] MonitIntent press(MonitModel& model, const Key& key, Size size);

/// The lines of the help, keys and what they do.
[[nodiscard]] Lines help_lines();

} // namespace cluster::cli
