// Messages between the processes of one host that share a DATA_DIR: what stands in for Redis where
// there is none. Each process listens on a Unix socket in a folder of theirs and keeps a connection
// to each other one that it has something for; what one says to another arrives in order.
//
// One thread.
#pragma once

#include "app/base/log.hpp"
#include "ipc/base/result.hpp"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace cluster::app {

namespace asio = boost::asio;
using ipc::Result;

class HostChannel {
public:
    /// From the loop; must not throw.
    using Heard = std::function<void(std::string_view message)>;

    /// `io` and `log` must outlive it.
    HostChannel(asio::io_context& io, std::string folder, Log& log);
    ~HostChannel();
    HostChannel(const HostChannel&) = delete;
    HostChannel& operator=(const HostChannel&) = delete;

    /// Makes the folder and is heard from now on. Errors: what the file system says.
    Result<void> open(Heard heard);
    /// To all other processes, and waits for none. One that does not read is left after 8 MB.
    void tell(std::string_view message);
    /// Hears nothing any more, and sends only what is queued, as long as the loop runs.
    void close();

private:
    struct State;
    std::shared_ptr<State> state_; ///< outlives us with what is under way
};

} // namespace cluster::app
