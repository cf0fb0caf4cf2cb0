#include "app/application.hpp"

#include "ipc/base/notify.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <utility>

namespace cluster::app {
namespace {

/// For closing the roles, after the time of the draining is over.
constexpr milliseconds kCloseTime{500};
constexpr milliseconds kSlowReader{10};

Result<std::vector<ListeningSocket>> open_sockets(const HttpOptions& options, bool worker)
{
    if (!options.passed.empty()) return take_over(options.passed);
    std::vector<ListeningSocket> sockets;
    if (worker) return sockets;
    auto bound = bind_listener(options.host, options.port);
    if (!bound) return std::unexpected(bound.error());
    sockets.push_back(std::move(*bound));
    return sockets;
}

} // namespace

Clusterapp::Clusterapp(Settings settings, const ipc::Clock& clock, Log& log, LineSink& out)
    : settings_{std::move(settings)}, log_{log}, out_{out}, signals_{io_, SIGINT, SIGTERM},
      last_moment_{io_}, slow_reader_{io_},
      request_log_{clock, log, out, settings_.log_format, settings_.http.access_log},
      service_{.clock = clock,
               .router = router_,
               .log = log,
               .limits = settings_.http.limits,
               .trusted = settings_.http.trusted,
               .observers = {&request_log_}},
      health_{io_, service_, settings_.http.instance, clock.now()}, lifecycle_{log}
{
    out_.batch([this] { asio::post(io_, [this] { out_.flush(); }); }, [this] { flush_later(); });
}

Clusterapp::~Clusterapp()
{
    out_.batch(nullptr, nullptr);
}

/// The reader of our output is slow: once more in a moment.
void Clusterapp::flush_later()
{
    slow_reader_.expires_after(kSlowReader);
    slow_reader_.async_wait([this](const boost::system::error_code& code) {
        if (!code) out_.flush();
    });
}

int Clusterapp::run()
{
    auto sockets = open_sockets(settings_.http, settings_.worker);
    const Parts parts{.io = io_,
                      .clock = service_.clock,
                      .log = log_,
                      .settings = settings_,
                      .router = router_,
                      .service = service_,
                      .health = health_,
                      .lifecycle = lifecycle_};
    const Result<void> built =
        sockets ? build_roles(parts, roles_) : std::unexpected(sockets.error());
    if (!built) {
        log_.error(built.error().text());
        return EXIT_FAILURE;
    }
    server_ = std::make_unique<Server>(io_, service_, std::move(*sockets), [this] { close(); });
    server_->on_drain([this] { lifecycle_.drain(); });
    wait_for_signal();
    start();
    io_.run();
    out_.batch(nullptr, nullptr);
    slow_reader_.cancel();
    if (closed_) run_dry();
    out_.finish(kCloseTime);
    return failed_ ? EXIT_FAILURE : EXIT_SUCCESS;
}

/// Once all is closed nothing should keep the loop; who does would be met by its own coroutines
/// after its end, so then we leave without destroying anything.
void Clusterapp::run_dry()
{
    io_.restart();
    io_.run_for(kCloseTime);
    if (io_.stopped()) return;
    stuck_ = true;
    log_.warn("a role keeps the loop going after it was closed");
}

void Clusterapp::start()
{
    asio::co_spawn(io_, lifecycle_.start(),
                   [this](const std::exception_ptr& failure, const Result<void>& outcome) {
                       started(failure ? ipc::fail(std::error_code{}, "the start-up failed")
                                       : outcome);
                   });
}

void Clusterapp::started(const Result<void>& outcome)
{
    if (!service_.ready) return; // a signal came first
    if (!outcome) {
        log_.error(outcome.error().text());
        failed_ = true;
        service_.ready = false;
        end_soon(kCloseTime);
        return close();
    }
    serving_ = true;
    for (const std::string& label : server_->labels())
        log_.info("listening on " + label);
    if (settings_.worker) log_.info("working for the background queue");
    server_->start();
    tell("READY=1");
}

/// The first signal drains, a second one drops what is left.
void Clusterapp::wait_for_signal()
{
    signals_.async_wait([this](const boost::system::error_code& code, int number) {
        if (!code) begin_drain(number); // else it ends already
    });
}

void Clusterapp::begin_drain(int number)
{
    if (!service_.ready) return; // the start-up has failed
    log_.info("finishing what is in flight", {{"signal", number == SIGINT ? "SIGINT" : "SIGTERM"}});
    tell("STOPPING=1");
    signals_.async_wait([this](const boost::system::error_code& code, int) {
        if (code) return;
        server_->cut();
        end_soon(kCloseTime);
    });
    end_soon(service_.limits.drain + kCloseTime);
    if (serving_) return server_->drain();
    service_.ready = false;
    close();
}

/// Whatever has not ended after `time` is left as it is.
void Clusterapp::end_soon(milliseconds time)
{
    last_moment_.expires_after(time);
    last_moment_.async_wait([this](const boost::system::error_code& code) {
        if (code) return;
        stuck_ = true;
        failed_ = true;
        log_.error("what is in flight did not end in time",
                   {{"connections", server_->connections()}});
        io_.stop();
    });
}

/// After the last session: closes the roles.
void Clusterapp::close()
{
    if (server_->dropped() > 0) {
        failed_ = true;
        log_.error("dropped connections that did not end in time",
                   {{"connections", server_->dropped()}});
    }
    asio::co_spawn(io_, lifecycle_.close(), [this](const std::exception_ptr&) {
        closed_ = true;
        signals_.cancel();
        last_moment_.cancel();
        io_.stop(); // see run_dry
    });
}

void Clusterapp::tell(std::string_view state)
{
    if (const auto told = ipc::notify(settings_.http.notify_socket, state); !told)
        log_.warn(told.error().text());
}

} // namespace cluster::app
