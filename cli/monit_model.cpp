#include "cli/monit_model.hpp"

#include "cli/process_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace cluster::cli {
namespace {

constexpr std::size_t kSamples = 512; ///< as wide as a graph gets on a wide screen

std::string raw_text(const json& object, const char* key)
{
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

MonitRow row_of(const json& process)
{
    MonitRow row;
    row.id = member_number(process, "id");
    row.name = raw_text(process, "name");
    row.name_space = raw_text(process, "namespace");
    row.status = raw_text(process, "status");
    // Daemons before this field knew readiness by the status alone.
    const auto ready = process.find("ready");
    row.ready =
        ready != process.end() && ready->is_boolean() ? ready->get<bool>() : row.status == "online";
    row.pid = member_number(process, "pid");
    row.restarts = member_number(process, "restarts");
    row.started_at = member_number(process, "started_at");
    const auto cpu = process.find("cpu");
    row.cpu = cpu != process.end() && cpu->is_number() ? cpu->get<double>() : 0;
    row.memory = member_number(process, "memory");
    return row;
}

void add_sample(std::vector<float>& samples, double value)
{
    if (samples.size() >= kSamples) samples.erase(samples.begin());
    samples.push_back(static_cast<float>(value));
}

bool holds(std::string_view text, std::string_view wanted)
{
    const auto lower = [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    return !std::ranges::search(text, wanted, {}, lower, lower).empty() || wanted.empty();
}

bool passes(const MonitRow& row, const std::string& filter)
{
    return holds(row.name, filter) || holds(row.name_space, filter) || holds(row.status, filter);
}

/// What does not run is up for no time at all; who is up longest started first.
double started(const MonitRow& row)
{
    return row.pid > 0 ? -static_cast<double>(row.started_at)
                       : -std::numeric_limits<double>::infinity();
}

/// Figures: the largest first. Names and ids: the first first.
bool before(const MonitRow& a, const MonitRow& b, MonitSort sort)
{
    switch (sort) {
    case MonitSort::id:
        break;
    case MonitSort::name:
        if (a.name != b.name) return a.name < b.name;
        break;
    case MonitSort::cpu:
        if (a.cpu != b.cpu) return a.cpu > b.cpu;
        break;
    case MonitSort::memory:
        if (a.memory != b.memory) return a.memory > b.memory;
        break;
    case MonitSort::restarts:
        if (a.restarts != b.restarts) return a.restarts > b.restarts;
        break;
    case MonitSort::uptime:
        if (started(a) != started(b)) return started(a) > started(b);
        break;
    }
    return a.id < b.id;
}

} // namespace

void take_list(MonitModel& model, const json& processes, bool sample)
{
    model.rows.clear();
    for (const json& process : processes)
        if (process.is_object()) model.rows.push_back(row_of(process));
    std::erase_if(model.history, [&](const auto& known) {
        return std::ranges::find(model.rows, known.first, &MonitRow::id) == model.rows.end();
    });
    if (sample) {
        for (const MonitRow& row : model.rows) {
            MonitHistory& history = model.history[row.id];
            add_sample(history.cpu, row.cpu);
            add_sample(history.memory, static_cast<double>(row.memory));
        }
    }
    settle_selection(model);
}

void take_process(MonitModel& model, const json& process, bool gone)
{
    if (!process.is_object()) return;
    MonitRow row = row_of(process);
    const auto known = std::ranges::find(model.rows, row.id, &MonitRow::id);
    if (gone) {
        if (known != model.rows.end()) model.rows.erase(known);
    } else if (known != model.rows.end()) {
        *known = std::move(row);
    } else {
        model.rows.push_back(std::move(row));
    }
    settle_selection(model);
}

std::vector<std::size_t> visible_rows(const MonitModel& model)
{
    std::vector<std::size_t> shown;
    for (std::size_t at = 0; at < model.rows.size(); ++at)
        if (passes(model.rows[at], model.filter)) shown.push_back(at);
    std::ranges::sort(shown, [&](std::size_t a, std::size_t b) {
        if (model.reversed) std::swap(a, b);
        return before(model.rows[a], model.rows[b], model.sort);
    });
    return shown;
}

const MonitRow* selected_row(const MonitModel& model)
{
    if (!model.selected) return nullptr;
    const auto found = std::ranges::find(model.rows, *model.selected, &MonitRow::id);
    return found == model.rows.end() ? nullptr : &*found;
}

void settle_selection(MonitModel& model)
{
    const auto shown = visible_rows(model);
    const auto is_selected = [&](std::size_t at) { return model.rows[at].id == model.selected; };
    if (std::ranges::any_of(shown, is_selected)) return;
    model.selected.reset();
    if (!shown.empty()) model.selected = model.rows[shown.front()].id;
}

std::string title_of(const MonitRow& row, bool utf8)
{
    return fmt::format("{} ({})", printable(row.name, utf8), row.id);
}

std::string_view name_of(MonitSort sort)
{
    constexpr std::array<std::string_view, 6> kNames{"id",  "name",     "cpu",
                                                     "mem", "restarts", "uptime"};
    return kNames[static_cast<std::size_t>(sort)];
}

std::optional<std::string> target_of(const MonitModel& model, const MonitRow& row)
{
    std::string id = std::to_string(row.id);
    const auto is_named_so = [&](const MonitRow& other) {
        return other.name == id || other.name_space == id;
    };
    if (std::ranges::any_of(model.rows, is_named_so)) return std::nullopt;
    return id;
}

} // namespace cluster::cli
