// The manager's part in an upgrade: asks the new program whether it can read the state, before
// anything is touched, then asks the guardian to go on with it (guardian_upgrade.cpp), and knows
// how the last one went.
#pragma once

#include "ipc/base/system.hpp"
#include "supervisor/daemon/guardian_link.hpp"
#include "supervisor/sys/launcher.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <nlohmann/json_fwd.hpp>

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::supervisor {

/// What a program that was run with --check-state has said: its version, or what is wrong with it.
[[nodiscard]] std::expected<std::string, std::string> version_said(const ipc::ExitStatus& status,
                                                                   std::string_view output);

/// As `ping` tells how it went.
[[nodiscard]] nlohmann::json upgrade_json(const Upgrade& upgrade);

class Upgrader {
public:
    /// What is under way from now on, or why nothing is.
    using Answer = std::function<void(const std::expected<Upgrade, std::string>&)>;

    Upgrader(boost::asio::io_context& loop, ipc::System& system, Launcher& launcher,
             GuardianLink& link, Log& log);
    ~Upgrader();

    /// Goes on with the program at `program` (an absolute path), if that can read `state`. `answer`
    /// is called before anything happens.
    void begin(const std::string& program, const std::string& state, Answer answer);
    /// The guardian tells how it went.
    void concluded(const Upgrade& outcome);
    /// The guardian is gone; if it was to become the new version, then this has failed.
    void guardian_gone();
    /// Of the last one.
    [[nodiscard]] const std::optional<Upgrade>& outcome() const { return outcome_; }

private:
    struct Check;
    void checked(const ipc::ExitStatus& status, const std::string& output);

    boost::asio::io_context& loop_;
    ipc::System& system_;
    Launcher& launcher_;
    GuardianLink& link_;
    Log& log_;
    std::unique_ptr<Check> check_; ///< the program that is asked now
    std::optional<Upgrade> pending_, outcome_;
    boost::asio::steady_timer limit_;
};

} // namespace cluster::supervisor
