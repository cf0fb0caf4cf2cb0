#include "supervisor/daemon/loop.hpp"

#include "supervisor/engine/loop_relief.hpp"

#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cerrno>
#include <string>
#include <string_view>

namespace cluster::supervisor {
namespace {

using boost::asio::io_context;
using ipc::fail;
using ipc::Result;

constexpr int kOwn = 3; ///< Asio's: the timer, the pipe of the signals, the call of another thread
const std::string kWhat = "make an event loop";

int count(std::string_view text, std::string_view word)
{
    int found = 0;
    for (std::size_t at = 0; (at = text.find(word, at)) != std::string_view::npos; ++at)
        ++found;
    return found;
}

/// How many descriptors our loop listens to, as the kernel has it (man 5 proc_pid_fdinfo).
Result<int> listened_to(ipc::System& system)
{
    const auto fds = system.list_directory("/proc/self/fd");
    if (!fds) return std::unexpected(fds.error());
    for (const std::string& fd : *fds) {
        // Some have been closed since, such as the one of the list.
        if (system.readlink("/proc/self/fd/" + fd).value_or("") != "anon_inode:[eventpoll]")
            continue;
        const auto about = system.read_file("/proc/self/fdinfo/" + fd);
        if (!about) return std::unexpected(about.error());
        return count(*about, "tfd:");
    }
    return 0;
}

} // namespace

Result<std::unique_ptr<io_context>> make_loop(ipc::System& system)
{
    try {
        auto loop = std::make_unique<io_context>(LoopRelief::kThreads);
        // The first of a kind registers what all of them share.
        const boost::asio::steady_timer timer{*loop};
        const boost::asio::signal_set signals{*loop};
        const auto heard = listened_to(system);
        if (!heard) return std::unexpected(heard.error());
        if (*heard < kOwn) return fail(ENOSPC, kWhat);
        return loop;
    } catch (const boost::system::system_error& error) {
        return fail(error.code(), kWhat);
    }
}

} // namespace cluster::supervisor
