#include "app/metrics/series.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <optional>

namespace cluster::app {

using json = nlohmann::ordered_json;

namespace {

constexpr std::size_t kMaxCells = 1'000'000;

constexpr std::string_view kKinds[] = {"counter", "float_counter", "gauge", "histogram"};

bool is_name(std::string_view text, bool colons)
{
    const auto letter = [colons](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colons && c == ':');
    };
    return !text.empty() && letter(text[0]) &&
           std::ranges::all_of(text, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

json json_of(const Series& series)
{
    json object = {{"name", series.name},
                   {"help", series.help},
                   {"kind", kKinds[static_cast<std::size_t>(series.kind)]}};
    if (!series.labels.empty()) object["labels"] = series.labels;
    if (!series.bounds.empty()) object["bounds"] = series.bounds;
    if (series.rare) object["rare"] = true;
    return object;
}

std::optional<FigureKind> kind_named(const std::string& name)
{
    const auto* const found = std::ranges::find(kKinds, name);
    if (found == std::end(kKinds)) return std::nullopt;
    return static_cast<FigureKind>(found - std::begin(kKinds));
}

bool sound(const Series& series)
{
    return is_name(series.name, true) &&
           std::ranges::all_of(series.labels,
                               [](const auto& label) { return is_name(label.first, false); }) &&
           std::ranges::all_of(series.bounds, [](double b) { return std::isfinite(b); }) &&
           std::ranges::is_sorted(series.bounds, std::less_equal<>{}) &&
           (series.kind == FigureKind::histogram || series.bounds.empty());
}

/// Throws what nlohmann throws.
std::optional<Series> series_of(const json& object)
{
    const auto kind = kind_named(object.at("kind").get<std::string>());
    if (!kind) return std::nullopt;
    Series series{.name = object.at("name").get<std::string>(),
                  .help = object.at("help").get<std::string>(),
                  .kind = *kind};
    if (object.contains("labels")) series.labels = object.at("labels").get<LabelList>();
    if (object.contains("bounds")) series.bounds = object.at("bounds").get<std::vector<double>>();
    series.rare = object.value("rare", false);
    if (!sound(series)) return std::nullopt;
    return series;
}

} // namespace

std::size_t Series::cells() const
{
    return kind == FigureKind::histogram ? bounds.size() + 2 : 1;
}

std::string describe(std::span<const Series> series, std::span<const std::string> folded)
{
    json list = json::array();
    for (const Series& one : series)
        list.push_back(json_of(one));
    const json description = {{"series", std::move(list)},
                              {"folded", std::vector<std::string>{folded.begin(), folded.end()}}};
    return description.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<Description> parse_description(std::string_view text)
{
    const auto broken = [] { return ipc::fail(EINVAL, "read the names of figures"); };
    try {
        const json object = json::parse(text);
        Description description;
        std::vector<Series> all;
        for (const json& one : object.at("series")) {
            auto series = series_of(one);
            if (!series) return broken();
            description.cells += series->cells();
            if (description.cells > kMaxCells) return broken();
            all.push_back(std::move(*series));
        }
        description.series = std::make_shared<const std::vector<Series>>(std::move(all));
        description.folded = object.at("folded").get<std::vector<std::string>>();
        return description;
    } catch (const json::exception&) {
        return broken();
    }
}

std::shared_ptr<const Description> Descriptions::parse(std::string_view text)
{
    constexpr std::size_t kKept = 8; // versions that run side by side, and the ended ones
    const auto found = std::ranges::find(known_, text, &Known::text);
    if (found != known_.end()) {
        std::rotate(known_.begin(), found, std::next(found));
        return known_.front().description;
    }
    auto parsed = parse_description(text);
    if (!parsed) return nullptr;
    if (known_.size() >= kKept) known_.pop_back();
    Known known{.text = std::string{text},
                .description = std::make_shared<const Description>(std::move(*parsed))};
    known_.insert(known_.begin(), std::move(known));
    return known_.front().description;
}

double double_of(std::uint64_t cell)
{
    return std::bit_cast<double>(cell);
}

std::uint64_t cell_of(double value)
{
    return std::bit_cast<std::uint64_t>(value);
}

} // namespace cluster::app
