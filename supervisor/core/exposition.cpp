#include "supervisor/core/exposition.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace cluster::supervisor {
namespace {

template <class Number>
void append_number(std::string& out, Number value)
{
    std::array<char, 32> digits; // of a double there are 24 at most
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
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

void Exposition::line(const Labels& labels)
{
    if (!std::exchange(told_, true)) {
        out_ += "# HELP ";
        out_ += metric_->name;
        out_ += ' ';
        append_escaped(out_, metric_->help, false);
        out_ += "\n# TYPE ";
        out_ += metric_->name;
        out_ += metric_->type == MetricType::counter ? " counter\n" : " gauge\n";
    }
    out_ += metric_->name;
    if (!labels.text().empty()) {
        out_ += '{';
        out_ += labels.text();
        out_ += '}';
    }
    out_ += ' ';
}

void Exposition::sample(const Labels& labels, double value)
{
    line(labels);
    if (std::isnan(value))
        out_ += "NaN";
    else if (std::isinf(value))
        out_ += value > 0 ? "+Inf" : "-Inf";
    else
        append_number(out_, value);
    out_ += '\n';
}

void Exposition::sample(const Labels& labels, std::uint64_t value)
{
    line(labels);
    append_number(out_, value);
    out_ += '\n';
}

} // namespace cluster::supervisor
