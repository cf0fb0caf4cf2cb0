// Lines of several logs as one, by time. Each log keeps its own order, whatever its times say;
// lines of the same time stay in the order of the logs. Pure.
#pragma once

#include "cli/log_reader.hpp"

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace cluster::cli {

class LogMerge {
public:
    explicit LogMerge(std::vector<std::unique_ptr<LineSource>> sources);

    /// On to the next line; false when there is none.
    bool next();
    [[nodiscard]] std::size_t source() const { return heads_.front().source; }
    [[nodiscard]] std::string_view text() const { return sources_[source()]->text(); }
    [[nodiscard]] std::int64_t at() const { return heads_.front().at; }

private:
    struct Head { ///< the next line of a source
        std::int64_t at = 0;
        std::size_t source = 0;
    };
    static bool later(const Head& a, const Head& b);

    void advance();

    std::vector<std::unique_ptr<LineSource>> sources_;
    std::vector<Head> heads_; ///< a heap, the first of all lines in front
    bool begun_ = false;
};

} // namespace cluster::cli
