// The codec of `ready` and `health`.
#include "ipc/wire/object_codec.hpp"
#include "ipc/wire/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <utility>

namespace cluster::ipc {
namespace {

using nlohmann::json;

bool is_text(const json& value)
{
    return value.is_string() && !value.get_ref<const std::string&>().contains('\0') &&
           is_utf8(value.get_ref<const std::string&>());
}

Verdict read_path(const json& value, const std::string& path, Probe& into)
{
    const bool good = value.is_string() && value.get_ref<const std::string&>().starts_with('/') &&
                      std::ranges::all_of(value.get_ref<const std::string&>(),
                                          [](char c) { return c > ' ' && c <= '~'; });
    if (!good) return refuse_at(path, "a path such as \"/health\"", value);
    into.path = value.get<std::string>();
    return {};
}

Verdict read_http(const json& value, const std::string& path, Probe& into)
{
    into.kind = Probe::Kind::http;
    return value == true ? Verdict{} : read_path(value, path, into);
}

Verdict read_port(const json& value, const std::string& path, Probe& into)
{
    const auto port = whole_between(value, 1, 65535);
    if (!port) return refuse_at(path, "a port from 1 to 65535", value);
    into.port = static_cast<int>(*port);
    return {};
}

Verdict read_tcp(const json& value, const std::string& path, Probe& into)
{
    into.kind = Probe::Kind::tcp;
    if (value == true || read_port(value, path, into)) return {};
    return refuse_at(path, "true for the worker's own port, or a port from 1 to 65535", value);
}

Verdict read_exec(const json& value, const std::string& path, Probe& into)
{
    into.kind = Probe::Kind::exec;
    const auto has_program = [](const json& word) {
        return is_text(word) && !word.get_ref<const std::string&>().empty();
    };
    if (has_program(value)) {
        into.command = {"/bin/sh", "-c", value.get<std::string>()};
        return {};
    }
    if (!value.is_array() || value.empty() || !has_program(value.front()) ||
        !std::ranges::all_of(value, is_text))
        return refuse_at(path, "a command line, or an array of program and arguments", value);
    into.command = value.get<std::vector<std::string>>();
    return {};
}

/// The limit bounds the depth to which a stranger's expression can nest: the library recurses.
Verdict read_log(const json& value, const std::string& path, Probe& into)
{
    constexpr std::size_t kLongest = 500;
    into.kind = Probe::Kind::log;
    if (!is_text(value) || value.get_ref<const std::string&>().empty() ||
        value.get_ref<const std::string&>().size() > kLongest)
        return refuse_at(
            path,
            fmt::format("a regular expression of 1 to {} bytes for a line of output", kLongest),
            value);
    try {
        (void)std::regex{value.get_ref<const std::string&>()};
    } catch (const std::regex_error&) {
        return refuse_at(path, "a regular expression as JavaScript has them", value);
    }
    into.pattern = value.get<std::string>();
    return {};
}

Verdict read_status(const json& value, const std::string& path, Probe& into)
{
    const json list = value.is_array() ? value : json::array({value});
    into.status.clear();
    for (const json& item : list) {
        const auto code = whole_between(item, 100, 599);
        if (!code)
            return refuse_at(path, "a status code from 100 to 599, or an array of them", item);
        into.status.push_back(static_cast<int>(*code));
    }
    return into.status.empty()
               ? refuse_at(path, "a status code from 100 to 599, or an array of them", value)
               : Verdict{};
}

constexpr std::string_view kKinds[] = {"http", "tcp", "exec", "log"};

/// By Probe::Kind, in its order.
std::string_view kind_name(const Probe& probe)
{
    return kKinds[static_cast<std::size_t>(probe.kind)];
}

Member member_of(std::string_view name, Probe& into,
                 Verdict (*read)(const json&, const std::string&, Probe&))
{
    return {name, [read, &into](const json& value, const std::string& path) {
                return read(value, path, into);
            }};
}

std::vector<Member> probe_members(Probe& into, ProbeUse use)
{
    constexpr milliseconds kShortest{10};
    std::vector<Member> members{
        member_of("http", into, &read_http),
        member_of("tcp", into, &read_tcp),
        member_of("exec", into, &read_exec),
        member_of("log", into, &read_log),
        member_of("path", into, &read_path),
        member_of("port", into, &read_port),
        member_of("status", into, &read_status),
        duration_member("interval", kShortest, into.interval),
        duration_member("timeout", kShortest, into.timeout),
    };
    if (use == ProbeUse::ready) return members;
    members.push_back(whole_member("failures", 1, 1000, into.failures));
    members.push_back(duration_member("start_period", milliseconds{0}, into.start_period));
    return members;
}

/// What would be quietly without effect, or stands in the value twice.
Verdict check_meaning(const json& object, const Probe& probe)
{
    using enum Probe::Kind;
    const auto refuse_if = [&](bool wrong, const char* member, std::string why) -> Verdict {
        if (!wrong || !has_member(object, member)) return {};
        return refuse_at(std::string{"."} + member, std::move(why), object[member]);
    };
    const std::string other = fmt::format("absent for a probe of kind {}", kind_name(probe));
    const bool has_port = probe.kind == http || probe.kind == tcp;
    if (auto verdict = refuse_if(probe.kind != http, "path", other); !verdict) return verdict;
    if (auto verdict = refuse_if(probe.kind != http, "status", other); !verdict) return verdict;
    if (auto verdict = refuse_if(!has_port, "port", other); !verdict) return verdict;
    if (probe.kind == http && object["http"] != true)
        return refuse_if(true, "path", "absent where http is a path already");
    if (probe.kind == tcp && object["tcp"] != true)
        return refuse_if(true, "port", "absent where tcp is a port already");
    return {};
}

} // namespace

Probe ready_defaults()
{
    Probe probe;
    probe.interval = milliseconds{100};
    probe.timeout = milliseconds{1000};
    return probe;
}

Probe health_defaults()
{
    Probe probe;
    probe.interval = milliseconds{10'000};
    probe.timeout = milliseconds{5'000};
    probe.failures = 3;
    probe.start_period = milliseconds{10'000};
    return probe;
}

Verdict read_probe(const json& value, ProbeUse use, std::optional<Probe>& into)
{
    Probe probe = use == ProbeUse::ready ? ready_defaults() : health_defaults();
    if (value.is_string()) { // "/health"
        if (auto verdict = read_http(value, "", probe); !verdict) return verdict;
    } else {
        if (!value.is_object()) return refuse_at("", "", value);
        const auto kinds = std::ranges::count_if(
            kKinds, [&](std::string_view kind) { return has_member(value, kind); });
        if (kinds != 1)
            return refuse_at("", "an object with exactly one of http, tcp, exec, log", value);
        if (auto verdict = read_members(value, "", probe_members(probe, use)); !verdict)
            return verdict;
        if (auto verdict = check_meaning(value, probe); !verdict) return verdict;
    }
    into = std::move(probe);
    return {};
}

json write_probe(const Probe& probe, ProbeUse use)
{
    const Probe defaults = use == ProbeUse::ready ? ready_defaults() : health_defaults();
    json out = json::object();
    json& kind = out[std::string{kind_name(probe)}];
    switch (probe.kind) {
    case Probe::Kind::http:
        kind = probe.path;
        break;
    case Probe::Kind::tcp:
        kind = true;
        break;
    case Probe::Kind::exec:
        kind = probe.command;
        break;
    case Probe::Kind::log:
        kind = probe.pattern;
        break;
    }
    if (probe.port) out["port"] = *probe.port;
    if (!probe.status.empty()) out["status"] = probe.status;
    if (probe.interval != defaults.interval) out["interval"] = probe.interval.count();
    if (probe.timeout != defaults.timeout) out["timeout"] = probe.timeout.count();
    if (probe.failures != defaults.failures) out["failures"] = probe.failures;
    if (probe.start_period != defaults.start_period)
        out["start_period"] = probe.start_period.count();
    return out;
}

} // namespace cluster::ipc
