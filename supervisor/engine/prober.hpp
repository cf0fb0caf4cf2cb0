// Asks one process again and again whether it serves, in the way that its app declares (`ready`,
// `health`), and tells each answer; what the answers mean is decided in core/health. On the loop's
// thread.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/base/result.hpp"
#include "ipc/base/system.hpp"
#include "ipc/base/unique_fd.hpp"
#include "ipc/wire/app_spec.hpp"
#include "supervisor/core/line_search.hpp"
#include "supervisor/engine/log_pump.hpp"
#include "supervisor/engine/probe_question.hpp"
#include "supervisor/sys/launcher.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// Opens a stream to the worker: a non-blocking socket, connected or connecting.
using Dial = std::function<ipc::Result<ipc::UniqueFd>()>;

/// How to reach the worker. `system` and `launcher` must outlive the loop's last turn: a killed
/// command is reaped after the Prober has gone.
struct ProbeMeans {
    Dial dial;               ///< of http and tcp
    std::string host_header; ///< of http
    /// Of exec: how to launch it; the descriptors are filled in by the Prober.
    std::function<LaunchPlan(const std::vector<std::string>& argv)> plan_command;
    Launcher& launcher;
    ipc::System& system;
};

/// One probe of one process. Destruction ends everything silently; a command that still runs is
/// killed with its process group.
class Prober {
public:
    /// The first question is asked at once, the next one an `interval` after the one before it
    /// began; there are never two at a time and never several in a row to make up for lost time.
    /// `on_answer` comes from the loop, never from within a call, and may destroy the Prober. A
    /// probe of kind `log` asks nothing: its one answer is good.
    /// There is no answer where we ourselves had no descriptor, memory or process left to ask, or
    /// stood still in the meantime: that says nothing about the worker.
    Prober(boost::asio::io_context& loop, const ipc::Clock& clock, ipc::Probe probe,
           ProbeMeans means, OnAnswer on_answer);
    ~Prober();
    Prober(const Prober&) = delete;
    Prober& operator=(const Prober&) = delete;

    /// For a probe of kind `log`: what the worker has written, cut anywhere. For others nothing.
    void on_output(StreamKind stream, std::string_view bytes);

private:
    /// A question that could not be asked.
    struct Unasked {
        std::string why;
        bool ours; ///< our own shortage, no fault of the worker
    };
    using Asked = std::expected<std::shared_ptr<Question>, Unasked>;

    void begin();
    void ask_in(ipc::milliseconds pause);
    void ask();
    Asked pose();
    Asked pose_to_stream(OnAnswer on_answer);
    Asked pose_command(OnAnswer on_answer);
    void limit();
    void on_limit();
    void on_answered(bool good, std::string why);
    void next();

    void begin_search();
    void search_soon();
    void search();

    boost::asio::io_context& loop_;
    const ipc::Clock& clock_;
    ipc::Probe probe_;
    ProbeMeans means_;
    OnAnswer on_answer_;
    boost::asio::steady_timer next_;
    boost::asio::steady_timer deadline_;
    ipc::milliseconds began_{0};         ///< the question under way or the last one
    std::uint64_t number_ = 0;           ///< of the question; a late deadline looks at it
    std::shared_ptr<Question> question_; ///< under way, or the last one
    std::optional<std::array<LineSearch, 2>>
        search_;             ///< of `log`, by StreamKind, until it is found
    bool searching_ = false; ///< a turn of it is posted
    std::shared_ptr<int> alive_ = std::make_shared<int>(); ///< late completions look at it
};

} // namespace cluster::supervisor
