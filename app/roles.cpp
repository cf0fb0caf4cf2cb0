#include "app/roles.hpp"

#include "app/base/ids.hpp"
#include "app/limits/make_rate_limiter.hpp"
#include "app/live.hpp"
#include "app/metrics_route.hpp"
#include "app/openapi_route.hpp"
#include "app/redis/make_redis.hpp"
#include "app/routes.hpp"
#include "app/store/make_store.hpp"

#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>

namespace cluster::app {
namespace {

/// How often a process measures what another one's scrape shows of it.
constexpr std::chrono::seconds kRefresh{5};

asio::awaitable<Finding> ask_store(Store& store)
{
    auto pinged = co_await store.ping();
    co_return Finding{.outcome = std::move(pinged), .detail = {{"form", store.form()}}};
}

asio::awaitable<Finding> ask_values(KeyValue& values)
{
    auto pinged = co_await values.ping();
    co_return Finding{.outcome = std::move(pinged), .detail = {{"form", values.form()}}};
}

asio::awaitable<void> close_store(Store& store)
{
    co_await store.close();
}

asio::awaitable<void> run_now(std::function<void()> work)
{
    work();
    co_return;
}

asio::awaitable<Result<void>> start_now(std::function<void()> work)
{
    work();
    co_return Result<void>{};
}

/// The folder of what is embedded: passwords and tokens are in it, so nobody else may look.
Result<void> make_data_dir(const std::string& path)
{
    std::error_code code;
    const std::filesystem::path folder{path};
    if (folder.has_parent_path()) std::filesystem::create_directories(folder.parent_path(), code);
    if (code) return ipc::fail(code, "make the folders above " + path + " (DATA_DIR)");
    if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
    return ipc::fail(errno, "make the folder " + path + " (DATA_DIR says where else)");
}

/// What the instances share for a while, and how they count requests together.
Result<void> build_shared(const Parts& parts, Roles& roles)
{
    const Settings& settings = parts.settings;
    if (settings.redis.enabled()) {
        roles.redis = make_redis(parts.io, settings.redis, parts.log, &roles.figures);
        Redis* const redis = roles.redis.get();
        parts.lifecycle.on_close("redis", [redis] { return run_now([redis] { redis->close(); }); });
        roles.values = make_key_value(*redis);
        if (settings.rate_limit.on)
            roles.limiter = make_rate_limiter(*redis, parts.clock, settings.rate_limit, parts.log);
        return {};
    }
    auto values = make_embedded_key_value(parts.io, parts.clock, settings.data_dir + "/shared.db");
    if (!values) return std::unexpected(values.error());
    roles.values = std::move(*values);
    if (!settings.rate_limit.on) return {};
    auto limiter = make_embedded_rate_limiter(parts.clock, settings.data_dir + "/limits.bin",
                                              settings.rate_limit, parts.log);
    if (!limiter) return std::unexpected(limiter.error());
    roles.limiter = std::move(*limiter);
    return {};
}

Result<void> build_store(const Parts& parts, Roles& roles)
{
    auto store = make_store(parts.io, parts.settings.store, parts.log, roles.figures);
    if (!store) return std::unexpected(store.error());
    roles.store = std::move(*store);
    Store* const held = roles.store.get();
    parts.lifecycle.on_close("store", [held] { return close_store(*held); });
    return {};
}

/// JWT_SECRET, or what the instances of this host have instead.
Result<std::string> shared_secret(const AccountOptions& accounts)
{
    if (!accounts.secret.empty()) return accounts.secret;
    return secret_of_host(accounts.secret_file);
}

void build_events(const Parts& parts, Roles& roles)
{
    roles.events = std::make_unique<Events>(parts.io, parts.clock, parts.settings.socketio,
                                            roles.redis.get(), roles.figures, parts.log);
    Events* const events = roles.events.get();
    roles.live_exports = std::make_unique<LiveExports>(*events);
    roles.live_projects = std::make_unique<LiveProjects>(*events);
    if (!parts.settings.worker) events->add_routes(parts.router);
    parts.lifecycle.on_drain([events] { events->drain(); });
    parts.lifecycle.on_close("events", [events] { return run_now([events] { events->close(); }); });
}

Result<void> build_api(const Parts& parts, Roles& roles)
{
    AccountOptions accounts = parts.settings.accounts;
    auto secret = shared_secret(accounts);
    if (!secret) return std::unexpected(secret.error());
    accounts.secret = std::move(*secret);
    roles.api = std::make_unique<Api>(Api::Ground{.io = parts.io,
                                                  .clock = parts.clock,
                                                  .store = *roles.store,
                                                  .key_value = *roles.values,
                                                  .metrics = roles.figures,
                                                  .events = *roles.live_projects},
                                      accounts, parts.settings.store.replica_max_lag);
    Api* const api = roles.api.get();
    if (!parts.settings.worker) api->add_routes(parts.router);
    roles.events->use(access_by(api->authenticator(), api->revocation(), *roles.store));
    parts.lifecycle.on_close("api", [api] { return run_now([api] { api->stop(); }); });
    return {};
}

/// Time for jobs under way to finish: the rest of the draining is for giving back what did not.
milliseconds time_for_jobs(milliseconds drain)
{
    constexpr milliseconds kRest{1000};
    return std::max(drain - kRest, drain / 2);
}

Result<void> build_background(const Parts& parts, Roles& roles)
{
    const Settings& settings = parts.settings;
    BackgroundOptions options = settings.background;
    if (options.files.link_secret.empty()) {
        const auto secret = shared_secret(settings.accounts);
        if (!secret) return std::unexpected(secret.error());
        options.files.link_secret = derive_link_secret(*secret);
    }
    auto background = Background::build({.io = parts.io,
                                         .clock = parts.clock,
                                         .log = parts.log,
                                         .store = *roles.store,
                                         .redis = roles.redis.get(),
                                         .metrics = roles.figures,
                                         .events = *roles.live_exports},
                                        std::move(options));
    if (!background) return std::unexpected(background.error());
    roles.background = std::move(*background);
    Background* const held = roles.background.get();
    if (!settings.worker) held->add_routes(parts.router, roles.api->authenticator());
    parts.lifecycle.on_start("background", [held] { return start_now([held] { held->start(); }); });
    parts.lifecycle.on_drain(
        [held, time = time_for_jobs(settings.http.limits.drain)] { held->stop(time); });
    parts.lifecycle.on_close("background", [held] { return held->close(); });
    return {};
}

/// Last, because every route and every role has figures. What cannot be shared with the other
/// processes of the host is counted all the same.
void build_metrics(const Parts& parts, Roles& roles)
{
    const Settings& settings = parts.settings;
    const std::string instance = settings.http.instance ? std::to_string(*settings.http.instance)
                                                        : std::to_string(::getpid());
    add_metrics_route(parts.router, roles.figures, settings.metrics, instance);
    roles.request_figures = std::make_unique<RequestFigures>(roles.figures, parts.router);
    parts.service.observers.push_back(roles.request_figures.get());
    add_process_figures(roles.figures, parts.clock.wall_ms());
    const std::string unique = fmt::format("{}-{}", ::getpid(), random_token(6));
    if (const auto sealed = roles.figures.seal(settings.metrics.folder, unique); !sealed)
        parts.log.warn("metrics: this process counts for itself alone",
                       {{"reason", sealed.error().text()}});
    roles.refresher = std::make_unique<Refresher>(parts.io, roles.figures, kRefresh);
    Refresher* const refresher = roles.refresher.get();
    parts.lifecycle.on_start(
        "metrics", [refresher] { return start_now([refresher] { refresher->start(); }); });
    parts.lifecycle.on_close("metrics",
                             [refresher] { return run_now([refresher] { refresher->stop(); }); });
}

/// The server is ready while its database and Redis answer.
void add_checks(const Parts& parts, const Roles& roles)
{
    Store* const store = roles.store.get();
    parts.health.add("database", [store] { return ask_store(*store); });
    KeyValue* const values = roles.values.get();
    parts.health.add("redis", [values] { return ask_values(*values); });
}

void serve_with(Service& service, const Settings& settings, const Roles& roles)
{
    service.limiter = roles.limiter.get();
    service.authenticator = &roles.api->authenticator();
    const RateLimit& limit = settings.rate_limit.limit;
    service.rate_policy = fmt::format(
        "{};w={}", limit.max, std::chrono::ceil<std::chrono::seconds>(limit.window).count());
}

} // namespace

Result<void> build_roles(const Parts& parts, Roles& roles)
{
    if (auto made = make_data_dir(parts.settings.data_dir); !made) return made;
    add_basic_routes(parts.router, parts.settings.http.instance);
    add_openapi_route(parts.router);
    parts.health.add_routes(parts.router);
    if (auto built = build_shared(parts, roles); !built) return built;
    if (auto built = build_store(parts, roles); !built) return built;
    build_events(parts, roles);
    if (auto built = build_api(parts, roles); !built) return built;
    if (auto built = build_background(parts, roles); !built) return built;
    add_checks(parts, roles);
    build_metrics(parts, roles);
    serve_with(parts.service, parts.settings, roles);
    return {};
}

} // namespace cluster::app
