#include "cli/finding.hpp"

#include "cli/process_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace cluster::cli {
namespace {

struct Row {
    Verdict verdict;
    std::string_view word;
    Colour colour;
};
constexpr Row kRows[] = {
    {Verdict::ok, "ok", Colour::green},
    {Verdict::warning, "warning", Colour::yellow},
    {Verdict::problem, "problem", Colour::red},
};
constexpr std::size_t kWordWidth = 9;
constexpr std::size_t kCheckWidth = 16;

const Row& row_of(Verdict verdict)
{
    return *std::ranges::find(kRows, verdict, &Row::verdict);
}

std::string plural(std::size_t count, std::string_view word)
{
    return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

} // namespace

std::vector<Finding> findings_in(const nlohmann::json& answer)
{
    std::vector<Finding> findings;
    const auto list = answer.find("findings");
    if (list == answer.end() || !list->is_array()) return findings;
    for (const nlohmann::json& entry : *list) {
        const auto row = std::ranges::find(kRows, member_text(entry, "verdict"), &Row::word);
        // What we do not know is not fine.
        findings.push_back({.verdict = row == std::end(kRows) ? Verdict::warning : row->verdict,
                            .check = member_text(entry, "check"),
                            .what = member_text(entry, "what"),
                            .where = member_text(entry, "where"),
                            .advice = member_text(entry, "advice")});
    }
    return findings;
}

std::size_t count(const std::vector<Finding>& findings, Verdict verdict)
{
    return static_cast<std::size_t>(std::ranges::count(findings, verdict, &Finding::verdict));
}

std::string findings_text(const std::vector<Finding>& findings, const Style& style)
{
    std::string text;
    for (const Finding& finding : findings) {
        const Row& row = row_of(finding.verdict);
        text += paint(pad(row.word, kWordWidth), row.colour, style);
        text += pad(finding.check, kCheckWidth) + ' ' + finding.what;
        if (!finding.where.empty() && finding.verdict != Verdict::ok)
            text += fmt::format(" ({})", finding.where);
        text += '\n';
        if (!finding.advice.empty() && finding.verdict != Verdict::ok)
            text +=
                std::string(kWordWidth + kCheckWidth + 1, ' ') + "to do: " + finding.advice + '\n';
    }
    const std::size_t problems = count(findings, Verdict::problem);
    const std::size_t warnings = count(findings, Verdict::warning);
    text += problems + warnings == 0 ? "\nEverything is as it should be.\n"
                                     : fmt::format("\n{}, {}.\n", plural(problems, "problem"),
                                                   plural(warnings, "warning"));
    return text;
}

nlohmann::json findings_json(const std::vector<Finding>& findings)
{
    nlohmann::json list = nlohmann::json::array();
    for (const Finding& finding : findings)
        list.push_back({{"verdict", row_of(finding.verdict).word},
                        {"check", finding.check},
                        {"what", finding.what},
                        {"where", finding.where},
                        {"advice", finding.advice}});
    return {{"findings", std::move(list)},
            {"problems", count(findings, Verdict::problem)},
            {"warnings", count(findings, Verdict::warning)}};
}

} // namespace cluster::cli
