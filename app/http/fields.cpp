#include "app/http/fields.hpp"

#include "ipc/base/text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace cluster::app {
namespace {

std::string listed(std::initializer_list<std::string_view> words)
{
    std::string list;
    for (const std::string_view word : words) {
        if (!list.empty()) list += ", ";
        list += word;
    }
    return list;
}

} // namespace

std::size_t characters(std::string_view text)
{
    // Every byte but those that continue a character (10xxxxxx).
    return static_cast<std::size_t>(std::ranges::count_if(
        text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string_view trimmed(std::string_view text)
{
    constexpr std::string_view kBlanks = " \t\r\n";
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    const std::size_t last = text.find_last_not_of(kBlanks);
    return last == std::string_view::npos ? text : text.substr(0, last + 1);
}

bool has_control(std::string_view text, bool lines)
{
    return std::ranges::any_of(text, [lines](char c) {
        if (lines && (c == '\n' || c == '\r' || c == '\t')) return false;
        return static_cast<unsigned char>(c) < 0x20U || c == 0x7F;
    });
}

const json* Fields::find(std::string_view name) const
{
    const auto found = body_.find(std::string{name});
    return found == body_.end() || found->is_null() ? nullptr : &*found;
}

void Fields::fault(std::string_view path, std::string message)
{
    faults_.emplace_back(path, std::move(message));
}

std::string Fields::text(std::string_view name, TextRule rule)
{
    if (find(name) == nullptr && rule.min > 0) {
        fault(name, "is missing");
        return {};
    }
    return optional_text(name, rule);
}

std::string Fields::optional_text(std::string_view name, TextRule rule)
{
    const json* const value = find(name);
    if (value == nullptr) return {};
    if (!value->is_string()) {
        fault(name, "must be a string");
        return {};
    }
    const std::string_view text = trimmed(value->get_ref<const std::string&>());
    const std::size_t length = characters(text);
    if (length < rule.min || length > rule.max)
        fault(name,
              fmt::format("must have {} to {} characters, has {}", rule.min, rule.max, length));
    else if (has_control(text, rule.lines))
        fault(name, "holds a control character");
    return std::string{text};
}

std::string Fields::raw_text(std::string_view name)
{
    const json* const value = find(name);
    if (value == nullptr)
        fault(name, "is missing");
    else if (!value->is_string())
        fault(name, "must be a string");
    else
        return value->get<std::string>();
    return {};
}

std::optional<std::int64_t> Fields::optional_number(std::string_view name, std::int64_t low,
                                                    std::int64_t high)
{
    const json* const value = find(name);
    if (value == nullptr) return std::nullopt;
    // An unsigned one beyond int64 would turn negative: `high` is below that.
    const bool whole = value->is_number_integer() &&
                       (!value->is_number_unsigned() ||
                        value->get<std::uint64_t>() <= static_cast<std::uint64_t>(high));
    if (whole && value->get<std::int64_t>() >= low && value->get<std::int64_t>() <= high)
        return value->get<std::int64_t>();
    fault(name, fmt::format("must be a whole number from {} to {}", low, high));
    return std::nullopt;
}

std::string Fields::choice(std::string_view name, std::initializer_list<std::string_view> allowed)
{
    const json* const value = find(name);
    if (value != nullptr && value->is_string() &&
        std::ranges::find(allowed, value->get_ref<const std::string&>()) != allowed.end())
        return value->get<std::string>();
    fault(name, "must be one of: " + listed(allowed));
    return {};
}

Response Fields::problem() const
{
    json details = json::array();
    for (const auto& [path, message] : faults_)
        details.push_back({{"path", path}, {"message", message}});
    const std::string message = faults_.size() == 1
                                    ? fmt::format("{} {}.", faults_[0].first, faults_[0].second)
                                    : fmt::format("{} fields are not valid.", faults_.size());
    const json body = {
        {"success", false},
        {"error", {{"code", "VALIDATION"}, {"message", message}, {"details", details}}}};
    Response response;
    response.status = http::status::bad_request;
    response.body = body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    return response;
}

int query_number(const Request& request, Fields& fields, std::string_view name, int fallback,
                 int low, int high)
{
    const std::string* const text = find(request.query, name);
    if (text == nullptr || text->empty()) return fallback;
    const auto value = ipc::parse_number<int>(*text);
    if (value && *value >= low && *value <= high) return *value;
    fields.fault(name, fmt::format("must be a whole number from {} to {}", low, high));
    return fallback;
}

json page_json(json items, int page, int limit, std::int64_t total)
{
    return {{"items", std::move(items)},
            {"page", page},
            {"limit", limit},
            {"total", total},
            {"pages", (total + limit - 1) / limit}};
}

std::expected<json, Response> optional_json_body(const Request& request)
{
    if (trimmed(request.body).empty()) return json::object();
    return json_body(request);
}

} // namespace cluster::app
