// The process table of `list` and of all commands that change something. Pure: the daemon's reply
// (docs/protocol.md, "A process") in, text out.
#pragma once

#include "cli/text.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace cluster::cli {

using nlohmann::json;

struct SortOrder {
    std::string field = "name";
    bool descending = false;
};

/// "cpu" or "cpu:desc". Errors: a sentence that names the fields that exist.
[[nodiscard]] std::expected<SortOrder, std::string> parse_sort(std::string_view text);

/// Sorts an array of processes; equal ones by name, then id.
void sort_processes(json& processes, const SortOrder& order);

/// The table in the widest of three layouts (full, condensed, mini) that fits `style.width`.
/// `now_ms`: wall time, for the uptime column.
[[nodiscard]] std::string process_table(const json& processes, std::int64_t now_ms,
                                        const Style& style);

/// `list -m`: a few lines per process. Takes the answer of `describe`.
[[nodiscard]] std::string process_mini_list(const json& processes, std::int64_t now_ms,
                                            const Style& style);

/// "online" in green, "errored" in red, …
[[nodiscard]] Colour status_colour(std::string_view status);

/// Milliseconds since the worker started; 0 when nothing of it runs.
[[nodiscard]] std::int64_t uptime_ms(const json& process, std::int64_t now_ms);

/// "0.3%".
[[nodiscard]] std::string cpu_text(const json& process);

/// A member as text, harmless for a terminal: strings as they are, numbers, "" for null and absent.
[[nodiscard]] std::string member_text(const json& object, const char* key);

/// A number member; 0 when it is absent or no number.
[[nodiscard]] std::int64_t member_number(const json& object, const char* key);

} // namespace cluster::cli
