// Exports of projects over HTTP: asked for here, made by a worker (export_maker.hpp).
//
//   POST /api/projects/{id}/export   202, a job in the queue
//   GET  /api/exports/{id}           how far it is; a link once it is done
//
// Only for who may see the project, at the time of the asking.
#pragma once

#include "app/files/file_store.hpp"
#include "app/http/router.hpp"
#include "app/queue/queue.hpp"
#include "app/store/store.hpp"
#include "ipc/base/clock.hpp"

namespace cluster::app {

class Exports {
public:
    /// All must outlive it. `link_life`: of the links to the files.
    Exports(Queue& queue, ProjectStore& projects, FileStore& files, const ipc::Clock& clock,
            std::chrono::seconds link_life)
        : queue_{queue}, projects_{projects}, files_{files}, clock_{clock}, link_life_{link_life}
    {
    }
    /// It must outlive the router.
    void add_to(Router& router);

    asio::awaitable<Response> create(Request& request);
    asio::awaitable<Response> show(Request& request);

private:
    asio::awaitable<std::optional<Response>> refusal(std::string project_id, std::string user_id,
                                                     Response if_not);

    Queue& queue_;
    ProjectStore& projects_;
    FileStore& files_;
    const ipc::Clock& clock_;
    std::chrono::seconds link_life_;
};

} // namespace cluster::app
