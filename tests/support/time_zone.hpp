// The time zone of the process, for one test.
#pragma once

#include <cstdlib>
#include <ctime>

namespace cluster::tests {

/// The process's time zone, for one test.
class Zone {
public:
    explicit Zone(const char* zone)
    {
        ::setenv("TZ", zone, 1);
        ::tzset();
    }
    Zone(const Zone&) = delete;
    Zone& operator=(const Zone&) = delete;
    ~Zone()
    {
        ::unsetenv("TZ");
        ::tzset();
    }
};

} // namespace cluster::tests
