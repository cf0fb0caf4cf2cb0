// Which apps are restarted by the clock, and when. One timer for all of them; none while no app has
// a pattern. What then happens to the app is for the daemon to say.
#pragma once

#include "supervisor/engine/supervisor.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace cluster::supervisor {

class Timetable {
public:
    using OnDue = std::function<void(const std::string& app_name)>;
    Timetable(Supervisor& supervisor, boost::asio::io_context& loop, OnDue on_due);

    /// All apps are there: goes on, also with what was due while there was no manager.
    void begin();
    /// Apps have come, gone or changed.
    void look();

private:
    struct Entry {
        std::string pattern;
        std::optional<std::int64_t> due_ms; ///< nothing: never again
    };

    void look_since(std::int64_t since_ms);
    void watch();
    void on_time();
    [[nodiscard]] Entry entry_of(const std::string& pattern, std::int64_t after_ms) const;

    Supervisor& supervisor_;
    OnDue on_due_;
    boost::asio::steady_timer timer_;
    std::map<std::string, Entry, std::less<>> entries_; ///< by the app's name
    std::int64_t looked_ms_ = 0;                        ///< on the wall clock, which may be set
};

} // namespace cluster::supervisor
