// The real log of a process: lines to stdout and stderr.
#pragma once

#include "app/base/line_sink.hpp"
#include "app/base/log.hpp"
#include "ipc/base/clock.hpp"

#include <cstdint>
#include <string>

namespace cluster::app {

enum class LogFormat { json, text };

[[nodiscard]] std::string_view name_of(LogLevel level);

/// `text` as a JSON string with its quotes; bytes that are no UTF-8 are replaced.
void append_json_string(std::string& out, std::string_view text);

/// One line of the log, with its newline.
[[nodiscard]] std::string log_line(LogFormat format, std::int64_t wall_ms, LogLevel level,
                                   std::string_view message, const json& fields);

class LineLog final : public Log {
public:
    /// Warnings and errors go to `err`, after what was said before them on `out`.
    LineLog(const ipc::Clock& clock, LogLevel least, LogFormat format, LineSink& out, LineSink& err)
        : clock_{clock}, least_{least}, format_{format}, out_{out}, err_{err}
    {
    }
    void write(LogLevel level, std::string_view message, const json& fields) override;
    [[nodiscard]] bool wants(LogLevel level) const override { return level >= least_; }

private:
    const ipc::Clock& clock_;
    LogLevel least_;
    LogFormat format_;
    LineSink& out_;
    LineSink& err_;
};

} // namespace cluster::app
