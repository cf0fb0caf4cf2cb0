#include "ipc/wire/attribute_codecs.hpp"

#include "ipc/wire/address.hpp"
#include "ipc/wire/cron.hpp"
#include "ipc/wire/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace cluster::ipc {
namespace {

using nlohmann::json;

std::unexpected<Mismatch> refuse_value(std::string expected = {}, std::string path = {},
                                       std::string got = {})
{
    return std::unexpected(Mismatch{std::move(expected), std::move(path), std::move(got)});
}

std::string at_index(std::size_t index)
{
    return fmt::format("[{}]", index);
}

/// What can be an argument of exec and travel in JSON.
bool is_text(std::string_view text)
{
    return !text.contains('\0') && is_utf8(text);
}

constexpr const char* kText = "UTF-8 text without NUL bytes";

/// JavaScript has one type of number, so 3.0 is whole; PM2 converts numeric strings.
std::optional<std::int64_t> whole_of(const json& value)
{
    constexpr double kExact = 9007199254740992.0; // 2^53
    if (value.is_number_unsigned()) {
        const auto number = value.get<std::uint64_t>();
        if (number > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) return std::nullopt;
        return static_cast<std::int64_t>(number);
    }
    if (value.is_number_integer()) return value.get<std::int64_t>();
    if (value.is_number_float()) {
        const auto number = value.get<double>();
        if (std::trunc(number) != number || std::abs(number) > kExact) return std::nullopt;
        return static_cast<std::int64_t>(number);
    }
    if (value.is_string()) return parse_whole(value.get_ref<const std::string&>());
    return std::nullopt;
}

/// Nesting, counted no further than `limit`: what comes from strangers may not steer recursion.
bool deeper_than(const json& value, int limit)
{
    if (!value.is_structured()) return false;
    if (limit == 0) return true;
    return std::ranges::any_of(value,
                               [&](const json& item) { return deeper_than(item, limit - 1); });
}

/// A value of the environment as JavaScript would print it; objects and arrays as JSON (PM2).
std::string scalar_text(const json& value)
{
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number_float())
        if (const auto number = whole_of(value)) return std::to_string(*number);
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

Verdict check_variable(std::string_view name, const char* path)
{
    if (name.empty()) return refuse_value("a variable name that is not empty", path, "\"\"");
    if (name.contains('=') || !is_text(name))
        return refuse_value("a variable name in UTF-8 without \"=\" and NUL", path,
                            shown(std::string{name}));
    return {};
}

Verdict read_texts(const json& array, std::vector<std::string>& into, bool numbers_too)
{
    std::vector<std::string> texts;
    texts.reserve(array.size());
    for (const json& item : array) {
        const bool scalar = numbers_too && item.is_primitive() && !item.is_null();
        if (!item.is_string() && !scalar)
            return refuse_value("a string", at_index(texts.size()), shown(item));
        std::string text = scalar_text(item);
        if (!is_text(text)) return refuse_value(kText, at_index(texts.size()), shown(item));
        texts.push_back(std::move(text));
    }
    into = std::move(texts);
    return {};
}

} // namespace

std::optional<std::int64_t> whole_between(const json& value, std::int64_t min, std::int64_t max)
{
    const auto number = whole_of(value);
    return number && *number >= min && *number <= max ? number : std::nullopt;
}

std::optional<milliseconds> duration_between(const json& value, std::int64_t min, std::int64_t max)
{
    auto ms = whole_of(value);
    if (!ms && value.is_string())
        if (const auto parsed = parse_duration(value.get_ref<const std::string&>()))
            ms = parsed->count();
    if (!ms || *ms < min || *ms > max) return std::nullopt;
    return milliseconds{*ms};
}

std::string shown(const json& value)
{
    constexpr std::size_t kLongest = 80;
    if (value.is_array()) return value.empty() ? "an empty array" : "an array";
    if (value.is_object()) return "an object";
    std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    const bool cut = text.size() > kLongest;
    if (cut) {
        text.resize(kLongest);
        while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80)
            text.pop_back();
        if (!text.empty() && (static_cast<unsigned char>(text.back()) & 0x80) != 0) text.pop_back();
    }
    if (value.is_string()) text = json(text).dump(-1, ' ', false, json::error_handler_t::replace);
    return cut ? text + "…" : text;
}

Verdict Text::read(const json& value, std::string& into, const Attribute&)
{
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) return refuse_value();
    if (!is_text(value.get_ref<const std::string&>())) return refuse_value(kText);
    into = value.get<std::string>();
    return {};
}

