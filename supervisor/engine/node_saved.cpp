#include "supervisor/engine/node_saved.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace cluster::supervisor {
namespace {

using nlohmann::json;

struct TypeName {
    NodeAddressType type;
    std::string_view name;
};
constexpr TypeName kTypes[] = {
    {NodeAddressType::tcp4, "tcp4"},   {NodeAddressType::tcp6, "tcp6"},
    {NodeAddressType::path, "path"},   {NodeAddressType::udp4, "udp4"},
    {NodeAddressType::udp6, "udp6"},   {NodeAddressType::descriptor, "descriptor"},
    {NodeAddressType::other, "other"},
};

void collect(const json& value, std::vector<std::uint64_t>& inodes)
{
    if (value.is_object()) {
        const auto inode = value.find("inode");
        if (inode != value.end() && inode->is_number_unsigned() && *inode != 0)
            inodes.push_back(inode->get<std::uint64_t>());
    }
    if (!value.is_structured()) return;
    for (const json& inner : value)
        collect(inner, inodes);
}

} // namespace

const json* SavedObject::find(const char* name)
{
    if (!from_.is_object()) return nullptr;
    const auto found = from_.find(name);
    return found == from_.end() || found->is_null() ? nullptr : &*found;
}

bool SavedObject::flag(const char* name)
{
    const json* found = find(name);
    if (found && !found->is_boolean()) good_ = false;
    return found && found->is_boolean() && found->get<bool>();
}

std::string SavedObject::text(const char* name)
{
    const json* found = find(name);
    if (found && !found->is_string()) good_ = false;
    return found && found->is_string() ? found->get<std::string>() : std::string{};
}

const json& SavedObject::list(const char* name)
{
    static const json kEmpty = json::array();
    const json* found = find(name);
    if (found && !found->is_array()) good_ = false;
    return found && found->is_array() ? *found : kEmpty;
}

const json* SavedObject::object(const char* name)
{
    const json* found = find(name);
    if (found && !found->is_object()) good_ = false;
    return found && found->is_object() ? found : nullptr;
}

std::vector<std::uint64_t> kept_inodes(const json& saved)
{
    std::vector<std::uint64_t> inodes;
    collect(saved, inodes);
    return inodes;
}

json saved_address(const NodeAddress& address)
{
    return {{"text", address.text},
            {"any", address.any},
            {"port", address.port},
            {"type", std::ranges::find(kTypes, address.type, &TypeName::type)->name},
            {"fd", address.fd},
            {"index", address.index},
            {"flags", address.flags}};
}

std::optional<NodeAddress> read_address(const json* saved)
{
    if (!saved) return std::nullopt;
    SavedObject from{*saved};
    NodeAddress address{.text = from.text("text"),
                        .any = from.flag("any"),
                        .port = from.number<int>("port"),
                        .type = NodeAddressType::other,
                        .fd = from.number<int>("fd"),
                        .index = from.number<int>("index"),
                        .flags = from.number<int>("flags")};
    const auto* const type = std::ranges::find(kTypes, from.text("type"), &TypeName::name);
    if (!from.good() || type == std::end(kTypes)) return std::nullopt;
    address.type = type->type;
    return address;
}

json saved_owner(const NodeOwner& owner)
{
    if (!owner) return nullptr;
    return {{"uid", owner->first}, {"gid", owner->second}};
}

std::optional<NodeOwner> read_owner(const json* saved)
{
    if (!saved) return NodeOwner{};
    SavedObject from{*saved};
    const std::pair ids{from.number<uid_t>("uid"), from.number<gid_t>("gid")};
    if (!from.good()) return std::nullopt;
    return NodeOwner{ids};
}

} // namespace cluster::supervisor
