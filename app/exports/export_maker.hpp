// Makes the exports that are in the queue: reads the project, writes the PDF on a thread of its own
// pool, some slides at a time, stores it, and tells how far it is.
#pragma once

#include "app/base/pool.hpp"
#include "app/exports/events.hpp"
#include "app/exports/export_job.hpp"
#include "app/exports/pdf.hpp"
#include "app/files/file_store.hpp"
#include "app/queue/worker.hpp"
#include "app/store/store.hpp"

namespace cluster::app {

class ExportMaker {
public:
    /// All must outlive it; it must be gone before `io`. `font`: see PdfWriter.
    ExportMaker(asio::io_context& io, ProjectStore& projects, FileStore& files,
                ExportEvents& events, std::string font, unsigned threads)
        : projects_{projects}, files_{files}, events_{events}, font_{std::move(font)},
          pool_{io, "pdf", threads, 1024}
    {
    }
    ~ExportMaker() { pool_.stop(); }
    ExportMaker(const ExportMaker&) = delete;
    ExportMaker& operator=(const ExportMaker&) = delete;

    /// A QueueHandler. The same export made twice is stored in one place.
    asio::awaitable<Result<std::string>> handle(const QueueJob& job, QueueHold& hold);

private:
    asio::awaitable<Result<std::string>> make(const QueueJob& job, const ExportOrder& order,
                                              QueueHold& hold);
    asio::awaitable<Result<std::string>> render(const QueueJob& job, const Project& project,
                                                QueueHold& hold);
    asio::awaitable<void> tell(const QueueJob& job, const std::string& project_id, QueueState state,
                               int percent, QueueHold& hold);

    ProjectStore& projects_;
    FileStore& files_;
    ExportEvents& events_;
    std::string font_;
    Pool pool_;
};

/// EXPORT_FONT, or the usual font of the system. A path that is not there is a fault.
[[nodiscard]] std::string read_export_font(Environment& environment);

} // namespace cluster::app
