#include "app/http/service.hpp"

#include "app/base/ids.hpp"

#include <fmt/format.h>

#include <array>
#include <ctime>

namespace cluster::app {

RequestIds::RequestIds() : prefix_{random_token(9)} {}

std::string RequestIds::next()
{
    return fmt::format("{}-{:x}", prefix_, ++count_);
}

std::string_view DateText::of(std::int64_t wall_ms)
{
    const std::int64_t now_s = wall_ms / 1000;
    if (now_s == second_) return text_;
    const std::time_t seconds = now_s;
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 64> text{};
    text_.assign(text.data(),
                 std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts));
    second_ = now_s;
    return text_;
}

} // namespace cluster::app
