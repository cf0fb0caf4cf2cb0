#include "app/redis/options.hpp"

#include "ipc/base/text.hpp"

#include <boost/asio/ssl/verify_mode.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace cluster::app {
namespace {

namespace ssl = boost::asio::ssl;
using ErrorCode = boost::system::error_code;

constexpr std::uint16_t kPort = 6379;
constexpr std::uint16_t kSentinelPort = 26379;
constexpr int kMaxDatabase = 1'000'000;

std::unexpected<ipc::Error> wrong(std::string what)
{
    return ipc::fail(std::error_code{}, std::move(what));
}

std::optional<std::string> percent_decoded(std::string_view text)
{
    std::string result;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            result += text[at];
            continue;
        }
        if (at + 2 >= text.size()) return std::nullopt;
        const std::string_view hex = text.substr(at + 1, 2);
        const auto digit = [](char c) -> int {
            if (c >= '0' && c <= '9') return c - '0';
            if (c >= 'a' && c <= 'f') return c - 'a' + 10;
            if (c >= 'A' && c <= 'F') return c - 'A' + 10;
            return -1;
        };
        if (digit(hex[0]) < 0 || digit(hex[1]) < 0) return std::nullopt;
        result += static_cast<char>(digit(hex[0]) * 16 + digit(hex[1]));
        at += 2;
    }
    return result;
}

/// Takes what stands before `mark` off the front of `text`; nothing when it is not there.
std::optional<std::string_view> before(std::string_view& text, char mark, bool last = false)
{
    const std::size_t at = last ? text.rfind(mark) : text.find(mark);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view part = text.substr(0, at);
    text.remove_prefix(at + 1);
    return part;
}

Result<int> database_of(std::string_view text)
{
    if (text.empty()) return 0;
    const auto number = ipc::parse_number<int>(text);
    if (!number || *number < 0 || *number > kMaxDatabase)
        return wrong("the database must be a number");
    return *number;
}

Result<void> read_login(RedisUrl& url, std::string_view login)
{
    const std::size_t colon = std::min(login.find(':'), login.size());
    const auto user = percent_decoded(login.substr(0, colon));
    const auto password = percent_decoded(login.substr(std::min(colon + 1, login.size())));
    if (!user || !password) return wrong("% must be followed by two hexadecimal digits");
    url.user = *user;
    url.password = *password;
    return {};
}

Result<RedisUrl> parse_unix_url(std::string_view rest)
{
    RedisUrl url;
    std::string_view query;
    if (const std::size_t mark = rest.find('?'); mark != std::string_view::npos) {
        query = rest.substr(mark + 1);
        rest = rest.substr(0, mark);
    }
    const auto path = percent_decoded(rest);
    if (!path || !path->starts_with('/')) return wrong("a Unix socket needs an absolute path");
    url.address.path = *path;
    if (query.starts_with("db=")) {
        const auto database = database_of(query.substr(3));
        if (!database) return std::unexpected(database.error());
        url.database = *database;
    }
    return url;
}

void set_tls(RedisOptions& options, Environment& environment)
{
    auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
    context->set_verify_mode(ssl::verify_peer);
    context->set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 |
                         ssl::context::no_tlsv1_1);
    const auto load = [&](std::string_view name, auto use) {
        const std::string path = environment.text(name);
        ErrorCode failed;
        if (!path.empty()) use(path, failed);
        if (failed)
            environment.fault(fmt::format("{} must name a readable PEM file, got \"{}\": {}", name,
                                          path, failed.message()));
    };
    load("REDIS_TLS_CA", [&](const std::string& path, ErrorCode& failed) {
        context->load_verify_file(path, failed);
    });
    load("REDIS_TLS_CERT", [&](const std::string& path, ErrorCode& failed) {
        context->use_certificate_chain_file(path, failed);
    });
    load("REDIS_TLS_KEY", [&](const std::string& path, ErrorCode& failed) {
        context->use_private_key_file(path, ssl::context::pem, failed);
    });
    ErrorCode ignored; // without the system's own store there is still REDIS_TLS_CA, or a refusal
    if (!environment.has("REDIS_TLS_CA")) context->set_default_verify_paths(ignored);
    if (environment.has("REDIS_TLS_CERT") != environment.has("REDIS_TLS_KEY"))
        environment.fault("REDIS_TLS_CERT and REDIS_TLS_KEY must be given together");
    options.tls = std::move(context);
}

std::vector<RedisAddress> read_nodes(Environment& environment, std::string_view name,
                                     std::uint16_t default_port)
{
    std::vector<RedisAddress> nodes;
    for (const std::string& text : environment.list(name)) {
        auto node = parse_redis_address(text, default_port);
        if (node)
            nodes.push_back(std::move(*node));
        else
            environment.fault(fmt::format("{} must be host:port,host:port, got \"{}\": {}", name,
                                          text, node.error().what));
    }
    if (nodes.empty() && environment.list(name).empty())
        environment.fault(fmt::format("{} must name at least one server as host:port", name));
    return nodes;
}

