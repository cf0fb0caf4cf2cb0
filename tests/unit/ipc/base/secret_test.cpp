#include "ipc/base/secret.hpp"

#include <doctest/doctest.h>

using cluster::ipc::equal_in_constant_time;

TEST_CASE("secrets: equal is what has the same bytes")
{
    CHECK(equal_in_constant_time("abc", "abc"));
    CHECK(equal_in_constant_time("", ""));
    for (const char* const other : {"abd", "bbc", "ab", "abcd", ""})
        CHECK_FALSE(equal_in_constant_time(other, "abc"));
}
