#include "app/exports/export_job.hpp"

#include "app/exports/document.hpp"

namespace cluster::app {

using json = nlohmann::ordered_json;

namespace {

std::string text_at(const json& object, const char* name)
{
    const auto found = object.is_object() ? object.find(name) : object.end();
    return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

} // namespace

std::string write_order(const ExportOrder& order)
{
    return json{{"projectId", order.project_id}, {"userId", order.user_id}}.dump();
}

std::optional<ExportOrder> read_order(std::string_view payload)
{
    const json value = json::parse(payload, nullptr, false);
    ExportOrder order{.project_id = text_at(value, "projectId"),
                      .user_id = text_at(value, "userId")};
    if (order.project_id.empty() || order.user_id.empty()) return std::nullopt;
    return order;
}

std::string write_result(const ExportResult& result)
{
    return json{{"file", result.file_key}, {"name", result.file_name}, {"size", result.size}}.dump(
        -1, ' ', false, json::error_handler_t::replace);
}

std::optional<ExportResult> read_result(std::string_view text)
{
    const json value = json::parse(text, nullptr, false);
    ExportResult result{.file_key = text_at(value, "file"), .file_name = text_at(value, "name")};
    if (result.file_key.empty()) return std::nullopt;
    const auto size = value.find("size");
    if (size != value.end() && size->is_number_unsigned()) result.size = size->get<std::uint64_t>();
    return result;
}

std::string_view export_status(QueueState state)
{
    switch (state) {
    case QueueState::active:
        return "processing";
    case QueueState::done:
        return "completed";
    case QueueState::dead:
        return "failed";
    case QueueState::waiting:
    case QueueState::delayed:
        break;
    }
    return "pending";
}

std::string export_file_name(std::string_view title)
{
    constexpr std::size_t kMaxBytes = 120;
    std::string name = printable(title);
    for (char& letter : name)
        if (std::string_view{"/\\:*?\"<>|"}.contains(letter)) letter = '_';
    const std::size_t begin = std::min(name.find_first_not_of(" ."), name.size());
    name.erase(0, begin);
    std::size_t end = std::min(name.size(), kMaxBytes);
    while (end > 0 && end < name.size() && (static_cast<unsigned char>(name[end]) & 0xC0U) == 0x80U)
        --end;
    name.resize(end);
    while (name.ends_with(' ') || name.ends_with('.'))
        name.pop_back();
    return (name.empty() ? "export" : name) + ".pdf";
}

} // namespace cluster::app
