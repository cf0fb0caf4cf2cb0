// The codec of `listen`, the one attribute whose items are objects.
#include "ipc/wire/address.hpp"
#include "ipc/wire/attribute_codecs.hpp"
#include "ipc/wire/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::ipc {
namespace {

using nlohmann::json;

std::unexpected<Mismatch> refuse_value(std::string expected, const std::string& path,
                                       const json& got)
{
    return std::unexpected(Mismatch{std::move(expected), path, shown(got)});
}

/// systemd separates the entries of LISTEN_FDNAMES by colons.
std::string default_listen_name(std::string text)
{
    std::erase(text, ':');
    return text;
}

Verdict read_address(const json& value, const std::string& path, ListenAddress& into)
{
    if (!value.is_string() && !value.is_number_integer())
        return refuse_value("a port or an address", path, value);
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (text.contains('\0') || !is_utf8(text))
        return refuse_value("UTF-8 text without NUL bytes", path, value);
    auto address = check_address(text);
    if (!address) return refuse_value(std::move(address.error()), path, value);
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
    if (!good) return refuse_value("printable ASCII text without \":\"", path, value);
    into.name = value.get<std::string>();
    return {};
}

Verdict read_backlog(const json& value, const std::string& path, ListenAddress& into)
{
    constexpr int kMost = 65535;
    if (!value.is_number_integer() || value < 1 || value > kMost)
        return refuse_value(fmt::format("a whole number from 1 to {}", kMost), path, value);
    into.backlog = value.get<int>();
    return {};
}

Verdict read_mode(const json& value, const std::string& path, ListenAddress& into)
{
    const auto bits =
        value.is_string() ? parse_octal(value.get_ref<const std::string&>()) : std::nullopt;
    if (!bits) return refuse_value("permission bits in octal such as \"0660\"", path, value);
    into.mode = bits;
    return {};
}

Verdict read_object(const json& object, const std::string& path, ListenAddress& into)
{
    const auto address = object.find("address");
    if (address == object.end()) return refuse_value("an object with \"address\"", path, object);
    if (auto verdict = read_address(*address, path + ".address", into); !verdict) return verdict;
    for (const auto& [key, value] : object.items()) {
        const std::string inside = path + "." + key;
        Verdict verdict;
        if (key == "name")
            verdict = read_name(value, inside, into);
        else if (key == "backlog")
            verdict = read_backlog(value, inside, into);
        else if (key == "mode")
            verdict = read_mode(value, inside, into);
        else if (key != "address")
            verdict = refuse_value("one of address, name, backlog, mode", path, key);
        if (!verdict) return verdict;
    }
    if (into.mode && !into.text.starts_with("unix:"))
        return refuse_value("absent for an address that is no unix socket", path + ".mode",
                            object["mode"]);
    return {};
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
        return refuse_value("different from the other addresses", path, value);
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
        const bool plain =
            address.name == default_listen_name(address.text) && !address.backlog && !address.mode;
        if (plain) {
            out.push_back(address.text);
            continue;
        }
        json object{{"address", address.text}, {"name", address.name}};
        if (address.backlog) object["backlog"] = *address.backlog;
        if (address.mode) object["mode"] = Umask::write(address.mode);
        out.push_back(std::move(object));
    }
    return out;
}

} // namespace cluster::ipc
