// The worker's end of a Node channel in the test's own process: the test says what Node would say,
// and looks at what Node would hear.
#pragma once

#include "supervisor/sys/fd_channel.hpp"

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <fcntl.h>

#include <chrono>
#include <string>
#include <string_view>

namespace cluster::tests {

struct ScriptedNode {
    ScriptedNode()
    {
        auto pair = supervisor::make_socket_pair();
        REQUIRE(pair);
        daemons_end = std::move(pair->ours);
        worker = std::move(pair->theirs);
        ::fcntl(worker.get(), F_SETFL, O_NONBLOCK);
    }

    /// Everything that is ready is done.
    void settle()
    {
        loop.restart();
        while (loop.poll() > 0)
            loop.restart();
    }

    /// Bytes that the channel took of `text`; the loop runs in between.
    std::size_t say(std::string_view text)
    {
        std::size_t said = 0;
        for (int idle = 0; said < text.size() && idle < 50;) {
            const auto sent = supervisor::send_with_handle(worker.get(), text.substr(said));
            said += sent.value_or(0);
            idle = sent ? 0 : idle + 1;
            loop.restart();
            loop.run_one_for(std::chrono::milliseconds{2});
        }
        settle();
        return said;
    }

    struct Heard {
        std::string text;
        int handles = 0;
    };
    Heard hear()
    {
        settle();
        Heard heard;
        char buffer[65536];
        while (const auto received = supervisor::receive_bytes(worker.get(), buffer)) {
            if (received->size == 0) break;
            heard.text.append(buffer, received->size);
            heard.handles += received->handles ? 1 : 0;
            settle();
        }
        return heard;
    }

    boost::asio::io_context loop;
    ipc::UniqueFd daemons_end; ///< for the channel under test
    ipc::UniqueFd worker;
};

} // namespace cluster::tests
