// The folder in which the processes of one host keep their figures (METRICS_DIR):
//
//   PID-RANDOM.figures   one process, running or ended
//   ended.figures        the sums of those that have ended and whose files are gone
//   lock                 held while `ended` is changed
//
// Nobody waits for anybody: a scrape reads all files without the lock and reads again when `ended`
// was changed meanwhile; who finds the lock taken leaves the folding to its holder. `ended` names
// the files that it holds, so that a kill between writing it and removing them counts nothing
// twice.
#pragma once

#include "app/metrics/figure_file.hpp"
#include "app/metrics/totals.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::app {

class HostFigures {
public:
    explicit HostFigures(std::string folder) : folder_{std::move(folder)} {}

    /// The sums over all processes of the folder. `own` comes first: what it counts is described
    /// as it says. `own_name` is that of its file (not the path), which is not read.
    [[nodiscard]] Totals read(const Snapshot& own, const std::string& own_name);

    /// Adds the files of processes that have ended to `ended` and removes them. Errors are of the
    /// file system; nothing is lost then.
    [[nodiscard]] Result<void> fold();

    [[nodiscard]] std::string path_of(std::string_view name) const;

private:
    struct Gathered;

    [[nodiscard]] ReadFigures read_ended();
    [[nodiscard]] Totals read_once(const Snapshot& own, const std::string& own_name,
                                   std::uint64_t& generation);
    [[nodiscard]] std::vector<std::string> without_process() const;
    [[nodiscard]] Gathered gather(const std::vector<std::string>& names, const ReadFigures& ended);

    std::string folder_;
    Descriptions descriptions_;
};

} // namespace cluster::app
