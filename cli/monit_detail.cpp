#include "cli/monit_detail.hpp"

#include "cli/monit_graph.hpp"
#include "cli/process_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace cluster::cli {
namespace {

constexpr int kKeyWidth = 10;
constexpr int kHighGraphs = 16; ///< from here on graphs are four rows high
constexpr int kTwoGraphs = 10;  ///< from here on they stand one below the other
constexpr float kLeastCpu = 10; ///< percent: the noise of an idle process is not a mountain

/// Of the pieces that are there.
std::string joined(std::initializer_list<std::string> pieces)
{
    std::string text;
    for (const std::string& piece : pieces) {
        if (piece.empty()) continue;
        if (!text.empty()) text += ", ";
        text += piece;
    }
    return text;
}

std::string labelled(std::string_view label, const std::string& value)
{
    return value.empty() ? std::string{} : fmt::format("{} {}", label, value);
}

std::string words(const json& object, const char* key)
{
    std::string text;
    const auto found = object.find(key);
    if (found == object.end() || !found->is_array()) return text;
    for (const json& item : *found) {
        if (!text.empty()) text += ' ';
        text += item.is_string() ? item.get<std::string>() : item.dump();
    }
    return text;
}

std::string last_exit(const json& detail)
{
    const auto exits = detail.find("last_exits");
    if (exits == detail.end() || !exits->is_array() || exits->empty()) return {};
    const json& exit = exits->front();
    std::string text =
        fmt::format("{}  {}", format_time(member_number(exit, "at")), member_text(exit, "reason"));
    const auto lines = exit.find("stderr");
    const bool said = lines != exit.end() && lines->is_array() && !lines->empty();
    if (said && lines->back().is_string())
        text += ": " + escape_controls(lines->back().get_ref<const std::string&>(), true);
    return text;
}

/// "memory_max 512.0mb (cgroup v2), pids_max 10 (…)".
std::string limits(const json& detail)
{
    std::string text;
    const auto add = [&](const std::string& piece) { text += (text.empty() ? "" : ", ") + piece; };
    if (const auto most = member_number(detail, "max_memory_restart"); most > 0)
        add("max_memory_restart " + format_bytes(static_cast<std::uint64_t>(most)));
    const auto all = detail.find("limits");
    if (all == detail.end() || !all->is_object()) return text;
    for (const auto& [name, limit] : all->items()) {
        if (!limit.is_object() || !limit.contains("by") || name == "max_memory_restart") continue;
        const auto bytes =
            static_cast<std::uint64_t>(std::max<std::int64_t>(member_number(limit, "value"), 0));
        add(fmt::format("{} {} ({})", name,
                        name.starts_with("memory") ? format_bytes(bytes)
                                                   : member_text(limit, "value"),
                        member_text(limit, "by")));
    }
    return text;
}

struct Fact {
    const char* key;
    std::string value;
    Colour colour = Colour::none;
};

std::vector<Fact> state_facts(const MonitRow& row, const json& detail, std::int64_t now_ms)
{
    const auto age = row.pid > 0 && row.started_at > 0 ? format_age(now_ms - row.started_at) : "0";
    const auto unstable = member_number(detail, "unstable_restarts");
    return {
        {"status",
         joined({row.status, row.ready ? "ready" : "", "up " + age,
                 fmt::format("{} restart{}", row.restarts, row.restarts == 1 ? "" : "s"),
                 unstable > 0 ? fmt::format("{} unstable", unstable) : ""}),
         status_colour(row.status)},
        {"waits for", member_text(detail, "waits_for"), Colour::yellow},
        {"fault", member_text(detail, "fault"), Colour::red},
        {"health", member_text(detail, "health"), row.ready ? Colour::green : Colour::yellow},
        {"says", member_text(detail, "status_text")},
    };
}

std::vector<Fact> facts_of(const MonitModel& model, const MonitRow& row, const json& detail)
{
    const auto pid = member_text(detail, "pid");
    const auto version = member_text(detail, "version");
    const auto interpreter = member_text(detail, "interpreter");
    std::vector<Fact> facts = state_facts(row, detail, model.now_ms);
    std::vector<Fact> more{
        {"script", joined({member_text(detail, "script"), words(detail, "args")})},
        {"pid", joined({row.pid > 0 ? pid : "", labelled("with", words(detail, "children"))})},
        {"last exit", last_exit(detail), Colour::yellow},
        {"cause", member_text(detail, "cause")},
        {"serves", joined({words(detail, "addresses"), words(detail, "listen")})},
        {"limits", limits(detail)},
        {"mode",
         joined({member_text(detail, "mode"), labelled("instance", member_text(detail, "instance")),
                 labelled("namespace", member_text(detail, "namespace")),
                 labelled("version", version), interpreter == "none" ? "" : interpreter})},
        {"folder", member_text(detail, "cwd")},
        {"user", member_text(detail, "user")},
        {"output", member_text(detail, "out_file")},
        {"errors", member_text(detail, "error_file")},
        {"created", format_time(member_number(detail, "created_at"))},
        {"no effect", words(detail, "unsupported"), Colour::yellow},
    };
    std::ranges::move(more, std::back_inserter(facts));
    std::erase_if(facts, [](const Fact& fact) { return fact.value.empty(); });
    return facts;
}

// The graphs.

struct Series {
    std::string label;
    std::span<const float> samples;
    float most = 1;
    Colour colour = Colour::none;
};

float peak_of(std::span<const float> samples)
{
    return samples.empty() ? 0 : *std::ranges::max_element(samples);
}

/// Of as many samples as `columns` show.
std::span<const float> shown_of(const std::vector<float>& samples, int columns)
{
    const std::size_t most = std::min(samples.size(), static_cast<std::size_t>(columns));
    return std::span{samples}.last(most);
}

std::vector<Series> series_of(const MonitModel& model, const MonitRow& row, int columns)
{
    static const MonitHistory none;
    const auto known = model.history.find(row.id);
    const MonitHistory& history = known == model.history.end() ? none : known->second;
    const auto cpu = shown_of(history.cpu, columns);
    const auto memory = shown_of(history.memory, columns);
    const auto bytes = [](double value) { // a daemon may say anything
        return format_bytes(static_cast<std::uint64_t>(std::clamp(value, 0.0, 1e18)));
    };
    return {{fmt::format("cpu {:.1f}%  peak {:.1f}%", row.cpu, peak_of(cpu)), cpu,
             std::max(peak_of(cpu), kLeastCpu), Colour::green},
            {fmt::format("mem {}  peak {}", bytes(static_cast<double>(row.memory)),
                         bytes(peak_of(memory))),
             memory, peak_of(memory) * 1.25F, Colour::cyan}};
}

/// Both in one row, each behind its label.
Lines graphs_in_a_row(const std::vector<Series>& all, int width, bool utf8)
{
    Line line;
    for (const Series& series : all) {
        const int label = std::min<int>(static_cast<int>(display_width(series.label)), width / 4);
        line.push_back({" " + fit(series.label, static_cast<std::size_t>(label), utf8) + " "});
        const auto drawn = graph(series.samples, width / 2 - label - 2, 1, series.most, utf8);
        line.push_back({drawn.front(), {.colour = series.colour}});
    }
    return {std::move(line)};
}

Lines graphs_below(const std::vector<Series>& all, int width, int height, bool utf8)
{
    Lines lines;
    for (const Series& series : all) {
        lines.push_back({{" " + series.label}});
        for (std::string& row : graph(series.samples, width - 2, height, series.most, utf8))
            lines.push_back({{" "}, {std::move(row), {.colour = series.colour}}});
    }
    return lines;
}

/// In one line, or, where there is room, in as many as it needs.
Lines fact_lines(const Fact& fact, int width, bool whole, bool utf8)
{
    Lines lines;
    const Line value{{printable(fact.value, utf8), {.colour = fact.colour}}};
    for (Line& part : whole ? wrapped(value, width - kKeyWidth - 1) : Lines{value}) {
        const std::string_view key = lines.empty() ? fact.key : "";
        part.insert(part.begin(), {" " + pad(key, kKeyWidth), {.colour = Colour::cyan}});
        lines.push_back(std::move(part));
    }
    return lines;
}

} // namespace

