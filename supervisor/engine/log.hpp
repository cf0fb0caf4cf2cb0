// The daemon's own log ($CLUSTER_HOME/clusterd.log, or stderr in the foreground).
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace cluster::supervisor {

class Log {
public:
    /// Appends to `path`; "-" is stderr. A file that cannot be opened falls back to stderr.
    static std::unique_ptr<Log> open(const std::string& path, std::string_view who);

    virtual ~Log() = default;
    virtual void info(std::string_view text) = 0;
    virtual void warn(std::string_view text) = 0;
    virtual void error(std::string_view text) = 0;

    /// Its disk does not answer: from now on what is said is kept, the last 1000 lines of it at
    /// most, and written when `hold` is called with false.
    virtual void hold(bool) {}
};

} // namespace cluster::supervisor
