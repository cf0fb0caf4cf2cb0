// What `describe` prints of one process. Pure: the daemon's reply in, text out.
#pragma once

#include "cli/text.hpp"
#include "ipc/wire/app_spec.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>

namespace cluster::cli {

/// Key and value table, last exits, and the declared environment that differs from `local`, the
/// environment of this command.
[[nodiscard]] std::string describe_text(const nlohmann::json& process, std::int64_t now_ms,
                                        const ipc::Environment& local, const Style& style);

} // namespace cluster::cli
