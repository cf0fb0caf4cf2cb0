#include "ipc/wire/json_text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

namespace cluster::ipc {
namespace {

using nlohmann::json;

constexpr std::size_t kDeepest = 64;

TextFault fault_at(std::string_view text, std::size_t at, std::string what)
{
    const std::string_view before = text.substr(0, std::min(at, text.size()));
    const auto line_start = before.rfind('\n') + 1; // npos + 1 is 0
    return {.line = static_cast<std::size_t>(std::ranges::count(before, '\n')) + 1,
            .column = before.size() - line_start + 1,
            .what = std::move(what)};
}

/// One pass over the text before the parser sees it: blanks out comments and commas before a
/// closing bracket, so that all places stay what they are, and counts the nesting.
class Cleaner {
public:
    explicit Cleaner(std::string& text) : text_{text} {}

    std::optional<TextFault> run()
    {
        for (; at_ < text_.size(); ++at_) {
            const char c = text_[at_];
            if (c == '"')
                skip_string();
            else if (c == '/')
                blank_comment();
            else if (c == ',')
                comma_ = at_;
            else if (c == '{' || c == '[')
                ++depth_;
            else if (c == '}' || c == ']')
                close();
            if (depth_ > kDeepest) return fault_at(text_, at_, "nested too deeply");
            if (!is_blank(text_[std::min(at_, text_.size() - 1)]) && c != ',') comma_.reset();
        }
        return std::nullopt;
    }

private:
    static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

    /// Leaves `at_` on the closing quote.
    void skip_string()
    {
        for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_)
            if (text_[at_] == '\\') ++at_;
    }

    /// Leaves `at_` on the last blanked character; an unfinished comment is left to the parser.
    void blank_comment()
    {
        const std::string_view rest = std::string_view{text_}.substr(at_);
        std::size_t size = 0;
        if (rest.starts_with("//")) size = std::min(rest.find('\n'), rest.size());
        if (rest.starts_with("/*")) {
            const auto end = rest.find("*/", 2);
            if (end != rest.npos) size = end + 2;
        }
        for (std::size_t i = 0; i < size; ++i)
            if (text_[at_ + i] != '\n') text_[at_ + i] = ' ';
        if (size > 0) at_ += size - 1;
    }

    void close()
    {
        if (depth_ > 0) --depth_;
        if (comma_) text_[*comma_] = ' ';
    }

    std::string& text_;
    std::size_t at_ = 0;
    std::size_t depth_ = 0;
    std::optional<std::size_t> comma_; ///< of the comma that only blanks and comments followed
};

/// nlohmann's "[json.exception…] parse error at line 3, column 5: syntax error while parsing object
/// key - unexpected '}'; last read: '…'; expected string literal" as "unexpected '}'; expected
/// string literal (in object key)": the place stands before it, and the last read can be long.
std::string reason(std::string_view what)
{
    constexpr std::string_view kSyntax = "syntax error while parsing ";
    constexpr std::string_view kDash = " - ";
    constexpr std::string_view kLastRead = "; last read: '";
    constexpr std::string_view kExpected = "; expected ";
    const auto syntax = what.find(kSyntax);
    if (syntax == what.npos) return std::string{what};
    what.remove_prefix(syntax + kSyntax.size());
    const std::string_view inside = what.substr(0, what.find(kDash));
    what.remove_prefix(std::min(inside.size() + kDash.size(), what.size()));
    std::string out{what.substr(0, std::min(what.find(kLastRead), what.rfind(kExpected)))};
    if (const auto expected = what.rfind(kExpected); expected != what.npos)
        out += what.substr(expected);
    return out.append(" (in ").append(inside).append(")");
}

} // namespace

std::expected<json, TextFault> parse_relaxed_json(std::string text)
{
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
    if (auto fault = Cleaner{text}.run()) return std::unexpected(std::move(*fault));
    try {
        return json::parse(text);
    } catch (const json::parse_error& e) {
        const std::size_t at = e.byte == 0 ? 0 : e.byte - 1;
        return std::unexpected(fault_at(text, at, reason(e.what())));
    } catch (const json::exception& e) {
        return std::unexpected(TextFault{.what = e.what()});
    }
}

} // namespace cluster::ipc
