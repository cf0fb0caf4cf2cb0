// Reads the fields of a JSON body and collects what is wrong with them, so that one answer tells
// all of it:
//
//   Fields fields{*body};
//   const std::string title = fields.text("title", {.max = 200});
//   if (fields.wrong()) co_return fields.problem();
#pragma once

#include "app/http/message.hpp"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::app {

/// How long a text may be, in characters (code points) once blanks at both ends are dropped.
struct TextRule {
    std::size_t min = 1;
    std::size_t max = 200;
    bool lines = false; ///< line breaks and tabs are allowed
};

/// Characters of a valid UTF-8 text.
[[nodiscard]] std::size_t characters(std::string_view text);
/// Without blanks, tabs and line breaks at both ends.
[[nodiscard]] std::string_view trimmed(std::string_view text);
/// Holds a control character; with `lines` other than \n, \r and \t.
[[nodiscard]] bool has_control(std::string_view text, bool lines);

class Fields {
public:
    /// `body` is an object that outlives it.
    explicit Fields(const json& body) : body_{body} {}

    // Each notes a fault and gives an empty value when the field is not what it must be.

    /// Must be there.
    std::string text(std::string_view name, TextRule rule);
    /// May be missing or null: "".
    std::string optional_text(std::string_view name, TextRule rule);
    /// A string as it came: neither trimmed nor looked into.
    std::string raw_text(std::string_view name);
    std::optional<std::int64_t> optional_number(std::string_view name, std::int64_t low,
                                                std::int64_t high);
    std::string choice(std::string_view name, std::initializer_list<std::string_view> allowed);

    /// The field, nullptr when it is missing or null.
    [[nodiscard]] const json* find(std::string_view name) const;
    void fault(std::string_view path, std::string message);

    [[nodiscard]] bool wrong() const { return !faults_.empty(); }
    /// 400 VALIDATION with one entry in `details` per fault.
    [[nodiscard]] Response problem() const;

private:
    const json& body_;
    std::vector<std::pair<std::string, std::string>> faults_; ///< path, message
};

/// A number in the query ("page"), `fallback` when it is missing; faults go to `fields`.
[[nodiscard]] int query_number(const Request& request, Fields& fields, std::string_view name,
                               int fallback, int low, int high);

/// {"items", "page", "limit", "total", "pages"}: one page of a list.
[[nodiscard]] json page_json(json items, int page, int limit, std::int64_t total);

/// As `json_body`, but no body at all is an empty object.
[[nodiscard]] std::expected<json, Response> optional_json_body(const Request& request);

} // namespace cluster::app
