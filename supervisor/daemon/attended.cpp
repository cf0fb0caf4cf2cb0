#include "supervisor/daemon/attended.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace cluster::supervisor {

namespace {

constexpr int kLooks = 1000; ///< a millisecond apart

/// A manager that becomes the guardian hears of the old one's death before it is the child of
/// somebody else (the kernel closes files first): set too early, the signal would tell that death.
bool becomes_child_of(pid_t parent)
{
    for (int look = 0; look < kLooks; ++look) {
        if (::getppid() == parent) return true;
        if (::kill(parent, 0) < 0 && errno == ESRCH) return false;
        ::poll(nullptr, 0, 1);
    }
    return false; // the number belongs to somebody else by now
}

} // namespace

pid_t attendant()
{
    const char* pid = std::getenv(kAttendedBy);
    return pid != nullptr ? static_cast<pid_t>(std::strtol(pid, nullptr, 10)) : 0;
}

void end_with(pid_t parent)
{
    if (parent <= 0) return;
    const bool ours = becomes_child_of(parent);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    // It may have ended before that: then nobody would tell.
    if (!ours || ::getppid() != parent) (void)::raise(SIGTERM);
}

} // namespace cluster::supervisor
