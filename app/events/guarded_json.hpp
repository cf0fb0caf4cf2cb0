// JSON and msgpack of strangers, bounded before anything is built: the depth, because writing and
// walking a value recurse, and the members per object, because an ordered object looks each new key
// up among all before it (a megabyte of keys would hold the loop for seconds). Pure.
#pragma once

#include "ipc/base/result.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace cluster::app {

using ipc::Result;
using json = nlohmann::ordered_json;

constexpr std::size_t kMaxDepth = 100;
/// Of all objects of one text together, members squared: 4,000 members in one object, or many
/// objects with few.
constexpr std::size_t kMaxKeyWork = 16'000'000;

/// The failure of what a stranger sent and was no good.
[[nodiscard]] inline std::unexpected<ipc::Error> bad_message(std::string why)
{
    return ipc::fail(std::make_error_code(std::errc::bad_message), std::move(why));
}

/// Errors: bad_message, with the reason. Nothing throws.
[[nodiscard]] Result<json> parse_client_json(std::string_view text);

/// A msgpack value, wholly in `bytes`. What msgpack has and JSON has not: binary stays binary, a
/// timestamp becomes its ISO text (as JSON.stringify writes a Date), other extensions become null.
[[nodiscard]] Result<json> parse_msgpack(std::string_view bytes);

/// `value` as msgpack.
[[nodiscard]] std::string to_msgpack(const json& value);

/// `value` as JSON text; what is not UTF-8 in it is replaced.
[[nodiscard]] std::string json_text(const json& value);

} // namespace cluster::app