/// One server: REDIS_URL, else REDIS_HOST and REDIS_PORT. Whether it is encrypted.
bool read_single(RedisOptions& options, Environment& environment)
{
    if (!environment.has("REDIS_URL")) {
        options.address.host = environment.text("REDIS_HOST");
        options.address.port =
            static_cast<std::uint16_t>(environment.number("REDIS_PORT", kPort, 1, 65'535));
        return false;
    }
    auto url = parse_redis_url(environment.text("REDIS_URL"));
    if (!url) {
        environment.fault("REDIS_URL must be redis://[user:password@]host[:port][/database], "
                          "rediss://… or unix:///path: " +
                          url.error().what);
        return false;
    }
    options.address = std::move(url->address);
    if (!url->user.empty()) options.user = std::move(url->user);
    if (!url->password.empty()) options.password = std::move(url->password);
    if (url->database != 0) options.database = url->database;
    return url->tls;
}

RedisOptions::Form form_of(Environment& environment)
{
    const bool sentinel = environment.flag("REDIS_SENTINEL_MODE", false);
    const bool cluster = environment.flag("REDIS_CLUSTER_MODE", false);
    if (sentinel && cluster)
        environment.fault("REDIS_SENTINEL_MODE and REDIS_CLUSTER_MODE cannot both be on");
    if (sentinel) return RedisOptions::Form::sentinel;
    if (cluster) return RedisOptions::Form::cluster;
    if (environment.has("REDIS_URL") || environment.has("REDIS_HOST"))
        return RedisOptions::Form::single;
    return RedisOptions::Form::none;
}

} // namespace

std::string RedisAddress::text() const
{
    if (!path.empty()) return "unix:" + path;
    if (host.contains(':')) return fmt::format("[{}]:{}", host, port);
    return fmt::format("{}:{}", host, port);
}

Result<RedisAddress> parse_redis_address(std::string_view text, std::uint16_t default_port)
{
    RedisAddress address{.host = {}, .port = default_port, .path = {}};
    std::string_view port;
    bool has_port = false;
    if (text.starts_with('[')) {
        const std::size_t end = text.find(']');
        if (end == std::string_view::npos) return wrong("the [ is not closed");
        address.host = text.substr(1, end - 1);
        const std::string_view rest = text.substr(end + 1);
        has_port = rest.starts_with(':');
        if (!has_port && !rest.empty()) return wrong("after ] only :port may stand");
        if (has_port) port = rest.substr(1);
    } else {
        std::string_view rest = text;
        const auto host = before(rest, ':', true);
        has_port = host.has_value();
        address.host = host.value_or(text);
        if (has_port) port = rest;
        if (address.host.contains(':')) return wrong("an IPv6 address needs [ ] around it");
    }
    if (address.host.empty()) return wrong("the host is missing");
    if (!has_port) return address;
    const auto number = ipc::parse_number<int>(port);
    if (!number || *number < 1 || *number > 65'535)
        return wrong("the port must be a number from 1 to 65535");
    address.port = static_cast<std::uint16_t>(*number);
    return address;
}

Result<RedisUrl> parse_redis_url(std::string_view text)
{
    RedisUrl url;
    const std::size_t colon = text.find("://");
    if (colon == std::string_view::npos) return wrong("it does not begin with a scheme");
    const std::string_view scheme = text.substr(0, colon);
    std::string_view rest = text.substr(colon + 3);
    if (scheme == "unix") return parse_unix_url(rest);
    if (scheme != "redis" && scheme != "rediss") return wrong("the scheme is not known");
    url.tls = scheme == "rediss";

    rest = rest.substr(0, rest.find_first_of("?#"));
    if (const auto login = before(rest, '@', true))
        if (const auto read = read_login(url, *login); !read) return std::unexpected(read.error());
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const auto database = database_of(rest.substr(std::min(slash + 1, rest.size())));
    if (!database) return std::unexpected(database.error());
    url.database = *database;
    auto address = parse_redis_address(rest.substr(0, slash), kPort);
    if (!address) return std::unexpected(address.error());
    url.address = std::move(*address);
    return url;
}

RedisOptions read_redis_options(Environment& environment)
{
    using Form = RedisOptions::Form;
    RedisOptions options;
    options.form = form_of(environment);
    options.user = environment.text("REDIS_USERNAME");
    options.password = environment.text("REDIS_PASSWORD");
    options.database = environment.number("REDIS_DB", 0, 0, kMaxDatabase);
    options.sentinel_password = environment.text("REDIS_SENTINEL_PASSWORD");
    options.connect_timeout =
        milliseconds{environment.number("REDIS_CONNECT_TIMEOUT_MS", 2000, 10, 600'000)};
    options.command_timeout =
        milliseconds{environment.number("REDIS_COMMAND_TIMEOUT_MS", 2000, 10, 600'000)};
    bool tls = environment.flag("REDIS_TLS", false);
    if (options.form == Form::single) tls = read_single(options, environment) || tls;
    if (options.form == Form::sentinel) {
        options.nodes = read_nodes(environment, "REDIS_SENTINEL_HOSTS", kSentinelPort);
        options.master = environment.text("REDIS_SENTINEL_MASTER", "mymaster");
    }
    if (options.form == Form::cluster) {
        options.nodes = read_nodes(environment, "REDIS_CLUSTER_NODES", kPort);
        if (options.database != 0)
            environment.fault("REDIS_DB must be 0 with REDIS_CLUSTER_MODE: a Cluster has no other");
    }
    if (!options.user.empty() && options.password.empty())
        environment.fault("REDIS_USERNAME needs REDIS_PASSWORD");
    if (tls && options.enabled()) set_tls(options, environment);
    return options;
}

} // namespace cluster::app
