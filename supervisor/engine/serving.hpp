// Whether one process of a worker serves: what it says (READY=1, WATCHDOG=1, Node's 'ready'), what
// it answers to the probes of its app, and how long that may take. One object per process, for apps
// that declare any of it.
//
// The process outlives us, and what it has said by now is in `saved`. Its probes begin anew.
#pragma once

#include "ipc/wire/app_spec.hpp"
#include "supervisor/core/health.hpp"
#include "supervisor/engine/notify_socket.hpp"
#include "supervisor/engine/prober.hpp"
#include "supervisor/sys/keeper.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::supervisor {

class Serving {
public:
    /// Each is called on the loop, never out of a method of this class, and may destroy it.
    struct Calls {
        std::function<void()> ready;
        std::function<void(const std::string& why)> overdue; ///< once, and `ready` may still come
        std::function<void(const std::string& why)> sick; ///< health or watchdog: to be restarted
        /// `saved` differs. Unlike the others also out of methods, and it must not destroy it.
        std::function<void()> changed{};
    };
    /// How the probes reach the process.
    struct Means {
        ProbeMeans ready;
        ProbeMeans health;
    };

    /// `spec` is of this process: what is declared later is for the next one.
    Serving(boost::asio::io_context& loop, const ipc::Clock& clock, Keeper& keeper,
            std::shared_ptr<const ipc::AppSpec> spec, Calls calls);
    Serving(const Serving&) = delete;
    Serving& operator=(const Serving&) = delete;

    /// Whether an app declares anything that this class has to look after.
    [[nodiscard]] static bool is_wanted(const ipc::AppSpec& spec);

    /// For NOTIFY_SOCKET, before the launch. Errors: the kernel's.
    ipc::Result<std::string> open_notify_socket(uid_t worker);
    /// The process runs. `must_listen`: it is not ready before `listens` has been told.
    void start(Means means, bool must_listen);

    /// For a process that runs already, instead of the two above: as `saved` by a manager before
    /// us, whose waiting counts. `is_ready`: that one had told `ready` already. `must_listen` is
    /// for what was saved before `start`. Not `heard`: nobody listened for a while, and what was
    /// said then is not said again, so a message is not waited for. Errors: EINVAL, it is not what
    /// `saved` makes, and nothing has happened; else the kernel's, who gives us no socket for what
    /// the process wants to say.
    ipc::Result<void> resume(const nlohmann::json& saved, KeptFds& kept, Means means,
                             bool must_listen, bool is_ready, bool heard);
    [[nodiscard]] nlohmann::json saved() const;

    void said_ready();
    void listens();
    /// What the process has written, for the probes that read it.
    void on_output(StreamKind stream, std::string_view bytes);
    [[nodiscard]] bool reads_output() const;

    /// "passing", "failing (2 of 3): …"; "" without a health probe.
    [[nodiscard]] std::string health() const;
    [[nodiscard]] bool failing() const { return health_.state == Health::State::failing; }
    /// Its STATUS= line.
    [[nodiscard]] const std::string& status() const { return status_; }

private:
    struct Past;
    static std::optional<Past> read(const nlohmann::json& saved);
    void need_all(bool must_listen);
    void begin(Means means);
    void changed() const;
    void settle(bool& need);
    void expect_ready_by(std::chrono::milliseconds when);
    void expect_ready_within(std::chrono::milliseconds limit);
    void on_notify(const NotifyMessage& message);
    void on_ready_answer(bool good, const std::string& why);
    void on_health_answer(bool good, const std::string& why);
    void look();
    void begin_health();
    void feed_watchdog();
    void call_later(std::function<void()> what);
    void sick_later(std::string why);
    [[nodiscard]] std::string missing() const;

    boost::asio::io_context& loop_;
    const ipc::Clock& clock_;
    Keeper& keeper_;
    std::shared_ptr<const ipc::AppSpec> spec_;
    Calls calls_;
    std::optional<ProbeMeans> health_means_;
    std::unique_ptr<NotifySocket> notify_;
    std::unique_ptr<Prober> ready_probe_, health_probe_;
    Health readiness_, health_;
    boost::asio::steady_timer limit_, watchdog_;
    std::optional<std::chrono::milliseconds> started_at_; ///< monotonic
    std::chrono::milliseconds ready_by_{0};               ///< monotonic
    bool needs_message_ = false, needs_answer_ = false, needs_listening_ = false;
    bool ready_ = false;
    std::string status_;
    std::shared_ptr<int> alive_ = std::make_shared<int>(); ///< late calls look at it
};

} // namespace cluster::supervisor
