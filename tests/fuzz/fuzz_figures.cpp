// Any bytes as the description of figures, and as the figures themselves: what other versions,
// crashes and strangers leave in METRICS_DIR.
#include "app/metrics/figure_file.hpp"
#include "app/metrics/totals.hpp"
#include "ipc/base/check.hpp"

#include <cstdint>
#include <string>
#include <vector>

using namespace cluster;
using namespace cluster::app;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string bytes{reinterpret_cast<const char*>(data), size};
    Descriptions descriptions;
    if (const auto figures = parse_figures(bytes, descriptions)) {
        Totals totals;
        totals.add(figures->snapshot, true);
        totals.add(figures->snapshot, false);
        static_cast<void>(totals.text({{"instance", "0"}}));
        const Snapshot lasting = totals.lasting();
        const auto again = parse_description(describe(*lasting.series));
        CLUSTER_CHECK(again && *again->series == *lasting.series, "it reads what it writes");
    }
    // Without a header in front, the description alone.
    if (const auto description = parse_description(bytes)) {
        Totals totals;
        totals.add({.series = description->series,
                    .cells = std::vector<std::uint64_t>(description->cells, ~std::uint64_t{0})},
                   true);
        static_cast<void>(totals.text());
    }
    return 0;
}
