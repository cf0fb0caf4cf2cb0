#include "supervisor/engine/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cstddef>
#include <deque>
#include <utility>

namespace cluster::supervisor {
namespace {

constexpr std::size_t kMostKept = 1000;

class SpdLog final : public Log {
public:
    explicit SpdLog(spdlog::sink_ptr sink, std::string_view who)
        : logger_{std::string{who}, std::move(sink)}
    {
        logger_.set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %n %-5l %v");
        logger_.flush_on(spdlog::level::info); // a daemon that is killed has said what it knew
    }
    void info(std::string_view text) override { say(spdlog::level::info, text); }
    void warn(std::string_view text) override { say(spdlog::level::warn, text); }
    void error(std::string_view text) override { say(spdlog::level::err, text); }

    void hold(bool held) override
    {
        held_ = held;
        if (held) return;
        for (const Line& line : std::exchange(kept_, {}))
            logger_.log(line.at, {}, line.level, line.text);
    }

private:
    struct Line {
        spdlog::log_clock::time_point at;
        spdlog::level::level_enum level;
        std::string text;
    };

    void say(spdlog::level::level_enum level, std::string_view text)
    {
        if (!held_) return logger_.log(level, "{}", text);
        if (kept_.size() == kMostKept) kept_.pop_front();
        kept_.push_back({spdlog::log_clock::now(), level, std::string{text}});
    }

    spdlog::logger logger_;
    bool held_ = false;
    std::deque<Line> kept_;
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
