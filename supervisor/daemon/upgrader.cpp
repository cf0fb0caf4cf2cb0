#include "supervisor/daemon/upgrader.hpp"

#include "ipc/base/version.hpp"
#include "supervisor/sys/host.hpp"
#include "supervisor/sys/memory_file.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <utility>
#include <vector>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using ipc::UniqueFd;

constexpr std::chrono::seconds kCheckLimit{10};
constexpr std::chrono::seconds kTakeOverLimit{10}; ///< for the new guardian to say something

bool is_version(std::string_view text)
{
    return !text.empty() && text.size() < 100 && text.front() >= '0' && text.front() <= '9' &&
           text.find_first_of(" \t") == std::string_view::npos &&
           text.find('.') != std::string_view::npos;
}

} // namespace

std::expected<std::string, std::string> version_said(const ipc::ExitStatus& status,
                                                     std::string_view output)
{
    const std::string_view line = output.substr(0, output.find('\n')).substr(0, 500);
    if (status == ipc::ExitStatus{}) {
        if (is_version(line)) return std::string{line};
        return std::unexpected(
            fmt::format("it is no clusterd: asked for its version it said \"{}\"", line));
    }
    if (!line.empty()) return std::unexpected(std::string{line});
    if (status.signal != 0)
        return std::unexpected(fmt::format("it was ended by signal {}", status.signal));
    return std::unexpected(fmt::format("it exited with code {}", status.code));
}

nlohmann::json upgrade_json(const Upgrade& upgrade)
{
    return {{"serial", upgrade.serial}, {"from", upgrade.from},     {"to", upgrade.to},
            {"ok", upgrade.ok},         {"reason", upgrade.reason}, {"gap_ms", upgrade.gap_ms}};
}

/// The program that is asked whether it can read the state.
struct Upgrader::Check {
    Check(boost::asio::io_context& loop, Launched process, UniqueFd output_of, Answer tell)
        : pid{process.pid}, ended{loop, process.pidfd.release()}, output{std::move(output_of)},
          answer{std::move(tell)}
    {
    }
    std::string program;
    pid_t pid;
    boost::asio::posix::stream_descriptor ended;
    UniqueFd output;
    Answer answer;
};

Upgrader::Upgrader(boost::asio::io_context& loop, ipc::System& system, Launcher& launcher,
                   GuardianLink& link, Log& log)
    : loop_{loop}, system_{system}, launcher_{launcher}, link_{link}, log_{log}, limit_{loop}
{
}

Upgrader::~Upgrader() = default;

void Upgrader::begin(const std::string& program, const std::string& state, Answer answer)
{
    if (check_ || pending_) return answer(std::unexpected("another upgrade is under way"));
    const auto text = memory_file("clusterd state", state);
    if (!text) return answer(std::unexpected(text.error().text()));
    auto output = system_.pipe();
    if (!output) return answer(std::unexpected(output.error().text()));

    LaunchPlan plan;
    plan.program = program;
    plan.argv = {"clusterd", "--check-state", "/proc/self/fd/0"};
    plan.environment = own_environment();
    plan.cwd = "/";
    plan.fds = {text->get(), output->write.get(), output->write.get()};
    auto launched = launcher_.launch(plan);
    if (!launched) return answer(std::unexpected(launched.error().text));

    check_ = std::make_unique<Check>(loop_, std::move(*launched), std::move(output->read),
                                     std::move(answer));
    check_->program = program;
    limit_.expires_after(kCheckLimit);
    limit_.async_wait([this, pid = check_->pid](error_code cancelled) {
        if (!cancelled && check_) (void)system_.kill(pid, SIGKILL);
    });
    check_->ended.async_wait(
        boost::asio::posix::stream_descriptor::wait_read, [this](error_code cancelled) {
            if (cancelled) return;
            limit_.cancel();
            const auto status = system_.wait(check_->pid);
            std::array<char, 4096> said{};
            const auto size = system_.read(check_->output.get(), said.data(), said.size());
            checked(status && *status ? **status : ipc::kUnknownExit,
                    {said.data(), size.value_or(0)});
        });
}

void Upgrader::checked(const ipc::ExitStatus& status, const std::string& output)
{
    const auto check = std::exchange(check_, nullptr);
    const auto version = version_said(status, output);
    if (!version) {
        log_.warn(fmt::format("upgrade to {} refused: {}", check->program, version.error()));
        return check->answer(std::unexpected(version.error()));
    }
    pending_ = Upgrade{};
    pending_->serial = outcome_ ? outcome_->serial + 1 : 1;
    pending_->from = ipc::version();
    pending_->to = *version;
    pending_->program = check->program;
    check->answer(*pending_);
    link_.ask_upgrade(*pending_);
    limit_.expires_after(kTakeOverLimit);
    limit_.async_wait([this](error_code cancelled) {
        if (cancelled || !pending_) return;
        log_.error("upgrade: the guardian does not answer: SIGKILL");
        // Its end makes us the guardian. While it is our parent the pid is nobody else's.
        const pid_t guardian = link_.guardian();
        if (::getppid() == guardian) (void)system_.kill(guardian, SIGKILL);
    });
}

void Upgrader::concluded(const Upgrade& outcome)
{
    outcome_ = outcome;
    pending_.reset();
    limit_.cancel();
}

void Upgrader::guardian_gone()
{
    if (!pending_) return;
    pending_->since_ms = monotonic_ms();
    pending_->reason = "the program ended before it had taken over";
    concluded(Upgrade{*pending_});
}

} // namespace cluster::supervisor
