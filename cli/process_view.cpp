#include "cli/process_view.hpp"

#include "cli/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

namespace cluster::cli {
namespace {

constexpr std::array kSortFields{"name", "namespace", "pid",    "id",
                                 "cpu",  "memory",    "uptime", "status"};

enum class Field {
    id,
    name,
    name_space,
    version,
    mode,
    pid,
    uptime,
    restarts,
    status,
    cpu,
    memory,
    user,
    watching
};

// Widths are PM2's, without the two blanks around each cell.
struct Layout {
    Field field;
    const char* head;
    std::size_t least;
    std::size_t shrinks;
};

// clang-format off
constexpr Layout kFull[] = {
    {Field::id,         "id",        2,  0},
    {Field::name,       "name",      4,  12},
    {Field::name_space, "namespace", 11, 0},
    {Field::version,    "version",   7,  0},
    {Field::mode,       "mode",      7,  0},
    {Field::pid,        "pid",       8,  0},
    {Field::uptime,     "uptime",    6,  0},
    {Field::restarts,   "↺",         4,  0},
    {Field::status,     "status",    9,  0},
    {Field::cpu,        "cpu",       8,  0},
    {Field::memory,     "mem",       8,  0},
    {Field::user,       "user",      8,  8},
    {Field::watching,   "watching",  8,  0},
};
constexpr Layout kCondensed[] = {
    {Field::id,       "id",     2, 0},
    {Field::name,     "name",   4, 12},
    {Field::mode,     "mode",   7, 0},
    {Field::restarts, "↺",      4, 0},
    {Field::status,   "status", 9, 0},
    {Field::cpu,      "cpu",    6, 0},
    {Field::memory,   "memory", 8, 0},
};
constexpr Layout kMini[] = {
    {Field::id,     "id",     2, 0},
    {Field::name,   "name",   4, 4},
    {Field::status, "status", 6, 6},
    {Field::cpu,    "cpu",    3, 0},
    {Field::memory, "mem",    6, 0},
};
// clang-format on

bool running(const json& process)
{
    return member_number(process, "pid") > 0;
}

std::string memory_text(const json& process)
{
    return format_bytes(
        static_cast<std::uint64_t>(std::max<std::int64_t>(member_number(process, "memory"), 0)));
}

bool watching(const json& process)
{
    const auto flag = process.find("watching");
    return flag != process.end() && flag->is_boolean() && flag->get<bool>();
}

Cell cell(const json& process, Field field, std::int64_t now_ms)
{
    switch (field) {
    case Field::id:
        return {member_text(process, "id"), Colour::bold};
    case Field::name:
        return {member_text(process, "name")};
    case Field::name_space:
        return {member_text(process, "namespace")};
    case Field::version: {
        std::string version = member_text(process, "version");
        return {version.empty() ? "N/A" : std::move(version)};
    }
    case Field::mode:
        return {member_text(process, "mode")};
    case Field::pid:
        return {member_text(process, "pid")};
    case Field::uptime:
        return {running(process) ? format_age(uptime_ms(process, now_ms)) : "0"};
    case Field::restarts:
        return {member_text(process, "restarts")};
    case Field::status: {
        std::string status = member_text(process, "status");
        const Colour colour = status_colour(status);
        return {std::move(status), colour};
    }
    case Field::cpu:
        return {cpu_text(process)};
    case Field::memory:
        return {memory_text(process)};
    case Field::user:
        return {member_text(process, "user")};
    case Field::watching:
        return watching(process) ? Cell{"enabled", Colour::green} : Cell{"disabled", Colour::grey};
    }
    return {};
}

template <std::size_t N>
Table build(const Layout (&layout)[N], const json& processes, std::int64_t now_ms, bool utf8)
{
    Table table;
    for (const Layout& column : layout) {
        const bool arrow = column.field == Field::restarts && !utf8;
        table.columns.push_back({arrow ? "rest" : column.head, column.least, column.shrinks});
    }
    for (const json& process : processes) {
        auto& row = table.rows.emplace_back();
        for (const Layout& column : layout)
            row.push_back(cell(process, column.field, now_ms));
    }
    return table;
}

bool is_text(std::string_view field)
{
    return field == "name" || field == "namespace" || field == "status";
}

/// By what a process is sorted, looked up once and not for each comparison.
struct SortKey {
    std::string text; ///< of a field that is text
    double number = 0;
    std::string name;
    std::int64_t id = 0;
    json* process = nullptr;
};

double sort_number(const json& process, const std::string& field)
{
    // The earlier it started, the longer it is up; what does not run is up for no time at all.
    if (field == "uptime")
        return running(process) ? -static_cast<double>(member_number(process, "started_at"))
                                : -std::numeric_limits<double>::infinity();
    const auto found = process.find(field);
    return found != process.end() && found->is_number() ? found->get<double>() : 0.0;
}

SortKey sort_key(json& process, const std::string& field)
{
    SortKey key{.text = {},
                .name = member_text(process, "name"),
                .id = member_number(process, "id"),
                .process = &process};
    if (is_text(field))
        key.text = member_text(process, field.c_str());
    else
        key.number = sort_number(process, field);
    return key;
}

bool sorts_before(const SortKey& a, const SortKey& b, bool descending)
{
    const auto by_field = std::tie(a.text, a.number) <=> std::tie(b.text, b.number);
    if (by_field != 0) return descending ? by_field > 0 : by_field < 0;
    return std::tie(a.name, a.id) < std::tie(b.name, b.id);
}

} // namespace

std::expected<SortOrder, std::string> parse_sort(std::string_view text)
{
    const auto colon = text.find(':');
    SortOrder order{std::string{text.substr(0, colon)}, false};
    const std::string_view direction = colon == text.npos ? "asc" : text.substr(colon + 1);
    order.descending = direction == "desc";
    if (std::ranges::find(kSortFields, order.field) == kSortFields.end())
        return std::unexpected(fmt::format("--sort must name one of {}, got '{}'",
                                           fmt::join(kSortFields, ", "), order.field));
    if (direction != "asc" && direction != "desc")
        return std::unexpected(fmt::format("--sort {} may end in ':asc' or ':desc', got ':{}'",
                                           order.field, direction));
    return order;
}

void sort_processes(json& processes, const SortOrder& order)
{
    if (!processes.is_array()) return;
    std::vector<SortKey> keys;
    keys.reserve(processes.size());
    for (json& process : processes)
        keys.push_back(sort_key(process, order.field));
    std::ranges::sort(keys, [&](const SortKey& a, const SortKey& b) {
        return sorts_before(a, b, order.descending);
    });
    json::array_t sorted;
    sorted.reserve(keys.size());
    for (const SortKey& key : keys)
        sorted.push_back(std::move(*key.process));
    processes = std::move(sorted);
}

std::string process_table(const json& processes, std::int64_t now_ms, const Style& style)
{
    const Table full = build(kFull, processes, now_ms, style.utf8);
    if (style.width == 0 || least_width(full) <= style.width) return draw(full, style);
    const Table condensed = build(kCondensed, processes, now_ms, style.utf8);
    if (least_width(condensed) <= style.width) return draw(condensed, style);
    return draw(build(kMini, processes, now_ms, style.utf8), style);
}

std::string process_mini_list(const json& processes, std::int64_t now_ms, const Style& style)
{
    std::string text;
    for (const json& process : processes) {
        const std::string status = member_text(process, "status");
        const std::string version = member_text(process, "version");
        text += fmt::format("+--- {}\n", member_text(process, "name"));
        const std::initializer_list<std::pair<const char*, std::string>> lines = {
            {"namespace", member_text(process, "namespace")},
            {"version", version.empty() ? "N/A" : version},
            {"pid", member_text(process, "pid")},
            {"id", member_text(process, "id")},
            {"status", paint(status, status_colour(status), style)},
            {"mode", member_text(process, "mode")},
            {"restarted", member_text(process, "restarts")},
            {"uptime", running(process) ? format_age(uptime_ms(process, now_ms)) : "0"},
            {"memory usage", memory_text(process)},
            {"error log", member_text(process, "error_file")},
            {"watching", watching(process) ? "yes" : "no"},
            {"PID file", member_text(process, "pid_file")},
        };
        for (const auto& [label, value] : lines)
            text += fmt::format("{} : {}\n", label, value);
        text += '\n';
    }
    return text;
}

Colour status_colour(std::string_view status)
{
    if (status == "online") return Colour::green;
    if (status == "errored" || status == "stopped") return Colour::red;
    return Colour::yellow;
}

std::int64_t uptime_ms(const json& process, std::int64_t now_ms)
{
    const std::int64_t started = member_number(process, "started_at");
    return running(process) && started > 0 ? std::max<std::int64_t>(now_ms - started, 0) : 0;
}

std::string cpu_text(const json& process)
{
    const auto cpu = process.find("cpu");
    const double percent = cpu != process.end() && cpu->is_number() ? cpu->get<double>() : 0;
    const double tenths = static_cast<double>(static_cast<std::int64_t>(percent * 10 + 0.5)) / 10;
    return fmt::format("{:g}%", tenths);
}

std::string member_text(const json& object, const char* key)
{
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return {};
    if (found->is_string()) return escape_controls(found->get_ref<const std::string&>());
    return escape_controls(found->dump(-1, ' ', false, json::error_handler_t::replace));
}

std::int64_t member_number(const json& object, const char* key)
{
    const auto found = object.find(key);
    return found != object.end() && found->is_number() ? found->get<std::int64_t>() : 0;
}

} // namespace cluster::cli
