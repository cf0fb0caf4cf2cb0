// One worker's member against a worker that the test plays. The sockets are real, the ports that
// the worker reports are made up.
#pragma once

#include "supervisor/engine/node_cluster.hpp"

#include "ipc/base/system.hpp"
#include "supervisor/engine/listener.hpp"
#include "supervisor/engine/worker.hpp"
#include "supervisor/sys/listeners.hpp"
#include "tests/unit/supervisor/engine/fake_keeper.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"
#include "tests/unit/supervisor/engine/scripted_node.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cluster::tests {

using supervisor::App;
using supervisor::Listener;
using supervisor::ListenSockets;
using supervisor::NodeEvents;
using supervisor::NodeHandles;
using supervisor::NodeMember;
using supervisor::NodeOpener;

inline const std::string kTaken = "{\"cmd\":\"NODE_HANDLE_ACK\"}\n";
inline const std::string kDisconnect = "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"disconnect\"}\n";
inline constexpr std::chrono::hours kLong{1};

using Texts = std::vector<std::string>;
using Ports = std::vector<std::uint16_t>;

/// A server as a worker asks for it, and the port that it says it has got.
struct Server {
    std::string asked = R"("address":"127.0.0.1","port":0,"addressType":4)";
    int port = 4001;
    int index = 0;
    std::string key = "127.0.0.1:0:4:-1:0";
};

inline std::string line(const std::string& act, const std::string& rest)
{
    return R"({"cmd":"NODE_CLUSTER","act":")" + act + "\"," + rest + ",\"seq\":1}\n";
}

inline std::string query(const Server& server)
{
    return line("queryServer", "\"index\":" + std::to_string(server.index) + "," + server.asked);
}

/// Like the query, but for the port.
inline std::string listening(const Server& server)
{
    std::string told = server.asked;
    const auto port = told.find("\"port\":") + 7;
    told.replace(port, told.find(',', port) - port, std::to_string(server.port));
    return line("listening", "\"index\":" + std::to_string(server.index) + "," + told);
}

inline std::string closed(const Server& server)
{
    return line("close", R"("key":")" + server.key + "\"");
}

inline const Server kOther{.port = 4002, .index = 1, .key = "127.0.0.1:0:4:-1:1"};
inline const Server kUdp{.asked = R"("address":"127.0.0.1","port":0,"addressType":"udp4","fd":-1)",
                         .key = "127.0.0.1:0:udp4:-1:0"};
inline const Server kDescriptor{.asked = R"("address":null,"port":null,"addressType":null,"fd":3)",
                                .key = "null:-1:fd:3:0"};

struct MemberFixture : ScriptedNode {
    void start(std::shared_ptr<NodeHandles> handles)
    {
        member = std::make_unique<NodeMember>(
            loop, keeper, std::move(daemons_end), std::move(handles),
            NodeOpener{.app = app, .sockets = sockets, .generation = 7}, events());
    }
    void start_in_cluster() { start(std::make_shared<NodeHandles>(loop, system, keeper)); }
    NodeEvents events()
    {
        return {.on_ready = [this] { ++readies; },
                .on_listening = [this] { ++listens; },
                .on_change = [this] { last = member ? member->saved() : nullptr; }};
    }

    /// The worker opens it, up to and with `listening`.
    void open(const Server& server = {})
    {
        say(query(server));
        CHECK(hear().handles == 1);
        say(kTaken + listening(server));
    }

    /// One end for `offer_connection`, the other for the probe.
    ipc::UniqueFd connection()
    {
        auto pair = supervisor::make_socket_pair();
        REQUIRE(pair);
        probe = std::move(pair->ours);
        return std::move(pair->theirs);
    }
    bool probe_is_hung_up()
    {
        char byte = 0;
        const auto received = supervisor::receive_bytes(probe.get(), {&byte, 1});
        return received && received->size == 0;
    }

    /// The app has one address in its `listen`.
    void declare()
    {
        const ipc::ListenAddress address{.text = "127.0.0.1:0", .name = "web"};
        auto opened = supervisor::open_listener(system, address);
        REQUIRE(opened);
        app->listeners.push_back(std::make_shared<Listener>(address, keeper, std::move(*opened)));
        sockets = {app->listeners[0]->current()};
    }

    ipc::LinuxSystem system;
    FakeKeeper keeper;
    ListenSockets sockets;
    std::shared_ptr<App> app = std::make_shared<App>();
    ipc::UniqueFd probe;
    int readies = 0;
    int listens = 0;
    nlohmann::json last; ///< what was written down
    std::unique_ptr<NodeMember> member;
};

struct InCluster : MemberFixture {
    InCluster() { start_in_cluster(); }
};

struct Drain {
    int done = 0;
    std::function<void()> on_done = [this] { ++done; };
};

} // namespace cluster::tests
