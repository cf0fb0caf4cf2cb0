#include "app/background.hpp"

#include "app/admin_rule.hpp"
#include "app/files/make_store.hpp"
#include "app/queue/make_queue.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace cluster::app {
namespace {

std::vector<std::string> queue_names()
{
    return {kExportQueue};
}

} // namespace

BackgroundOptions read_background_options(Environment& environment, bool alone)
{
    return {.queue = read_queue_options(environment),
            .files = read_file_options(environment),
            .font = read_export_font(environment),
            .admins = environment.list("ADMIN_EMAILS"),
            .works = environment.flag("WORKER_INLINE", alone)};
}

Result<std::unique_ptr<Background>> Background::build(Ground ground, BackgroundOptions options)
{
    auto queue = make_queue(ground.io, ground.clock, ground.redis, options.queue);
    if (!queue) return std::unexpected(queue.error());
    auto files = make_file_store(ground.io, ground.clock, ground.log, options.files);
    if (!files) return std::unexpected(files.error());
    return std::unique_ptr<Background>{
        new Background{ground, std::move(options), std::move(*queue), std::move(*files)}};
}

Background::Background(Ground ground, BackgroundOptions options, std::unique_ptr<Queue> queue,
                       std::unique_ptr<FileStore> files)
    : ground_{ground}, options_{std::move(options)}, queue_{std::move(queue)},
      files_{std::move(files)}, depths_{ground.io, *queue_, ground.metrics, queue_names()},
      maker_{ground.io,     ground.store,  *files_,
             ground.events, options_.font, static_cast<unsigned>(options_.queue.concurrency)},
      worker_{ground.io,
              *queue_,
              ground.clock,
              ground.log,
              declare_queue_figures(ground.metrics, kExportQueue),
              kExportQueue,
              options_.queue,
              [this](const QueueJob& job, QueueHold& hold) { return maker_.handle(job, hold); }},
      exports_{*queue_, ground.store, *files_, ground.clock, options_.files.link_life},
      queue_routes_{*queue_, queue_names(), make_admin_rule(ground.store, options_.admins)},
      ended_{ground.io}
{
}

void Background::add_routes(Router& router, Authenticator& authenticator)
{
    file_routes_ =
        std::make_unique<FileRoutes>(*files_, ground_.clock, &authenticator, options_.files);
    file_routes_->add_to(router);
    exports_.add_to(router);
    queue_routes_.add_to(router);
}

void Background::start()
{
    depths_.start();
    if (!options_.works) return;
    working_ = true;
    asio::co_spawn(ground_.io, worker_.run(), [this](const std::exception_ptr& failure) {
        if (failure) ground_.log.error("the worker ended in an exception");
        working_ = false;
        ended_.cancel();
    });
}

void Background::stop(milliseconds drain)
{
    depths_.stop();
    worker_.stop(drain); // the first one counts
}

asio::awaitable<void> Background::close()
{
    stop(milliseconds{0}); // after a start-up that failed nobody has said so
    while (working_) {     // the drain has a limit, and so has all after it
        ended_.expires_after(std::chrono::hours{1});
        auto waiting = ended_.async_wait(asio::as_tuple(asio::use_awaitable));
        co_await std::move(waiting);
    }
    files_->close();
}

} // namespace cluster::app
