// Which program runs a script that does not say so itself.
#pragma once

#include "cli/ecosystem_files.hpp"

#include <expected>
#include <string>
#include <vector>

namespace cluster::cli {

struct Interpreter {
    std::string program;           ///< absolute path, or "none": the script runs itself
    std::vector<std::string> args; ///< go before the script
    bool operator==(const Interpreter&) const = default;
};

/// By the extension of `script` (absolute, exists); else the script itself when it is a program or
/// starts with "#!". The error is a sentence.
[[nodiscard]] std::expected<Interpreter, std::string> choose_interpreter(const std::string& script,
                                                                         FileContext& context);

} // namespace cluster::cli
