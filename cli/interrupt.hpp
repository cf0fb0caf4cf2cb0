// Ctrl-C while the daemon works: the command ends, the daemon goes on with what it was asked.
#pragma once

#include <csignal>
#include <string>

namespace cluster::cli {

/// As long as it lives, SIGINT prints `message` on stderr and ends the command with exit code 130.
/// One at a time.
class InterruptNote {
public:
    explicit InterruptNote(std::string message);
    ~InterruptNote();
    InterruptNote(const InterruptNote&) = delete;
    InterruptNote& operator=(const InterruptNote&) = delete;

private:
    std::string message_; ///< the handler reads it
    struct sigaction before_{};
};

} // namespace cluster::cli
