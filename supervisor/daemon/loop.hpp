// The event loop of guardian and manager. Asio says nothing when the kernel has no room to listen
// to the descriptors of Asio itself (man 2 epoll_ctl: ENOMEM, ENOSPC): such a process would hear no
// signal, no timer or no other thread, for as long as it lives.
#pragma once

#include "ipc/base/system.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>

namespace cluster::supervisor {

/// A loop for one thread, in a process that has none yet. Errors: those of making one; ENOSPC when
/// it would not hear everything.
[[nodiscard]] ipc::Result<std::unique_ptr<boost::asio::io_context>> make_loop(ipc::System& system);

} // namespace cluster::supervisor