Verdict LogPath::read(const json& value, std::string& into, const Attribute& attribute)
{
    const auto verdict = Text::read(value, into, attribute);
    if (verdict && into == "NULL") into = "/dev/null";
    return verdict;
}

Verdict Name::read(const json& value, std::string& into, const Attribute&)
{
    constexpr std::size_t kLongest = 200; // room for a suffix in a file name of 255 bytes
    // A script without a name is called after its file, so numbers are names as well.
    if (!value.is_string() && !value.is_number()) return refuse_value();
    std::string name = scalar_text(value);
    const bool bad_char =
        std::ranges::any_of(name, [](unsigned char c) { return c < ' ' || c == 0x7f || c == '/'; });
    if (name.empty() || name.size() > kLongest || bad_char || !is_text(name)) return refuse_value();
    into = std::move(name);
    return {};
}

Verdict Variable::read(const json& value, std::string& into, const Attribute&)
{
    if (!value.is_string()) return refuse_value();
    if (value.get_ref<const std::string&>().empty()) return into.clear(), Verdict{};
    if (auto verdict = check_variable(value.get_ref<const std::string&>(), ""); !verdict)
        return verdict;
    into = value.get<std::string>();
    return {};
}

Verdict Words::read(const json& value, std::vector<std::string>& into, const Attribute&)
{
    if (value.is_array()) return read_texts(value, into, true);
    if (!value.is_string()) return refuse_value();
    const auto& text = value.get_ref<const std::string&>();
    if (!is_text(text)) return refuse_value(kText);
    auto words = split_words(text);
    if (!words) return refuse_value("a string whose quotes are closed");
    into = std::move(*words);
    return {};
}

Verdict TextList::read(const json& value, std::vector<std::string>& into, const Attribute&)
{
    if (!value.is_array()) return refuse_value();
    return read_texts(value, into, false);
}

Verdict Flag::read(const json& value, bool& into, const Attribute&)
{
    if (!value.is_boolean()) return refuse_value();
    into = value.get<bool>();
    return {};
}

Verdict Flag::read(const json& value, std::optional<bool>& into, const Attribute& attribute)
{
    return read(value, into.emplace(), attribute);
}

json Flag::write(const std::optional<bool>& value)
{
    return value ? json(*value) : json();
}

Verdict Whole::read(const json& value, int& into, const Attribute& attribute)
{
    const auto number = whole_between(value, attribute.min, attribute.max);
    if (!number) return refuse_value();
    into = static_cast<int>(*number);
    return {};
}

Verdict Whole::read(const json& value, std::optional<int>& into, const Attribute& attribute)
{
    return read(value, into.emplace(), attribute);
}

json Whole::write(const std::optional<int>& value)
{
    return value ? json(*value) : json();
}

Verdict Whole::read(const json& value, std::optional<std::uint64_t>& into,
                    const Attribute& attribute)
{
    const auto number = whole_between(value, attribute.min, attribute.max);
    if (!number) return refuse_value();
    into = static_cast<std::uint64_t>(*number);
    return {};
}

Verdict Duration::read(const json& value, milliseconds& into, const Attribute& attribute)
{
    const auto duration = duration_between(value, attribute.min, attribute.max);
    if (!duration) return refuse_value();
    into = *duration;
    return {};
}

Verdict Duration::read(const json& value, std::optional<milliseconds>& into,
                       const Attribute& attribute)
{
    return read(value, into.emplace(), attribute);
}

json Duration::write(const std::optional<milliseconds>& value)
{
    return value ? json(value->count()) : json{};
}

Verdict Memory::read(const json& value, std::uint64_t& into, const Attribute&)
{
    if (value.is_string()) {
        const auto bytes = parse_bytes(value.get_ref<const std::string&>());
        if (!bytes) return refuse_value();
        into = *bytes;
        return {};
    }
    const auto bytes = whole_between(value, 0, std::numeric_limits<std::int64_t>::max());
    if (!bytes) return refuse_value();
    into = static_cast<std::uint64_t>(*bytes);
    return {};
}

Verdict Schedule::read(const json& value, std::string& into, const Attribute& attribute)
{
    if (value == 0 || value == "0" || value == "") return into.clear(), Verdict{};
    if (!value.is_string()) return refuse_value();
    const auto& text = value.get_ref<const std::string&>();
    if (const auto pattern = parse_cron(text); !pattern)
        return refuse_value(fmt::format("{} ({})", allowed(attribute), pattern.error()));
    into = text;
    return {};
}

Verdict InstanceCount::read(const json& value, std::optional<Instances>& into,
                            const Attribute& attribute)
{
    if (value == "max") return into = Instances{.relative = true, .count = 0}, Verdict{};
    const auto count = whole_between(value, attribute.min, attribute.max);
    if (!count) return refuse_value();
    into = Instances{.relative = *count <= 0, .count = static_cast<int>(*count)};
    return {};
}

