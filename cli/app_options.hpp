// PM2's options of `start` and `restart` that stand for an attribute of an app. They become a JSON
// object, so that one parser (ipc/wire/attributes.hpp) checks them and a file's attributes alike.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace cluster::cli {

/// Values of the options, in the order of the table in app_options.cpp.
class AppOptions {
public:
    AppOptions();

    /// Adds all of them. This object must outlive the parser's work.
    void add_to(CLI::App& parser);

    /// The attributes that were given: {"instances": 4, "autorestart": false, …}.
    [[nodiscard]] nlohmann::json attributes() const;

private:
    std::vector<std::vector<std::string>> values_;
    std::vector<char> flags_; ///< not vector<bool>: the parser needs the address of each
};

/// "--name" for "name": how the option of an attribute is spelled, for messages.
[[nodiscard]] std::string option_of(std::string_view attribute);

/// True when the word is an option of the table that takes a value from the next word.
[[nodiscard]] bool takes_value(std::string_view word);

/// The first of `arguments` that is an option of PM2 which clusterctl does not have yet; "" if
/// none.
[[nodiscard]] std::string unsupported_option(const std::vector<std::string>& arguments);

} // namespace cluster::cli
