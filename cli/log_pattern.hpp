// The regular expression of `logs --grep`: PCRE2, compiled to machine code where the machine lets
// it.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>

namespace cluster::cli {

/// A compiled regular expression. Searching one changes its scratch space: not for two threads.
class LogPattern {
public:
    /// `text`: Perl's syntax, UTF-8. Errors: what is wrong and at which character, for a person.
    static std::expected<LogPattern, std::string> compile(const std::string& text,
                                                          bool ignore_case);

    /// Does the line hold a match? Bytes that are not UTF-8 match nothing. A search that takes too
    /// long (the pattern backtracks without end) counts as none.
    [[nodiscard]] bool matches(std::string_view line) const;

private:
    struct Compiled;
    struct Release {
        void operator()(Compiled* compiled) const;
    };
    explicit LogPattern(std::unique_ptr<Compiled, Release> compiled)
        : compiled_{std::move(compiled)}
    {
    }
    std::unique_ptr<Compiled, Release> compiled_;
};

} // namespace cluster::cli
