// The settings of the server: environment variables, and `.env` files below them (a variable that
// is really set wins). Each role reads its own by name; what is wrong is collected, so that a user
// sees every fault at once, one line each, instead of one per start. Pure: no getenv.
#pragma once

#include "ipc/base/result.hpp"

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

using ipc::Result;
using std::chrono::milliseconds;
using Variables = std::map<std::string, std::string, std::less<>>; ///< name → value

/// The environment of this process; of a name that stands twice the first counts (as getenv).
[[nodiscard]] Variables read_environment(const char* const* block);

/// The text of a `.env` file as dotenv 16 reads it: `NAME=value`, `export NAME=value`, comments,
/// 'single', "double" (with \n) and `backtick` quotes over several lines. Errors name the line.
[[nodiscard]] Result<Variables> parse_dotenv(std::string_view text);

class Environment {
public:
    explicit Environment(Variables variables) : variables_{std::move(variables)} {}

    /// The value, "" when it is absent. An empty one counts as absent everywhere.
    [[nodiscard]] std::string text(std::string_view name, std::string_view fallback = "") const;
    [[nodiscard]] bool has(std::string_view name) const;

    // Each of these notes a fault and answers `fallback` when the value is not what it must be.

    [[nodiscard]] int number(std::string_view name, int fallback, int low, int high);
    /// true/false, 1/0, yes/no, on/off.
    [[nodiscard]] bool flag(std::string_view name, bool fallback);
    [[nodiscard]] std::string choice(std::string_view name, std::string_view fallback,
                                     std::initializer_list<std::string_view> allowed);
    /// "15m", "7d", "12h", "30s", "500ms"; a bare number counts seconds (as in jsonwebtoken).
    [[nodiscard]] milliseconds duration(std::string_view name, milliseconds fallback,
                                        milliseconds low, milliseconds high);
    /// Comma-separated, blanks around each dropped, empty ones too.
    [[nodiscard]] std::vector<std::string> list(std::string_view name) const;

    /// `why` is a whole sentence that names the variable, what is allowed and what was found (but
    /// never a secret).
    void fault(std::string why) { faults_.push_back(std::move(why)); }
    [[nodiscard]] const std::vector<std::string>& faults() const { return faults_; }
    [[nodiscard]] const Variables& variables() const { return variables_; }

private:
    Variables variables_;
    std::vector<std::string> faults_;
};

} // namespace cluster::app
