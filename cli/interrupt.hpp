// Ctrl-C while the daemon works: the command ends, the daemon goes on with what it was asked.
#pragma once

#include <csignal>

namespace cluster::cli {

/// As long as it lives, SIGINT prints `message` (a literal) on stderr and ends the command with
/// exit code 130. One at a time.
class InterruptNote {
public:
    explicit InterruptNote(const char* message);
    ~InterruptNote();
    InterruptNote(const InterruptNote&) = delete;
    InterruptNote& operator=(const InterruptNote&) = delete;

private:
    struct sigaction before_{};
};

} // namespace cluster::cli
