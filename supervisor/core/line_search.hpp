// Looks for a pattern in the lines of a worker's output (a probe of kind `log`). Pure. The work is
// done in small portions, so that output in floods and costly patterns hold nobody up.
#pragma once

#include <cstddef>
#include <deque>
#include <expected>
#include <regex>
#include <string>
#include <string_view>

namespace cluster::supervisor {

class LineSearch {
public:
    /// `pattern` is an ECMAScript expression without back-references: those have no bound on the
    /// time that they take. The error is the reason, to stand after "the pattern cannot be used: ".
    static std::expected<LineSearch, std::string> make(const std::string& pattern);

    /// Bytes of one stream, cut anywhere.
    void push(std::string_view bytes);
    /// There is something to look at.
    [[nodiscard]] bool pending() const { return !lines_.empty(); }
    /// Looks at the next line; true when it matches.
    bool look();

    /// Of a longer line only the beginning is looked at: a search takes time that grows with the
    /// square of the length (18 ms for ".*x" in 1 KiB).
    static constexpr std::size_t kMaxLineBytes = 1024;
    /// More than this is not kept waiting: the lines that come then are not looked at.
    static constexpr std::size_t kMaxPendingBytes = std::size_t{256} * 1024;

private:
    explicit LineSearch(std::regex pattern) : pattern_{std::move(pattern)} {}

    std::regex pattern_;
    std::string unfinished_;
    std::deque<std::string> lines_;
    std::size_t pending_bytes_ = 0;
};

} // namespace cluster::supervisor
