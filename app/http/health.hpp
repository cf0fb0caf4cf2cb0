// How the server says that it is well: /health, /health/live, /health/ready. What it depends on is
// asked by named checks that the roles bring along; a check is asked at most once per half second,
// whoever wants to know.
#pragma once

#include "app/http/router.hpp"
#include "app/http/service.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <list>
#include <optional>
#include <string>

namespace cluster::app {

/// What a check found. `detail` goes into the answer beside "status" and "latency_ms".
struct Finding {
    Result<void> outcome;
    json detail = json::object(); ///< {"form": "postgresql"}
};

class Health {
public:
    /// `service` must outlive it. `started`: `clock.now()` at start-up.
    Health(asio::io_context& io, const Service& service, std::optional<int> instance,
           milliseconds started);

    using Ask = std::function<asio::awaitable<Finding>()>;
    /// `name` is the word in "checks": "database". Errors of `ask` make the server not ready.
    void add(std::string name, Ask ask);

    /// /health, /health/live and /health/ready.
    void add_routes(Router& router);

    /// Whether all that it depends on answers now.
    asio::awaitable<bool> well();

private:
    struct Check {
        std::string name;
        Ask ask;
        asio::steady_timer changed; ///< wakes those who wait for the answer
        bool asking = false;
        std::optional<milliseconds> asked{}; ///< when it was last answered
        bool up = false;
        milliseconds latency{0};
        json detail = json::object();
    };

    [[nodiscard]] json describe(std::string_view status) const;
    asio::awaitable<void> refresh();
    asio::awaitable<void> ask(Check& check);
    [[nodiscard]] bool is_fresh(const Check& check) const;
    [[nodiscard]] json report() const;
    asio::awaitable<Response> live(Request& request);
    asio::awaitable<Response> ready(Request& request);

    asio::io_context& io_;
    const Service& service_;
    std::optional<int> instance_;
    milliseconds started_;
    std::list<Check> checks_; ///< a list, because coroutines refer to its elements
};

} // namespace cluster::app
