#include "ipc/wire/yaml.hpp"

#include "ipc/wire/units.hpp"

#include <nlohmann/json.hpp>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>
#include <map>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::ipc {
namespace {

using nlohmann::json;

constexpr std::size_t kDeepest = 64;
constexpr std::size_t kMostCopied = std::size_t{4} * 1024 * 1024;

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words)
{
    return std::ranges::find(words, text) != words.end();
}

template <class Number>
json number_or_text(std::string_view digits, const std::string& text, int base)
{
    Number number{};
    const char* const end = digits.data() + digits.size();
    const auto [stop, code] = std::from_chars(digits.data(), end, number, base);
    if (code != std::errc{} || stop != end || digits.empty()) return text;
    return number;
}

json float_or_text(std::string_view digits, const std::string& text)
{
    const bool looks_right = digits.find_first_of("0123456789") != digits.npos &&
                             std::ranges::all_of(digits, [](char c) {
                                 return std::string_view{"0123456789.eE+-"}.contains(c);
                             });
    if (!looks_right) return text;
    double number = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, code] = std::from_chars(digits.data(), end, number);
    if (code != std::errc{} || stop != end || !std::isfinite(number)) return text;
    return number;
}

/// A plain scalar by the core schema (YAML 1.2, section 10.3.2).
json typed(const std::string& text)
{
    if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return nullptr;
    if (is_one_of(text, {"true", "True", "TRUE"})) return true;
    if (is_one_of(text, {"false", "False", "FALSE"})) return false;
    std::string_view digits = text;
    if (digits.starts_with("0x")) return number_or_text<std::uint64_t>(digits.substr(2), text, 16);
    if (digits.starts_with("0o")) return number_or_text<std::uint64_t>(digits.substr(2), text, 8);
    if (digits.starts_with('+')) digits.remove_prefix(1);
    if (digits.find_first_not_of("0123456789", digits.starts_with('-') ? 1 : 0) != digits.npos)
        return float_or_text(digits, text);
    const std::string_view magnitude = digits.substr(digits.starts_with('-') ? 1 : 0);
    if (magnitude.size() > 1 && magnitude.starts_with('0')) return text;
    return number_or_text<std::int64_t>(digits, text, 10);
}

/// Roughly the bytes that a copy of `value` takes, counted no further than `limit`.
std::size_t weight(const json& value, std::size_t limit)
{
    std::size_t sum = sizeof(json);
    if (value.is_string()) return sum + value.get_ref<const std::string&>().size();
    if (!value.is_structured()) return sum;
    for (auto item = value.begin(); item != value.end() && sum < limit; ++item) {
        if (value.is_object()) sum += item.key().size();
        sum += weight(*item, limit - std::min(sum, limit));
    }
    return sum;
}

std::size_t depth_of(const json& value)
{
    std::size_t deepest = 0;
    if (!value.is_structured()) return deepest;
    for (const json& item : value)
        deepest = std::max(deepest, depth_of(item));
    return deepest + 1;
}

bool is_text_tag(std::string_view tag)
{
    return tag == "!" || tag.ends_with(":str") ||
           tag.ends_with(":binary"); // "!" is a quoted scalar
}

/// Builds one JSON value from the parser's events. Throws YAML::Exception, so that our findings
/// and the parser's come back in the same way.
class Builder final : public YAML::EventHandler {
public:
    json take() { return std::move(root_); }

