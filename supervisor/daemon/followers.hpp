// Who watches: subscriptions to log lines and events. A follower costs nothing while there is none,
// and a slow one loses lines with a count instead of holding anybody up. Except one that takes the
// output (`clusterctl run`, see attended.hpp): the workers wait for it, and it gets all of it.
#pragma once

#include "ipc/net/server.hpp"
#include "supervisor/engine/supervisor.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::supervisor {

class Followers {
public:
    explicit Followers(Supervisor& supervisor) : supervisor_{supervisor} {}

    struct LogFilter {
        std::vector<std::string> targets; ///< none: all
        std::string cwd;
        bool out = true;
        bool err = true;
        bool takes = false; ///< what it has not got yet is held back
    };
    int follow_logs(const std::shared_ptr<ipc::Session>& session, LogFilter filter);
    int follow_events(const std::shared_ptr<ipc::Session>& session);
    /// False when that session has no such subscription.
    bool unfollow(const std::shared_ptr<ipc::Session>& session, int subscription);

    void on_transition(const Worker& worker, Event event);

    /// Somebody takes the output, and has got all that came so far.
    [[nodiscard]] bool taken() const;

    /// Lines that slow followers did not get, since this daemon came up.
    [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

private:
    struct Subscription {
        std::weak_ptr<ipc::Session> session;
        bool events = false;
        LogFilter filter;
        std::map<std::pair<int, StreamKind>, std::string>
            unfinished; ///< text after the last newline
        std::uint64_t dropped = 0;
    };

    int add(const std::shared_ptr<ipc::Session>& session, Subscription subscription);
    void set_tap();
    void on_bytes(int worker, StreamKind kind, std::string_view bytes);
    void end_lines(const Worker& worker);
    void send_lines(int number, Subscription& to, const Worker& worker, StreamKind kind,
                    std::string_view text);
    [[nodiscard]] bool wants(const Subscription& subscription, const Worker& worker,
                             StreamKind kind) const;

    Supervisor& supervisor_;
    std::map<int, Subscription> subscriptions_;
    int next_ = 1;
    std::uint64_t dropped_ = 0;
};

} // namespace cluster::supervisor