json InstanceCount::write(const std::optional<Instances>& value)
{
    if (!value) return {};
    if (value->relative && value->count == 0) return "max";
    return value->count;
}

Verdict Signal::read(const json& value, int& into, const Attribute&)
{
    const auto text = whole_of(value)     ? std::to_string(*whole_of(value))
                      : value.is_string() ? value.get<std::string>()
                                          : std::string{};
    const auto number = parse_signal(text);
    if (!number) return refuse_value();
    into = *number;
    return {};
}

json Signal::write(int value)
{
    return signal_name(value);
}

Verdict Umask::read(const json& value, std::optional<unsigned>& into, const Attribute&)
{
    std::optional<unsigned> bits;
    if (value.is_string())
        bits = parse_octal(value.get_ref<const std::string&>());
    else if (const auto number = whole_between(value, 0, 0777))
        bits = static_cast<unsigned>(*number);
    if (!bits) return refuse_value();
    into = bits;
    return {};
}

json Umask::write(const std::optional<unsigned>& value)
{
    return value ? json(fmt::format("{:04o}", *value)) : json();
}

Verdict User::read(const json& value, std::string& into, const Attribute& attribute)
{
    if (value.is_string() && !parse_whole(value.get_ref<const std::string&>()))
        return Text::read(value, into, attribute);
    const auto number = whole_between(value, 0, kLastUserId);
    if (!number) return refuse_value();
    into = std::to_string(*number);
    return {};
}

Verdict read_environment(const json& value, Environment& into)
{
    constexpr int kDeepest = 32;
    if (!value.is_object()) return refuse_value();
    for (const auto& [name, item] : value.items()) {
        if (auto verdict = check_variable(name, " key"); !verdict) return verdict;
        if (item.is_null()) {
            into.erase(name);
            continue;
        }
        if (deeper_than(item, kDeepest))
            return refuse_value("less deeply nested", "." + name, shown(item));
        std::string text = scalar_text(item);
        if (!is_text(text)) return refuse_value(kText, "." + name, shown(item));
        into[name] = std::move(text);
    }
    return {};
}

Verdict Variables::read(const json& value, Environment& into, const Attribute&)
{
    return read_environment(value, into);
}

Verdict ExitCodes::read(const json& value, std::vector<int>& into, const Attribute& attribute)
{
    std::vector<int> codes;
    const auto add = [&](const json& item) {
        const auto code = whole_between(item, attribute.min, attribute.max);
        if (code) codes.push_back(static_cast<int>(*code));
        return code.has_value();
    };
    if (value.is_array()) {
        for (const json& item : value)
            if (!add(item))
                return refuse_value(
                    fmt::format("a whole number from {} to {}", attribute.min, attribute.max),
                    at_index(codes.size()), shown(item));
    } else if (!add(value)) {
        return refuse_value();
    }
    into = std::move(codes);
    return {};
}

Verdict read_exec_mode(Draft& draft, const json& value, const Attribute&)
{
    if (value == "fork" || value == "fork_mode")
        draft.spec.exec_mode = ExecMode::fork;
    else if (value == "cluster" || value == "cluster_mode")
        draft.spec.exec_mode = ExecMode::cluster;
    else
        return refuse_value();
    draft.spec.exec_mode_given = true;
    return {};
}

json write_exec_mode(const AppSpec& spec)
{
    if (!spec.exec_mode_given) return {};
    return spec.exec_mode == ExecMode::cluster ? "cluster" : "fork";
}

Verdict read_filter(Draft& draft, const json& value, const Attribute& attribute)
{
    AppSpec& spec = draft.spec;
    if (value.is_boolean()) {
        spec.inherit_env = !value.get<bool>();
        return {};
    }
    const auto verdict = value.is_array() ? read_texts(value, spec.filter_env, false)
                                          : Words::read(value, spec.filter_env, attribute);
    // An empty word is part of every name and would quietly drop the whole environment.
    std::erase(spec.filter_env, "");
    return verdict;
}

json write_filter(const AppSpec& spec)
{
    if (!spec.inherit_env) return true;
    return spec.filter_env.empty() ? json() : json(spec.filter_env);
}

const AppSpec& default_spec()
{
    static const AppSpec spec;
    return spec;
}

json write_nothing(const AppSpec&)
{
    return {};
}

Verdict read_nothing(Draft&, const json&, const Attribute&)
{
    return {};
}

} // namespace cluster::ipc
