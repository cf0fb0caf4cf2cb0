#include "cli/settings_view.hpp"

#include "cli/process_view.hpp"
#include "cli/table.hpp"

#include <algorithm>

namespace cluster::cli {

std::string setting_name(std::string given)
{
    std::ranges::replace(given, ':', '.');
    return given;
}

json setting_in(const json& answer, const std::string& name)
{
    const json settings = answer.value("settings", json::array());
    for (const json& setting : settings)
        if (member_text(setting, "name") == name) return setting;
    return nullptr;
}

std::vector<std::string> faults_in(const json& answer)
{
    std::vector<std::string> all;
    const json faults = answer.value("faults", json::array());
    for (const json& fault : faults)
        if (fault.is_string()) all.push_back(escape_controls(fault.get<std::string>()));
    return all;
}

std::string no_setting(const json& answer, const std::string& name)
{
    std::string names;
    const json settings = answer.value("settings", json::array());
    for (const json& setting : settings)
        names += (names.empty() ? "" : ", ") + member_text(setting, "name");
    return "there is no setting " + escape_controls(name) + "; known are " + names;
}

std::string settings_text(const json& answer, const Style& style)
{
    Table table;
    table.columns = {{"setting", 0, 16}, {"value", 0, 16}, {"from", 0, 8}, {"", 0, 20}};
    const json settings = answer.value("settings", json::array());
    for (const json& setting : settings) {
        std::string value = member_text(setting, "value");
        if (setting.value("secret", false) && !value.empty()) value = "(set)";
        const std::string source = member_text(setting, "source");
        table.rows.push_back(
            {{member_text(setting, "name"), Colour::cyan},
             {value, Colour::none},
             {source == "environment" ? member_text(setting, "variable") : source, Colour::none},
             {member_text(setting, "about"), Colour::none}});
    }
    std::string text = draw(table, style);
    if (const std::string line = metrics_text(answer); !line.empty()) text += line + '\n';
    return text;
}

std::string metrics_text(const json& answer)
{
    const std::string address = member_text(answer.value("metrics", json::object()), "address");
    if (address.empty()) return {};
    const bool tls = !member_text(setting_in(answer, "metrics.tls_cert"), "value").empty();
    return "Metrics are served at " + std::string{tls ? "https" : "http"} + "://" + address +
           "/metrics";
}

} // namespace cluster::cli
