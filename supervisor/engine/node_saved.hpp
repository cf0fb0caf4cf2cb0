// Values of a saved state, read back: by whom it was written is not known, so nothing about it is
// taken for granted and nothing throws.
#pragma once

#include "supervisor/core/node_protocol.hpp"
#include "supervisor/engine/node_handles.hpp"

#include <nlohmann/json.hpp>

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cluster::supervisor {

/// Members of one object. What is missing has its empty value (an older version did not know it);
/// what is of another type too, and `good` tells of it.
class SavedObject {
public:
    explicit SavedObject(const nlohmann::json& from) : from_{from}, good_{from.is_object()} {}

    [[nodiscard]] bool good() const { return good_; }
    [[nodiscard]] bool flag(const char* name);
    [[nodiscard]] std::string text(const char* name);
    [[nodiscard]] const nlohmann::json& list(const char* name);
    /// Empty: null, or not there.
    [[nodiscard]] const nlohmann::json* object(const char* name);
    template <std::integral Number>
    [[nodiscard]] Number number(const char* name)
    {
        const nlohmann::json* found = find(name);
        if (!found) return 0;
        if (found->is_number_unsigned()) {
            const auto value = found->get<std::uint64_t>();
            if (std::in_range<Number>(value)) return static_cast<Number>(value);
        } else if (found->is_number_integer()) {
            const auto value = found->get<std::int64_t>();
            if (std::in_range<Number>(value)) return static_cast<Number>(value);
        }
        good_ = false;
        return 0;
    }

private:
    const nlohmann::json* find(const char* name);
    const nlohmann::json& from_;
    bool good_;
};

/// Inodes of all that `saved` wants back from the keeper, at any depth: the values of "inode".
[[nodiscard]] std::vector<std::uint64_t> kept_inodes(const nlohmann::json& saved);

[[nodiscard]] nlohmann::json saved_address(const NodeAddress& address);
[[nodiscard]] std::optional<NodeAddress> read_address(const nlohmann::json* saved);

/// null, or user and group.
[[nodiscard]] nlohmann::json saved_owner(const NodeOwner& owner);
/// The outer one is empty when it is nothing of the kind.
[[nodiscard]] std::optional<NodeOwner> read_owner(const nlohmann::json* saved);

} // namespace cluster::supervisor
