// What `doctor` has found out about one thing, by the daemon or by this command.
#pragma once

#include "cli/text.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace cluster::cli {

enum class Verdict { ok, warning, problem };

struct Finding {
    Verdict verdict = Verdict::ok;
    std::string check;    ///< what was looked at, in a word or two: "open files"
    std::string what;     ///< a sentence
    std::string where{};  ///< the file, process or setting; "" nothing in particular
    std::string advice{}; ///< what to do about it; "" nothing
};

/// From the answer of the daemon's method `doctor`; a member of the wrong type is left out.
[[nodiscard]] std::vector<Finding> findings_in(const nlohmann::json& answer);

[[nodiscard]] std::size_t count(const std::vector<Finding>& findings, Verdict verdict);

/// A line for each, with its advice below it, and a summary.
[[nodiscard]] std::string findings_text(const std::vector<Finding>& findings, const Style& style);
/// `{"findings":[…],"problems":0,"warnings":1}`.
[[nodiscard]] nlohmann::json findings_json(const std::vector<Finding>& findings);

} // namespace cluster::cli
