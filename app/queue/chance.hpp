// A number from 0 to 1 by chance, for delays. From the loop's thread alone.
#pragma once

#include <random>

namespace cluster::app {

[[nodiscard]] inline double chance()
{
    static std::mt19937 generator{std::random_device{}()};
    return std::uniform_real_distribution{}(generator);
}

} // namespace cluster::app
