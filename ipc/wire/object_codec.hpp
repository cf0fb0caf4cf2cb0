// Values that are objects, inside of an attribute: reads each member by name and says where in the
// value a mistake is.
#pragma once

#include "ipc/wire/attribute_codecs.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::ipc {

/// `<attribute><path> must be <expected>, got <got>`.
[[nodiscard]] std::unexpected<Mismatch> refuse_at(std::string path, std::string expected,
                                                  const nlohmann::json& got);

/// One member of an object: its name, and what reads it; `path` is where it stands.
struct Member {
    std::string_view name;
    std::function<Verdict(const nlohmann::json& value, const std::string& path)> read;
};

/// Reads every member; null is absence, as for attributes. An unknown one is refused.
Verdict read_members(const nlohmann::json& object, const std::string& path,
                     const std::vector<Member>& members);

/// True when the member is there and not null.
[[nodiscard]] bool has_member(const nlohmann::json& object, std::string_view name);

// Readers for members; `into` outlives them.
[[nodiscard]] Member duration_member(std::string_view name, milliseconds min, milliseconds& into);
[[nodiscard]] Member whole_member(std::string_view name, int min, int max, int& into);
[[nodiscard]] Member flag_member(std::string_view name, bool& into);

} // namespace cluster::ipc
