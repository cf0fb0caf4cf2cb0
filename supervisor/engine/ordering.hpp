// Starts in the order of `depends_on`, and stops in the reverse one. What may begin at once is
// asked at once; the rest is held back until the others are where they have to be, and everything
// that is independent runs side by side.
#pragma once

#include "supervisor/core/ordering.hpp"
#include "supervisor/engine/supervisor.hpp"
#include "supervisor/engine/waiting.hpp"

#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace cluster::supervisor {

class Ordering {
public:
    Ordering(Supervisor& supervisor, Waiting& waiting, boost::asio::io_context& loop);

    /// `event` (a start or a restart) for the worker once all that its app depends on is there.
    /// When that can never be, the worker stays as it is and its wait fails with the reason.
    void start(Worker& worker, Event event, const std::string& cause);
    /// `event` (stop or delete) for each of `ids`, an app after all of `ids` that depend on it.
    void end(const std::vector<int>& ids, Event event, const std::string& cause);
    /// Asked, and not yet to be done.
    struct Held {
        std::uint64_t key;
        Event event;
        std::string cause;
        std::shared_ptr<const std::set<std::uint64_t>> before; ///< of an end: those that may have
                                                               ///< to be down first; null: a start
    };
    [[nodiscard]] const std::vector<Held>& held() const { return held_; }
    /// What a daemon before us held back.
    void restore(std::vector<Held> held);

    /// What is asked of the worker now makes what was held back for it void.
    void forget(Worker& worker);

    /// Fed by the daemon's one observer: after each transition and removal.
    void on_change();

private:
    struct Verdict {
        Met met = Met::yes;
        std::string reason; ///< why not yet, or never
    };
    [[nodiscard]] Verdict may_start(const Worker& worker) const;
    [[nodiscard]] bool may_end(const Worker& worker, const std::set<std::uint64_t>& others) const;
    void hold(Held held);
    void look();
    bool look_once();
    void settle(Worker& worker, Held held);

    Supervisor& supervisor_;
    Waiting& waiting_;
    boost::asio::io_context& loop_;
    std::vector<Held> held_;
    bool posted_ = false;
};

} // namespace cluster::supervisor
