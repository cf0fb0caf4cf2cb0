// The codec of `listen`, the one attribute whose items are objects.
#include "ipc/wire/address.hpp"
#include "ipc/wire/object_codec.hpp"
#include "ipc/wire/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::ipc {
namespace {

using nlohmann::json;

/// systemd separates the entries of LISTEN_FDNAMES by colons.
std::string default_listen_name(std::string text)
{
    std::erase(text, ':');
    return text;
}

Verdict read_address(const json& value, const std::string& path, ListenAddress& into)
{
    if (!value.is_string() && !value.is_number_integer())
        return refuse_at(path, "a port or an address", value);
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (text.contains('\0') || !is_utf8(text))
        return refuse_at(path, "UTF-8 text without NUL bytes", value);
    auto address = check_address(text);
    if (!address) return refuse_at(path, std::move(address.error()), value);
    into.text = std::move(*address);
    into.name = default_listen_name(into.text);
    return {};
}

Verdict read_name(const json& value, const std::string& path, ListenAddress& into)
{
    constexpr std::size_t kLongest = 255; // man 3 sd_listen_fds
    const bool good = value.is_string() && !value.get_ref<const std::string&>().empty() &&
                      value.get_ref<const std::string&>().size() <= kLongest &&
                      std::ranges::all_of(value.get_ref<const std::string&>(),
                                          [](char c) { return c >= ' ' && c <= '~' && c != ':'; });
    if (!good) return refuse_at(path, "printable ASCII text without \":\"", value);
    into.name = value.get<std::string>();
    return {};
}

Verdict read_mode(const json& value, const std::string& path, ListenAddress& into)
{
    const auto bits =
        value.is_string() ? parse_octal(value.get_ref<const std::string&>()) : std::nullopt;
    if (!bits) return refuse_at(path, "permission bits in octal such as \"0660\"", value);
    into.mode = bits;
    return {};
}

Verdict read_owner(const json& value, const std::string& path, ListenAddress& into)
{
    const auto good = [](std::string_view text) {
        return !text.empty() && !text.starts_with(':') && !text.ends_with(':') &&
               std::ranges::count(text, ':') <= 1 &&
               std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
    };
    const auto number = value.is_string() ? std::nullopt : whole_between(value, 0, kLastUserId);
    const std::string text = number              ? std::to_string(*number)
                             : value.is_string() ? value.get<std::string>()
                                                 : std::string{};
    if (!good(text)) return refuse_at(path, "\"USER\" or \"USER:GROUP\"", value);
    into.owner = text;
    return {};
}

/// What has a meaning for some kinds of address only.
Verdict check_kind(const json& object, const std::string& path, const ListenAddress& address)
{
    const bool local = address.text.starts_with("unix:");
    const bool ipv4 = !local && address.text.contains(':') && !address.text.starts_with('[');
    const auto refuse_if = [&](bool wrong, const char* member, const char* why) -> Verdict {
        if (!wrong || !has_member(object, member)) return {};
        return refuse_at(path + "." + member, why, object[member]);
    };
    for (const char* member : {"mode", "owner"})
        if (auto verdict =
                refuse_if(!local, member, "absent for an address that is no unix socket");
            !verdict)
            return verdict;
    for (const char* member : {"reuse_port", "ipv6_only", "nodelay"})
        if (auto verdict = refuse_if(local, member, "absent for a unix socket"); !verdict)
            return verdict;
    return refuse_if(ipv4, "ipv6_only", "absent for an IPv4 address");
}

Verdict read_object(const json& object, const std::string& path, ListenAddress& into)
{
    constexpr int kMaxBacklog = 65535;
    const auto address = object.find("address");
    if (address == object.end()) return refuse_at(path, "an object with \"address\"", object);
    // First, since it brings the default name.
    if (auto verdict = read_address(*address, path + ".address", into); !verdict) return verdict;
    const auto member = [&into](std::string_view name, auto read) {
        return Member{name, [read, &into](const json& value, const std::string& at) {
                          return read(value, at, into);
                      }};
    };
    int backlog = 0;
    bool ipv6_only = false;
    const std::vector<Member> members{
        {"address", [](const json&, const std::string&) { return Verdict{}; }},
        member("name", &read_name),
        whole_member("backlog", 1, kMaxBacklog, backlog),
        member("mode", &read_mode),
        member("owner", &read_owner),
        flag_member("reuse_port", into.reuse_port),
        flag_member("ipv6_only", ipv6_only),
        flag_member("nodelay", into.nodelay),
    };
    if (auto verdict = read_members(object, path, members); !verdict) return verdict;
    if (has_member(object, "backlog")) into.backlog = backlog;
    if (has_member(object, "ipv6_only")) into.ipv6_only = ipv6_only;
    return check_kind(object, path, into);
}

Verdict read_one(const json& value, const std::string& path, std::vector<ListenAddress>& into)
{
    ListenAddress address;
    const auto verdict =
        value.is_object() ? read_object(value, path, address) : read_address(value, path, address);
    if (!verdict) return verdict;
    // Port 0 is another port each time, every other address can be bound once only.
    const bool any_port = address.text == "0" || address.text.ends_with(":0");
    if (!any_port && std::ranges::find(into, address.text, &ListenAddress::text) != into.end())
        return refuse_at(path, "different from the other addresses", value);
    into.push_back(std::move(address));
    return {};
}

} // namespace

Verdict Addresses::read(const json& value, std::vector<ListenAddress>& into, const Attribute&)
{
    std::vector<ListenAddress> addresses;
    if (value.is_array()) {
        for (std::size_t i = 0; i < value.size(); ++i)
            if (auto verdict = read_one(value[i], fmt::format("[{}]", i), addresses); !verdict)
                return verdict;
    } else if (auto verdict = read_one(value, "", addresses); !verdict) {
        return verdict;
    }
    into = std::move(addresses);
    return {};
}

json Addresses::write(const std::vector<ListenAddress>& value)
{
    json out = json::array();
    for (const ListenAddress& address : value) {
        ListenAddress plain;
        plain.text = address.text;
        plain.name = default_listen_name(address.text);
        if (address == plain) {
            out.push_back(address.text);
            continue;
        }
        json object{{"address", address.text}, {"name", address.name}};
        if (address.backlog) object["backlog"] = *address.backlog;
        if (address.mode) object["mode"] = Umask::write(address.mode);
        if (!address.owner.empty()) object["owner"] = address.owner;
        if (address.reuse_port) object["reuse_port"] = true;
        if (address.ipv6_only) object["ipv6_only"] = *address.ipv6_only;
        if (address.nodelay) object["nodelay"] = true;
        out.push_back(std::move(object));
    }
    return out;
}

} // namespace cluster::ipc
