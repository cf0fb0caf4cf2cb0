// A descriptor held back for the moment at which there is no other.
#pragma once

#include "ipc/base/unique_fd.hpp"

#include <atomic>

namespace cluster::ipc {

/// Once everything else is in use (man 2 open, EMFILE and ENFILE), giving this one up makes room
/// for one short use: a file of /proc that is read, a client that is heard.
class SpareFd {
public:
    /// Takes one unless it is there; where there is none, until the next call.
    void hold();
    /// Whether another try is worth while: `error` is EMFILE or ENFILE, and one was given up.
    [[nodiscard]] bool give_up(int error);

private:
    UniqueFd take() { return UniqueFd{fd_.exchange(-1)}; }

    std::atomic<int> fd_{-1};
};

} // namespace cluster::ipc
