// The server as a whole: builds every role from the settings, starts them in order, serves, and
// closes them in the opposite order.
//
//   starting ──roles are open──▶ serving ──signal──▶ draining ──last session gone──▶ closing ──▶
//   end
//       └──signal, or a role failed──────────────────────────────────────────────────┘
//
// One thread, one io_context. `main` makes the log and the clock.
#pragma once

#include "app/base/line_sink.hpp"
#include "app/http/health.hpp"
#include "app/http/listener.hpp"
#include "app/http/request_log.hpp"
#include "app/http/router.hpp"
#include "app/http/server.hpp"
#include "app/http/service.hpp"
#include "app/lifecycle.hpp"
#include "app/roles.hpp"
#include "app/settings.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>

namespace cluster::app {

class Clusterapp {
public:
    /// `out` is where the access log goes.
    Clusterapp(Settings settings, const ipc::Clock& clock, Log& log, LineSink& out);
    ~Clusterapp();

    /// Serves until a signal ends it. Returns the exit code: 0 after a clean end, 1 when it could
    /// not start, or when connections or roles did not end in time.
    int run();
    /// After `run`: something has not ended and would be met by its own coroutines while it is
    /// destroyed; the process must leave without that.
    [[nodiscard]] bool stuck() const { return stuck_; }

private:
    void start();
    void started(const Result<void>& outcome);
    void wait_for_signal();
    void begin_drain(int number);
    void end_soon(milliseconds time);
    void close();
    void run_dry();
    void flush_later();
    void tell(std::string_view state);

    Settings settings_;
    Log& log_;
    LineSink& out_;
    asio::io_context io_{1};
    asio::signal_set signals_;
    asio::steady_timer last_moment_; ///< what has not ended by then is left
    asio::steady_timer slow_reader_;
    Router router_;
    RequestLog request_log_;
    Service service_;
    Health health_;
    Lifecycle lifecycle_;
    Roles roles_;
    std::unique_ptr<Server> server_;
    bool failed_ = false;
    bool serving_ = false;
    bool closed_ = false;
    bool stuck_ = false;
};

} // namespace cluster::app
