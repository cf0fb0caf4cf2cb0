#include "ipc/base/result.hpp"

#include <doctest/doctest.h>

#include <cerrno>

using namespace cluster::ipc;

TEST_CASE("errors: text is the operation, its object and the system's reason as one sentence")
{
    const struct {
        int error;
        const char* what;
        const char* want;
    } rows[] = {
        {ENOENT, "open /run/x.sock", "open /run/x.sock: no such file or directory"},
        {EACCES, "kill 7", "kill 7: permission denied"},
    };
    for (const auto& row : rows) {
        const Result<int> result = fail(row.error, row.what);
        REQUIRE(!result);
        CHECK(result.error().text() == row.want);
        CHECK(result.error().code.value() == row.error);
        CHECK((result.error().code.category() == std::system_category()));
    }
}

TEST_CASE("errors: without a code the operation is the whole text")
{
    CHECK(Error{{}, "unknown user nobdy"}.text() == "unknown user nobdy");
}