    void OnDocumentStart(const YAML::Mark&) override {}
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override
    {
        add(mark, nullptr, anchor);
    }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override
    {
        if (!is_utf8(value)) fail(mark, "text that is not UTF-8");
        const bool is_text = is_text_tag(tag);
        if (!waits_for_key()) return add(mark, is_text ? json(value) : typed(value), anchor);
        // As a key a scalar is text whatever it looks like; only a plain `<<` merges.
        set_key(value, !is_text && value == "<<");
        if (anchor != YAML::NullAnchor) remember(mark, anchor, value);
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override
    {
        const auto found = anchors_.find(anchor);
        if (found == anchors_.end()) fail(mark, "an alias inside of what it stands for");
        spend(mark, found->second);
        if (waits_for_key()) {
            if (!found->second.is_string()) fail(mark, "a key must be text");
            return set_key(found->second.get<std::string>(), false);
        }
        check_depth(mark, depth_of(found->second));
        add(mark, json(found->second), YAML::NullAnchor);
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override
    {
        open(mark, json::array(), anchor);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override
    {
        open(mark, json::object(), anchor);
    }
    void OnMapEnd() override { close(); }

private:
    struct Container {
        json value;
        YAML::anchor_t anchor;
        YAML::Mark mark;
        json merged = json::object(); ///< from `<<`; what is written out wins over it
        std::string key{};
        bool has_key = false;
        bool merges = false;
    };

    [[noreturn]] static void fail(const YAML::Mark& mark, const char* what)
    {
        throw YAML::ParserException(mark, what);
    }

    void spend(const YAML::Mark& mark, const json& copy)
    {
        copied_ += weight(copy, kMostCopied);
        if (copied_ > kMostCopied) fail(mark, "anchors and aliases expand to too much");
    }

    void remember(const YAML::Mark& mark, YAML::anchor_t anchor, const json& value)
    {
        spend(mark, value);
        anchors_[anchor] = value;
    }

    void check_depth(const YAML::Mark& mark, std::size_t more) const
    {
        if (open_.size() + more > kDeepest) fail(mark, "nested too deeply");
    }

    [[nodiscard]] bool waits_for_key() const
    {
        return !open_.empty() && open_.back().value.is_object() && !open_.back().has_key;
    }

    void set_key(std::string key, bool merges)
    {
        open_.back().key = std::move(key);
        open_.back().has_key = true;
        open_.back().merges = merges;
    }

    void open(const YAML::Mark& mark, json empty, YAML::anchor_t anchor)
    {
        if (waits_for_key()) fail(mark, "a key must be text");
        check_depth(mark, 1);
        open_.push_back({.value = std::move(empty), .anchor = anchor, .mark = mark});
    }

    void close()
    {
        Container done = std::move(open_.back());
        open_.pop_back();
        for (auto& [key, value] : done.merged.items())
            if (!done.value.contains(key)) done.value[key] = std::move(value);
        add(done.mark, std::move(done.value), done.anchor);
    }

    void add(const YAML::Mark& mark, json value, YAML::anchor_t anchor)
    {
        if (waits_for_key()) fail(mark, "a key must be text"); // null: `? : value`
        if (anchor != YAML::NullAnchor) remember(mark, anchor, value);
        if (open_.empty()) {
            root_ = std::move(value);
            return;
        }
        Container& parent = open_.back();
        if (parent.value.is_array()) return parent.value.push_back(std::move(value));
        parent.has_key = false;
        if (parent.merges) return merge(mark, parent.merged, value);
        if (parent.value.contains(parent.key)) fail(mark, "the same key stands twice");
        parent.value[parent.key] = std::move(value);
    }

    /// `<<: *base` or `<<: [*a, *b]`: the earlier one wins.
    static void merge(const YAML::Mark& mark, json& into, json& value)
    {
        if (value.is_array()) {
            for (json& item : value)
                merge(mark, into, item);
            return;
        }
        if (!value.is_object()) fail(mark, "<< takes a map or a list of maps");
        for (auto& [key, item] : value.items())
            if (!into.contains(key)) into[key] = std::move(item);
    }

    json root_;
    std::vector<Container> open_;
    std::map<YAML::anchor_t, json> anchors_;
    std::size_t copied_ = 0;
};

TextFault fault_of(const YAML::Exception& e)
{
    const std::string what =
        e.msg == YAML::ErrorMsg::EOF_IN_SCALAR ? "a quote is not closed" : e.msg;
    if (e.mark.is_null()) return {.what = what};
    return {.line = static_cast<std::size_t>(e.mark.line) + 1,
            .column = static_cast<std::size_t>(e.mark.column) + 1,
            .what = what};
}

} // namespace

std::expected<json, TextFault> parse_yaml(const std::string& text)
{
    // yaml-cpp 0.7 takes a quoted scalar as finished where the text ends after a newline; with a
    // comment behind it sees that the quote is open.
    const bool needs_end = text.ends_with('\n');
    try {
        std::istringstream stream{needs_end ? text + "#" : text};
        YAML::Parser parser{stream};
        Builder builder;
        parser.HandleNextDocument(builder);
        json value = builder.take();
        Builder rest;
        if (parser.HandleNextDocument(rest))
            return std::unexpected(TextFault{.what = "more than one YAML document"});
        return value;
    } catch (const YAML::Exception& e) {
        return std::unexpected(fault_of(e));
    } catch (const std::exception& e) {
        return std::unexpected(TextFault{.what = e.what()});
    }
}

} // namespace cluster::ipc
