// The home of `clusterctl run` is its own from its first moment on, long before its daemon serves:
// a health check that comes that early must not start another daemon there.
#pragma once

#include "ipc/base/system.hpp"

#include <string>

namespace cluster::cli {

/// For as long as it lives, everybody else who looks for a daemon in `home` waits for ours. Where
/// that cannot be told, or somebody else is there already, it does nothing.
class HomeLock {
public:
    explicit HomeLock(const std::string& home);
    /// Leaves nothing behind but what others have put there.
    ~HomeLock();
    HomeLock(const HomeLock&) = delete;
    HomeLock& operator=(const HomeLock&) = delete;

private:
    ipc::LinuxSystem system_;
    std::string home_;
    bool made_home_ = false;
    ipc::UniqueFd file_;
};

/// Whether a living `clusterctl run` has this home.
[[nodiscard]] bool home_is_held(const std::string& home);

} // namespace cluster::cli
