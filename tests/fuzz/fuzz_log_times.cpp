// The index beside a log file, as a killed writer or a full disk may have left it: any bytes. What
// is read ascends, and what is written from it reads the same.
#include "ipc/base/check.hpp"
#include "ipc/wire/log_times.hpp"
#include "ipc/wire/rotated_name.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace cluster::ipc;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view bytes{reinterpret_cast<const char*>(data), size};
    CLUSTER_CHECK(whole_log_times(bytes) <= size, "no more than there is");
    const std::vector<LogTime> times = decode_log_times(bytes);
    CLUSTER_CHECK(std::ranges::is_sorted(times, {}, &LogTime::offset), "offsets ascend");

    std::string written;
    std::optional<LogTime> before;
    for (const LogTime& time : times) {
        written += encode_log_time(time, before);
        before = time;
    }
    CLUSTER_CHECK(whole_log_times(written) == written.size(), "what we write is whole");
    CLUSTER_CHECK(decode_log_times(written) == times, "and reads the same");

    if (const auto name = parse_rotated(bytes)) {
        CLUSTER_CHECK(!name->base.empty(), "a rotated file has a log file");
        CLUSTER_CHECK(rotation_stamp(stamp_time(name->stamp)) == name->stamp, "a stamp is a time");
    }
    return 0;
}
