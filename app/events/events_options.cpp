#include "app/events/events_options.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace cluster::app {
namespace {

constexpr int kMaxMs = 3'600'000;

/// "*" or an origin as a browser sends it: scheme, host and port, no path.
bool is_origin(const std::string& text)
{
    const std::size_t scheme = text.find("://");
    if (text == "*") return true;
    return scheme != std::string::npos && scheme > 0 && scheme + 3 < text.size() &&
           text.find('/', scheme + 3) == std::string::npos &&
           std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

void read_origins(Environment& environment, EventsOptions& options)
{
    options.origins = environment.list("SOCKETIO_CORS_ORIGIN");
    const auto wrong = std::ranges::find_if_not(options.origins, is_origin);
    if (wrong != options.origins.end())
        environment.fault(fmt::format("SOCKETIO_CORS_ORIGIN must be * or a list of origins such as "
                                      "https://app.example.com, got \"{}\"",
                                      *wrong));
    if (options.origins.size() > 1 &&
        std::ranges::find(options.origins, "*") != options.origins.end())
        environment.fault("SOCKETIO_CORS_ORIGIN must be * alone or a list without it");
}

void read_namespaces(Environment& environment, EventsOptions& options)
{
    for (std::string& name : environment.list("SOCKETIO_NAMESPACES")) {
        // Redis would read a pattern in it.
        if (!name.starts_with('/') || name.size() > 100 ||
            name.find_first_of("#*?[\\") != std::string::npos)
            environment.fault(
                fmt::format("SOCKETIO_NAMESPACES must be names such as /admin, without "
                            "# * ? [ \\ and of at most 100 bytes, got \"{}\"",
                            name));
        else if (std::ranges::find(options.namespaces, name) == options.namespaces.end())
            options.namespaces.push_back(std::move(name));
    }
}

} // namespace

EventsOptions read_events_options(Environment& environment)
{
    EventsOptions options;
    const struct {
        const char* name;
        milliseconds& value;
        int low;
    } times[] = {
        {"SOCKETIO_PING_INTERVAL_MS", options.ping_interval, 100},
        {"SOCKETIO_PING_TIMEOUT_MS", options.ping_timeout, 100},
        {"SOCKETIO_CONNECT_TIMEOUT_MS", options.connect_timeout, 100},
        {"SOCKETIO_REQUEST_TIMEOUT_MS", options.request_timeout, 100},
        {"SOCKETIO_DRAIN_MS", options.drain, 0},
    };
    for (const auto& row : times)
        row.value = milliseconds{
            environment.number(row.name, static_cast<int>(row.value.count()), row.low, kMaxMs)};
    const struct {
        const char* name;
        std::size_t& value;
        int low;
        int high;
    } sizes[] = {
        {"SOCKETIO_MAX_PAYLOAD_BYTES", options.max_payload, 1024, 100'000'000},
        {"SOCKETIO_MAX_QUEUE_BYTES", options.max_queue, 1024, 1'000'000'000},
        {"SOCKETIO_MAX_CLIENTS", options.max_clients, 1, 1'000'000},
        {"SOCKETIO_MAX_EVENTS_PER_SECOND", options.max_events, 0, 1'000'000},
    };
    for (const auto& row : sizes)
        row.value = static_cast<std::size_t>(
            environment.number(row.name, static_cast<int>(row.value), row.low, row.high));
    read_origins(environment, options);
    read_namespaces(environment, options);
    options.auth_required =
        environment.choice("SOCKETIO_AUTH", "optional", {"optional", "required"}) == "required";
    options.host_folder = environment.text("DATA_DIR", "data") + "/events";
    options.key = environment.text("SOCKETIO_REDIS_KEY", options.key);
    if (options.key.find_first_of("#*?[\\") != std::string::npos)
        environment.fault(
            fmt::format("SOCKETIO_REDIS_KEY must not hold # * ? [ or \\, got \"{}\"", options.key));
    return options;
}

} // namespace cluster::app
