// What is counted about Redis. Without Metrics nothing is, at no cost.
#pragma once

#include "app/metrics/metrics.hpp"

namespace cluster::app {

struct RedisFigures {
    Counter* commands = nullptr;   ///< sent
    Counter* errors = nullptr;     ///< of those: refused, timed out or lost
    Histogram* seconds = nullptr;  ///< from the call to its answer
    Counter* reconnects = nullptr; ///< connections made again after a loss

    static void add(Counter* counter)
    {
        if (counter != nullptr) counter->add();
    }
};

} // namespace cluster::app
