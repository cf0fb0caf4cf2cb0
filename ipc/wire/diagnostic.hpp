// What is wrong with a configuration, one value per finding, so that all of them can be shown at
// once and each as exactly one line.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace cluster::ipc {

enum class Severity { error, warning };

struct Diagnostic {
    Severity severity = Severity::error;
    std::string file{}; ///< as the user named it; "" when there is none
    std::string app{};  ///< label of the app: `app "api"` or `app 2`; "" when it is about the file
    std::string attribute{}; ///< as written in the file; "" when it is about the whole app
    std::string message{};   ///< the sentence, attribute included
    std::size_t line = 0;    ///< from 1; 0 when unknown
    std::size_t column = 0;  ///< from 1; 0 when unknown

    /// `ecosystem.json: app "api": instances must be …, got "many"`; a warning has "warning: "
    /// behind the file, a finding with a place looks like `ecosystem.json:3:7: …`. Never holds a
    /// newline.
    [[nodiscard]] std::string text() const;
    bool operator==(const Diagnostic&) const = default;
};

/// Where and why a text could not be parsed.
struct TextFault {
    std::size_t line = 0;   ///< from 1; 0 when unknown
    std::size_t column = 0; ///< from 1
    std::string what{};
};

using Diagnostics = std::vector<Diagnostic>;

[[nodiscard]] bool has_errors(const Diagnostics& diagnostics);

} // namespace cluster::ipc
