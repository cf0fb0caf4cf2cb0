#include "cli/log_pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <fmt/format.h>

#include <array>
#include <cstdint>

namespace cluster::cli {
namespace {

constexpr std::uint32_t kMostSteps = 1'000'000; ///< of one search; PCRE2's default is ten times it

std::string_view message_of(int code, std::array<PCRE2_UCHAR, 256>& text)
{
    const int size = ::pcre2_get_error_message(code, text.data(), text.size());
    return {reinterpret_cast<const char*>(text.data()),
            static_cast<std::size_t>(size < 0 ? 0 : size)};
}

} // namespace

struct LogPattern::Compiled {
    pcre2_code* code = nullptr;
    pcre2_match_data* match = nullptr;
    pcre2_match_context* limits = nullptr;
};

void LogPattern::Release::operator()(Compiled* compiled) const
{
    ::pcre2_match_context_free(compiled->limits);
    ::pcre2_match_data_free(compiled->match);
    ::pcre2_code_free(compiled->code);
    delete compiled;
}

std::expected<LogPattern, std::string> LogPattern::compile(const std::string& text,
                                                           bool ignore_case)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    const std::uint32_t options =
        PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | (ignore_case ? PCRE2_CASELESS : 0);
    std::unique_ptr<Compiled, Release> compiled{new Compiled};
    compiled->code = ::pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                     options, &code, &at, nullptr);
    if (compiled->code == nullptr) {
        std::array<PCRE2_UCHAR, 256> message{};
        return std::unexpected(fmt::format("the regular expression is wrong at character {}: {}",
                                           at + 1, message_of(code, message)));
    }
    // Without it (no memory may be executable, say) the interpreter does the same, slower.
    static_cast<void>(::pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE));
    compiled->match = ::pcre2_match_data_create(1, nullptr);
    compiled->limits = ::pcre2_match_context_create(nullptr);
    ::pcre2_set_match_limit(compiled->limits, kMostSteps);
    return LogPattern{std::move(compiled)};
}

bool LogPattern::matches(std::string_view line) const
{
    const auto search = [&](std::uint32_t options) {
        return ::pcre2_match(compiled_->code, reinterpret_cast<PCRE2_SPTR>(line.data()),
                             line.size(), 0, options, compiled_->match, compiled_->limits);
    };
    int found = search(0);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = search(PCRE2_NO_JIT);
    return found >= 0; // 0: a match with more groups than we asked for
}

} // namespace cluster::cli
