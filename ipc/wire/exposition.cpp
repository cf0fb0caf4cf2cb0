#include "ipc/wire/exposition.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace cluster::ipc {
namespace {

template <class Number>
void append_number(std::string& out, Number value)
{
    std::array<char, 32> digits; // of a double there are 24 at most
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    out.append(digits.data(), end);
}

/// "0.0005", not "5e-04": people write it in queries.
void append_fixed(std::string& out, double value)
{
    std::array<char, 400> digits; // the largest double has 309 of them
    const auto end =
        std::to_chars(digits.data(), digits.data() + digits.size(), value, std::chars_format::fixed)
            .ptr;
    out.append(digits.data(), end);
}

void append_escaped(std::string& out, std::string_view text, bool quoted)
{
    for (const char c : text) {
        if (c == '\\')
            out += "\\\\";
        else if (c == '\n')
            out += "\\n";
        else if (c == '"' && quoted)
            out += "\\\"";
        else
            out += c;
    }
}

std::string_view name_of(MetricType type)
{
    switch (type) {
    case MetricType::counter:
        return " counter\n";
    case MetricType::gauge:
        return " gauge\n";
    case MetricType::histogram:
        return " histogram\n";
    }
    return " untyped\n";
}

} // namespace

Labels::Labels(std::initializer_list<std::pair<std::string_view, std::string_view>> all)
{
    for (const auto& [name, value] : all)
        add(name, value);
}

void Labels::add(std::string_view name, std::string_view value)
{
    if (!text_.empty()) text_ += ',';
    text_ += name;
    text_ += "=\"";
    append_escaped(text_, value, true);
    text_ += '"';
}

Labels Labels::with(std::string_view name, std::string_view value) const
{
    Labels more = *this;
    more.add(name, value);
    return more;
}

void Exposition::begin(const Metric& metric)
{
    metric_ = &metric;
    told_ = false;
}

void Exposition::line(const Labels& labels, std::string_view suffix)
{
    if (!std::exchange(told_, true)) {
        out_ += "# HELP ";
        out_ += metric_->name;
        out_ += ' ';
        append_escaped(out_, metric_->help, false);
        out_ += "\n# TYPE ";
        out_ += metric_->name;
        out_ += name_of(metric_->type);
    }
    out_ += metric_->name;
    out_ += suffix;
    if (!labels.text().empty()) {
        out_ += '{';
        out_ += labels.text();
        out_ += '}';
    }
    out_ += ' ';
}

void Exposition::number(double value)
{
    if (std::isnan(value))
        out_ += "NaN";
    else if (std::isinf(value))
        out_ += value > 0 ? "+Inf" : "-Inf";
    else
        append_number(out_, value);
    out_ += '\n';
}

void Exposition::number(std::uint64_t value)
{
    append_number(out_, value);
    out_ += '\n';
}

void Exposition::sample(const Labels& labels, double value)
{
    line(labels);
    number(value);
}

void Exposition::sample(const Labels& labels, std::uint64_t value)
{
    line(labels);
    number(value);
}

void Exposition::histogram(const Labels& labels, std::span<const double> bounds,
                           std::span<const std::uint64_t> counts, double sum)
{
    std::uint64_t so_far = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        so_far += counts[i];
        std::string bound = "+Inf";
        if (i < bounds.size()) append_fixed(bound = "", bounds[i]);
        line(labels.with("le", bound), "_bucket");
        number(so_far);
    }
    line(labels, "_sum");
    number(sum);
    line(labels, "_count");
    number(so_far);
}

} // namespace cluster::ipc
