// The roles of the server and how each is built from the settings. A role whose state is shared has
// an embedded and a distributed form; which one is chosen here, once, and nowhere else.
#pragma once

#include "app/api.hpp"
#include "app/background.hpp"
#include "app/base/log.hpp"
#include "app/events/events.hpp"
#include "app/http/health.hpp"
#include "app/http/router.hpp"
#include "app/http/service.hpp"
#include "app/kv/key_value.hpp"
#include "app/lifecycle.hpp"
#include "app/limits/rate_limiter.hpp"
#include "app/metrics/refresher.hpp"
#include "app/metrics/registry.hpp"
#include "app/redis/redis.hpp"
#include "app/request_figures.hpp"
#include "app/settings.hpp"
#include "app/store/store.hpp"
#include "ipc/base/clock.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>

namespace cluster::app {

/// What the building of a role may use. All of it outlives the roles.
struct Parts {
    asio::io_context& io;
    const ipc::Clock& clock;
    Log& log;
    const Settings& settings;
    Router& router;       ///< routes are added to it
    Service& service;     ///< gets the limiter, the authenticator, the observers
    Health& health;       ///< checks are added to it
    Lifecycle& lifecycle; ///< what is to be started, told and closed
};

/// In the order in which they are built; destroyed in the opposite one.
struct Roles {
    Registry figures;
    std::unique_ptr<Redis> redis; ///< null without Redis
    std::unique_ptr<KeyValue> values;
    std::unique_ptr<RateLimiter> limiter; ///< null when nothing is limited
    std::unique_ptr<Store> store;
    std::unique_ptr<Events> events;               ///< to clients that are connected
    std::unique_ptr<ProjectEvents> live_projects; ///< what projects tell `events`
    std::unique_ptr<ExportEvents> live_exports;   ///< what exports do
    std::unique_ptr<Api> api;
    std::unique_ptr<Background> background;
    std::unique_ptr<RequestFigures> request_figures;
    std::unique_ptr<Refresher> refresher;
};

/// Builds them all. Errors: what cannot be opened, told to the user.
[[nodiscard]] Result<void> build_roles(const Parts& parts, Roles& roles);

} // namespace cluster::app
