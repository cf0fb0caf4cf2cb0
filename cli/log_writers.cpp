#include "cli/log_writers.hpp"

#include "cli/process_view.hpp"

#include <algorithm>

namespace cluster::cli {
namespace {

/// False when there is no such file to be read.
bool add_log(std::vector<WrittenLog>& logs, const ipc::json& process, const char* member,
             bool error)
{
    std::string path = member_text(process, member);
    if (path.empty() || path == "/dev/null") return false;
    const LogWriter writer{member_number(process, "id"), error};
    const auto known = std::ranges::find(logs, path, &WrittenLog::path);
    if (known != logs.end())
        known->writers.push_back(writer);
    else
        logs.push_back({std::move(path), member_text(process, "name"), {writer}});
    return true;
}

} // namespace

std::vector<WrittenLog> written_logs(const ipc::json& processes, bool out, bool err)
{
    std::vector<WrittenLog> logs;
    for (const ipc::json& process : processes) {
        const bool has_out = out && add_log(logs, process, "out_file", false);
        const bool has_err = err && add_log(logs, process, "error_file", true);
        if (out && err && !has_out && !has_err) add_log(logs, process, "log_file", false);
    }
    return logs;
}

} // namespace cluster::cli
