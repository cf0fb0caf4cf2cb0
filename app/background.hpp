// The roles beside the requests: the background queue, the files, and the exports that need both.
// Built once, on top of a store. A worker (clusterapp --worker) works for the queue and answers
// nobody; a server answers, and works too when it is alone on its host.
#pragma once

#include "app/exports/export_maker.hpp"
#include "app/exports/exports.hpp"
#include "app/files/file_store.hpp"
#include "app/files/options.hpp"
#include "app/files/routes.hpp"
#include "app/queue/depths.hpp"
#include "app/queue/options.hpp"
#include "app/queue/routes.hpp"
#include "app/queue/worker.hpp"
#include "app/redis/redis.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>
#include <string>
#include <vector>

namespace cluster::app {

struct BackgroundOptions {
    QueueOptions queue{};
    FileOptions files{};
    std::string font{};                ///< EXPORT_FONT, see PdfWriter
    std::vector<std::string> admins{}; ///< ADMIN_EMAILS
    bool works = false;                ///< takes jobs of the queue
};

/// WORKER_INLINE (`alone`: its default) and what queue, files and exports read.
[[nodiscard]] BackgroundOptions read_background_options(Environment& environment, bool alone);

class Background {
public:
    /// What it stands on; all of it outlives it.
    struct Ground {
        asio::io_context& io;
        const ipc::Clock& clock;
        Log& log;
        Store& store;
        Redis* redis; ///< may be null
        Metrics& metrics;
        ExportEvents& events;
    };

    /// `options.files.link_secret` is set. Errors: a file or folder that cannot be made.
    [[nodiscard]] static Result<std::unique_ptr<Background>> build(Ground ground,
                                                                   BackgroundOptions options);

    /// It must outlive the router.
    void add_routes(Router& router, Authenticator& authenticator);
    void start();
    /// No more jobs; those under way have `drain` to finish.
    void stop(milliseconds drain);
    /// Returns when nothing is held any more. Without a `stop` before there is no drain.
    asio::awaitable<void> close();

private:
    Background(Ground ground, BackgroundOptions options, std::unique_ptr<Queue> queue,
               std::unique_ptr<FileStore> files);

    Ground ground_;
    BackgroundOptions options_;
    std::unique_ptr<Queue> queue_;
    std::unique_ptr<FileStore> files_;
    QueueDepths depths_;
    ExportMaker maker_;
    QueueWorker worker_;
    Exports exports_;
    QueueRoutes queue_routes_;
    std::unique_ptr<FileRoutes> file_routes_;
    asio::steady_timer ended_; ///< cancelled when the worker has ended
    bool working_ = false;
};

} // namespace cluster::app
