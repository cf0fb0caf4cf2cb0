#include "ipc/wire/log_sink.hpp"

#include "ipc/wire/object_codec.hpp"
#include "ipc/wire/units.hpp"

#include <nlohmann/json.hpp>

#include <sys/un.h>

#include <algorithm>
#include <optional>

namespace cluster::ipc {
namespace {

using nlohmann::json;
using Parsed = std::expected<SinkAddress, std::string>;

constexpr std::string_view kAllowed =
    R"("stdout", "journald", "syslog", "syslog:/PATH", "syslog://HOST:PORT", )"
    R"("syslog+tcp://HOST:PORT", "tcp://HOST:PORT" or "unix:/PATH")";

Parsed unix_sink(SinkForm form, SinkTransport transport, std::string_view path)
{
    constexpr std::size_t kLongest = sizeof(sockaddr_un::sun_path) - 1;
    if (!path.starts_with('/') || path.size() > kLongest)
        return std::unexpected("an absolute path of at most " + std::to_string(kLongest) +
                               " bytes after the colon");
    return SinkAddress{
        .form = form, .transport = transport, .path = std::string{path}, .host = {}, .port = 0};
}

bool is_host_name(std::string_view host)
{
    return !host.empty() && host.size() <= 253 && std::ranges::all_of(host, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '-' || c == '_';
    });
}

Parsed network_sink(SinkForm form, SinkTransport transport, std::string_view text)
{
    const auto colon = text.rfind(':');
    std::string_view host = text.substr(0, colon);
    const auto port =
        colon == text.npos ? std::optional<std::int64_t>{} : parse_whole(text.substr(colon + 1));
    const bool brackets = host.size() > 2 && host.starts_with('[') && host.ends_with(']');
    if (brackets) host = host.substr(1, host.size() - 2);
    const bool literal =
        brackets && host.find_first_not_of("0123456789abcdefABCDEF:.") == host.npos;
    if (!port || *port < 1 || *port > 65535 || !(literal || (!brackets && is_host_name(host))))
        return std::unexpected("a host, a colon and a port from 1 to 65535 after the slashes");
    return SinkAddress{.form = form,
                       .transport = transport,
                       .path = {},
                       .host = std::string{host},
                       .port = static_cast<std::uint16_t>(*port)};
}

} // namespace

Parsed parse_sink(std::string_view text)
{
    using enum SinkTransport;
    const auto after = [&](std::string_view scheme) {
        return text.starts_with(scheme) ? std::optional{text.substr(scheme.size())} : std::nullopt;
    };
    if (text == "stdout") return SinkAddress{};
    if (text == "journald")
        return unix_sink(SinkForm::journal, unix_datagram, "/run/systemd/journal/socket");
    if (text == "syslog") return unix_sink(SinkForm::syslog, unix_datagram, "/dev/log");
    if (const auto rest = after("syslog://")) return network_sink(SinkForm::syslog, udp, *rest);
    if (const auto rest = after("syslog+tcp://")) return network_sink(SinkForm::syslog, tcp, *rest);
    if (const auto rest = after("syslog:"))
        return unix_sink(SinkForm::syslog, unix_datagram, *rest);
    if (const auto rest = after("tcp://")) return network_sink(SinkForm::json, tcp, *rest);
    if (const auto rest = after("unix:")) return unix_sink(SinkForm::json, unix_stream, *rest);
    return std::unexpected(std::string{kAllowed});
}

Verdict Sinks::read(const json& value, std::vector<std::string>& into, const Attribute& attribute)
{
    const json list = value.is_string() ? json::array({value}) : value;
    if (auto read = TextList::read(list, into, attribute); !read) return read;
    for (std::size_t at = 0; at < into.size(); ++at) {
        if (auto sink = parse_sink(into[at]); !sink)
            return refuse_at("[" + std::to_string(at) + "]", std::move(sink.error()), list[at]);
        if (std::ranges::count(into, into[at]) > 1)
            return refuse_at("[" + std::to_string(at) + "]", "named once", list[at]);
    }
    return {};
}

json Sinks::write(const std::vector<std::string>& value)
{
    return value;
}

} // namespace cluster::ipc
