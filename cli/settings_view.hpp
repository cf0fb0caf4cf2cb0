// What the daemon tells of its settings, as text. Pure.
#pragma once

#include "cli/context.hpp"
#include "cli/text.hpp"

#include <string>
#include <vector>

namespace cluster::cli {

/// PM2 knows "a:b" as well as "a.b".
[[nodiscard]] std::string setting_name(std::string given);

/// Of the answer to "settings": one of them; null when there is none of that name.
[[nodiscard]] json setting_in(const json& answer, const std::string& name);
[[nodiscard]] std::vector<std::string> faults_in(const json& answer);
[[nodiscard]] std::string no_setting(const json& answer, const std::string& name);

/// A table of all of them; secrets are not shown.
[[nodiscard]] std::string settings_text(const json& answer, const Style& style);

/// Where the metrics are served; "" nowhere.
[[nodiscard]] std::string metrics_text(const json& answer);

} // namespace cluster::cli
