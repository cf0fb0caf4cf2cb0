#include "ipc/wire/dependencies.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstddef>
#include <optional>
#include <utility>

namespace cluster::ipc {
namespace {

/// Depth first without recursion, since the number of apps is the user's; each app and each
/// dependency is looked at once.
class Search {
public:
    explicit Search(const Needs& needs)
    {
        std::map<std::string_view, std::size_t> places;
        for (const auto& [name, wanted] : needs) {
            places.emplace(name, nodes_.size());
            nodes_.push_back({.name = &name});
        }
        for (const auto& [name, wanted] : needs)
            for (const std::string& other : wanted)
                if (const auto found = places.find(other); found != places.end())
                    nodes_[places.at(name)].needs.push_back(found->second);
    }

    std::vector<Cycle> run()
    {
        for (std::size_t i = 0; i < nodes_.size(); ++i)
            if (!nodes_[i].visited) walk(i);
        return std::move(cycles_);
    }

private:
    struct Node {
        const std::string* name;
        std::vector<std::size_t> needs{};
        std::size_t next = 0; ///< which of its needs is looked at
        bool visited = false;
        std::optional<std::size_t> place{}; ///< on the path
        std::size_t named = 0;              ///< how many of the path up to here are in a cycle
    };

    void walk(std::size_t start)
    {
        enter(start);
        while (!path_.empty()) {
            Node& here = nodes_[path_.back()];
            if (here.next == here.needs.size()) {
                here.place.reset();
                path_.pop_back();
                continue;
            }
            const std::size_t wanted = here.needs[here.next++];
            if (nodes_[wanted].place)
                close_cycle(*nodes_[wanted].place);
            else if (!nodes_[wanted].visited)
                enter(wanted);
        }
    }

    void enter(std::size_t index)
    {
        nodes_[index].visited = true;
        nodes_[index].place = path_.size();
        nodes_[index].named = named_before(path_.size());
        path_.push_back(index);
    }

    [[nodiscard]] std::size_t named_before(std::size_t place) const
    {
        return place == 0 ? 0 : nodes_[path_[place - 1]].named;
    }

    /// The path from `first` on leads back to it. Said only when none of its apps was named yet:
    /// dense dependencies have more cycles than anyone could read.
    void close_cycle(std::size_t first)
    {
        std::size_t named = named_before(first);
        if (named_before(path_.size()) != named) return;
        Cycle cycle;
        for (std::size_t place = first; place < path_.size(); ++place) {
            Node& node = nodes_[path_[place]];
            cycle.push_back(*node.name);
            node.named = ++named;
        }
        cycle.push_back(cycle.front());
        cycles_.push_back(std::move(cycle));
    }

    std::vector<Node> nodes_;
    std::vector<std::size_t> path_;
    std::vector<Cycle> cycles_;
};

} // namespace

void add_needs(const AppSpec& app, Needs& needs)
{
    for (const auto& [name, condition] : app.depends_on)
        needs[app.name].push_back(name);
}

std::vector<Cycle> dependency_cycles(const Needs& needs)
{
    return Search{needs}.run();
}

std::string cycle_text(const Cycle& cycle)
{
    constexpr std::size_t kLongest = 20;
    constexpr std::ptrdiff_t kShown = 10;
    if (cycle.size() <= kLongest) return fmt::format("{}", fmt::join(cycle, " → "));
    return fmt::format("{} → … {} more … → {}",
                       fmt::join(cycle.begin(), cycle.begin() + kShown, " → "),
                       cycle.size() - kShown - 1, cycle.back());
}

} // namespace cluster::ipc
