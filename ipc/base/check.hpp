// For broken invariants, never for input: prints what was expected and aborts.
#pragma once

#include <cstdio>
#include <cstdlib>

#define CLUSTER_CHECK(cond, why)                                                                   \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            std::fprintf(stderr, "%s:%d: broken invariant: %s (%s)\n", __FILE__, __LINE__, why,    \
                         #cond);                                                                   \
            std::abort();                                                                          \
        }                                                                                          \
    } while (false)
