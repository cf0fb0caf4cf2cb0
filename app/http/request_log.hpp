// The access log, one line per request on stdout, and the error log, one line on stderr per request
// that failed on our side. Both carry the request's id.
#pragma once

#include "app/base/line_log.hpp"
#include "app/base/line_sink.hpp"
#include "app/http/observer.hpp"
#include "ipc/base/clock.hpp"

#include <cstdint>
#include <string>

namespace cluster::app {

/// {"time", "level", "message": "request", "id", "method", "path", "route", "status",
/// "duration_ms", "bytes", "client", "user"} and a newline. What is unknown is null.
[[nodiscard]] std::string access_line(LogFormat format, std::int64_t wall_ms, LogLevel level,
                                      const Finished& finished);

class RequestLog final : public Observer {
public:
    /// `access`: whether there is an access log at all.
    RequestLog(const ipc::Clock& clock, Log& log, LineSink& out, LogFormat format, bool access)
        : clock_{clock}, log_{log}, out_{out}, format_{format}, access_{access}
    {
    }
    void request_finished(const Finished& finished) override;

private:
    const ipc::Clock& clock_;
    Log& log_;
    LineSink& out_;
    LogFormat format_;
    bool access_;
};

} // namespace cluster::app
