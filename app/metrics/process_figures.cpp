#include "app/metrics/registry.hpp"
#include "ipc/base/text.hpp"
#include "ipc/base/version.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

namespace cluster::app {
namespace {

double cpu_seconds()
{
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// The second number of /proc/self/statm (man 5 proc), in pages.
double resident_bytes()
{
    std::ifstream file{"/proc/self/statm"};
    double size = 0;
    double resident = 0;
    file >> size >> resident;
    return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

double open_descriptors()
{
    std::error_code code;
    double count = -1; // the one that reads the folder
    for (std::filesystem::directory_iterator at{"/proc/self/fd", code}, end; !code && at != end;
         at.increment(code))
        ++count;
    return count;
}

} // namespace

void add_process_figures(Registry& registry, std::int64_t started_wall_ms)
{
    registry.gauge("clusterapp_instances", "Processes of clusterapp that run on this host.", {})
        .set(1);
    registry
        .gauge("clusterapp_build_info", "Processes of clusterapp by version.",
               {{"version", ipc::version()}})
        .set(1);
    registry
        .gauge("process_start_time_seconds",
               "When the process was started, since 1970; of several, the latest.", {})
        .set(static_cast<double>(started_wall_ms) / 1000);
    Gauge& cpu = registry.measured_counter("process_cpu_seconds_total",
                                           "CPU time that the processes have used.", {});
    Gauge& memory =
        registry.gauge("process_resident_memory_bytes", "Resident memory of the processes.", {});
    Gauge& descriptors =
        registry.gauge("process_open_fds", "File descriptors that the processes have open.", {});
    registry.before_scrape([&cpu, &memory, &descriptors] {
        cpu.set(cpu_seconds());
        memory.set(resident_bytes());
        descriptors.set(open_descriptors());
    });
}

} // namespace cluster::app
