// The small notations of ecosystem files and command lines: "5s", "300M", "SIGTERM", "022",
// "--port 80". Each parser takes the whole text or says no; none throws or depends on the locale.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::ipc {

/// A decimal whole number with an optional '-' sign, nothing around it.
[[nodiscard]] std::optional<std::int64_t> parse_whole(std::string_view text);

/// "1500" and "1500ms" milliseconds, "5s", "2m", "1h". Not negative.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

/// Bytes: "1048576", or with K, M, G, KB, MB, GB in any case, each 1024 times the one before.
[[nodiscard]] std::optional<std::uint64_t> parse_bytes(std::string_view text);

/// "SIGTERM", "TERM", "sigterm" or "15" as a signal number, 1 to 64.
[[nodiscard]] std::optional<int> parse_signal(std::string_view text);

/// "SIGTERM"; a number without a name as digits.
[[nodiscard]] std::string signal_name(int number);

/// The number that setrlimit takes for "nofile", "core" … (man 5 limits.conf, man 2 getrlimit).
[[nodiscard]] std::optional<int> rlimit_resource(std::string_view name);

/// All names that rlimit_resource knows.
[[nodiscard]] std::vector<std::string_view> rlimit_names();

/// Permission bits in octal: "22", "0022", "0o22"; at most 0777.
[[nodiscard]] std::optional<unsigned> parse_octal(std::string_view text);

/// Well-formed UTF-8: no stray, overlong or surrogate sequences (RFC 3629).
[[nodiscard]] bool is_utf8(std::string_view text);

/// Splits on blanks; single and double quotes hold words together and are removed (PM2). Empty
/// when a quote is not closed.
[[nodiscard]] std::optional<std::vector<std::string>> split_words(std::string_view text);

/// The one of `known` that `word` was probably meant to be, by edit distance (a swap of two
/// neighbours counts once); "" when none is near.
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       const std::vector<std::string_view>& known);

} // namespace cluster::ipc
