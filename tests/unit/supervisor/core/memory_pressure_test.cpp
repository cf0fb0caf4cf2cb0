#include "supervisor/core/memory_pressure.hpp"

#include <doctest/doctest.h>

using namespace cluster::supervisor;

TEST_CASE("memory pressure: the further above, the less CPU time")
{
    const struct {
        const char* name;
        std::uint64_t memory;
        int now;
        int want;
    } rows[] = {
        {"nothing is used", 0, kWholeShare, kWholeShare},
        {"below", 1599, kWholeShare, kWholeShare},
        {"at it", 1600, kWholeShare, kWholeShare},
        {"a little above", 1601, kWholeShare, 450},
        {"five percent above", 1680, kWholeShare, 400},
        {"ten percent above", 1760, 450, 300},
        {"much above", 2000, 450, 50},
        {"further above than numbers go", ~std::uint64_t{0}, 450, 50},
        {"again a little above", 1601, 50, 450},
        {"just below: not yet well", 1599, 450, 500},
        {"still not", 1501, 500, 500},
        {"a sixteenth below: well again", 1500, 500, kWholeShare},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(cpu_share(row.memory, 1600, row.now) == row.want);
    }
}

TEST_CASE("memory pressure: a small limit is one too")
{
    CHECK(cpu_share(1, 1, kWholeShare) == kWholeShare);
    CHECK(cpu_share(2, 1, kWholeShare) == 50);
}