Lines detail_lines(const MonitModel& model, int width, int height)
{
    const MonitRow* row = selected_row(model);
    if (row == nullptr || height <= 0) return {};
    const json none = json::object();
    // The answer about the one that was selected before is of no use.
    const bool known = member_number(model.detail, "id") == row->id && model.detail.contains("id");
    const int samples = (width - 2) * (model.utf8 ? 2 : 1);
    const int graph_height = height >= kHighGraphs ? 4 : 2;
    Lines graphs =
        height >= kTwoGraphs
            ? graphs_below(series_of(model, *row, samples), width, graph_height, model.utf8)
            : graphs_in_a_row(series_of(model, *row, samples / 4), width, model.utf8);

    Lines lines;
    for (const Fact& fact : facts_of(model, *row, known ? model.detail : none))
        std::ranges::move(fact_lines(fact, width, height >= kTwoGraphs, model.utf8),
                          std::back_inserter(lines));
    const int room = std::max(height - static_cast<int>(graphs.size()), 0);
    const int most = std::max(static_cast<int>(lines.size()) - room, 0);
    lines.erase(lines.begin(), lines.begin() + std::min(model.detail_top, most));
    lines.resize(static_cast<std::size_t>(room)); // graphs at the bottom
    std::ranges::move(graphs, std::back_inserter(lines));
    return lines;
}

} // namespace cluster::cli
