#include "supervisor/engine/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <utility>

namespace cluster::supervisor {
namespace {

class SpdLog final : public Log {
public:
    explicit SpdLog(spdlog::sink_ptr sink, std::string_view who)
        : logger_{std::string{who}, std::move(sink)}
    {
        logger_.set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %n %-5l %v");
        logger_.flush_on(spdlog::level::info); // a daemon that is killed has said what it knew
    }
    void info(std::string_view text) override { logger_.info("{}", text); }
    void warn(std::string_view text) override { logger_.warn("{}", text); }
    void error(std::string_view text) override { logger_.error("{}", text); }

private:
    spdlog::logger logger_;
};

} // namespace

std::unique_ptr<Log> Log::open(const std::string& path, std::string_view who)
{
    if (path != "-") {
        try {
            return std::make_unique<SpdLog>(
                std::make_shared<spdlog::sinks::basic_file_sink_mt>(path), who);
        } catch (const spdlog::spdlog_ex&) {
            // No log is no reason not to supervise; stderr may still reach somebody.
        }
    }
    return std::make_unique<SpdLog>(std::make_shared<spdlog::sinks::stderr_sink_mt>(), who);
}

} // namespace cluster::supervisor
