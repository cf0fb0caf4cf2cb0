// What an export is in the queue: one job per export, whose id is the export's. Pure.
#pragma once

#include "app/queue/queue.hpp"

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace cluster::app {

inline constexpr const char* kExportQueue = "exports";
inline constexpr const char* kExportJob = "pdf-export";

struct ExportOrder {
    std::string project_id;
    std::string user_id; ///< who asked for it
    bool operator==(const ExportOrder&) const = default;
};

[[nodiscard]] std::string write_order(const ExportOrder& order);
[[nodiscard]] std::optional<ExportOrder> read_order(std::string_view payload);

/// What was made of it.
struct ExportResult {
    std::string file_key;
    std::string file_name;
    std::uint64_t size = 0;
    bool operator==(const ExportResult&) const = default;
};

[[nodiscard]] std::string write_result(const ExportResult& result);
[[nodiscard]] std::optional<ExportResult> read_result(std::string_view text);

/// "pending" (also between two attempts), "processing", "completed" or "failed".
[[nodiscard]] std::string_view export_status(QueueState state);

/// The project's title as the name of a file, "export.pdf" where nothing of it can be used.
[[nodiscard]] std::string export_file_name(std::string_view title);

} // namespace cluster::app
