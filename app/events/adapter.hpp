// The seam between a namespace and the other servers of the cluster: what it can have done by them,
// and what they can have done here. Without an adapter a namespace is this instance alone.
#pragma once

#include "app/events/guarded_json.hpp"
#include "app/events/rooms.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

namespace asio = boost::asio;
using std::chrono::milliseconds;

/// A socket somewhere in the cluster.
struct SocketDescription {
    std::string id;
    json handshake = json::object();
    std::vector<std::string> rooms{};
    json data = json::object();
};

/// The sockets of a namespace on this instance, for requests from elsewhere.
class LocalSockets {
public:
    virtual ~LocalSockets() = default;
    [[nodiscard]] virtual bool has_room(const std::string& room) const = 0;
    [[nodiscard]] virtual std::vector<std::string> rooms() const = 0;
    [[nodiscard]] virtual std::vector<std::string> select(const Audience& audience) const = 0;
    [[nodiscard]] virtual std::vector<SocketDescription>
    describe(const Audience& audience) const = 0;
    /// `data` is [event, args...].
    virtual void deliver(const Audience& audience, const json& data, bool is_volatile) = 0;
    /// The same with an acknowledgement of each client, of which `answered` gets the first value.
    /// Returns how many were asked; who has not answered by `limit` is not waited for.
    virtual std::size_t deliver_with_ack(const Audience& audience, const json& data,
                                         milliseconds limit,
                                         std::function<void(json)> answered) = 0;
    virtual void join(const Audience& audience, const std::vector<std::string>& rooms) = 0;
    virtual void leave(const Audience& audience, const std::vector<std::string>& rooms) = 0;
    /// `close`: the whole connection, else this namespace alone.
    virtual void disconnect(const Audience& audience, bool close) = 0;
    /// What another server said to the servers, not to their clients. Answers null where nobody
    /// listens.
    virtual json server_side(const json& data) = 0;
};

class EventsAdapter {
public:
    virtual ~EventsAdapter() = default;
    /// To the clients of all other servers. Done when the other servers have been sent it.
    virtual asio::awaitable<Result<void>> broadcast(Audience audience, json data,
                                                    bool is_volatile) = 0;
    /// Tells all servers, this one included, and waits for none.
    virtual void join(const Audience& audience, const std::vector<std::string>& rooms) = 0;
    virtual void leave(const Audience& audience, const std::vector<std::string>& rooms) = 0;
    virtual void disconnect(const Audience& audience, bool close) = 0;
    /// The sockets of all other servers. Errors: unavailable; overloaded when some did not answer.
    virtual asio::awaitable<Result<std::vector<SocketDescription>>> fetch(Audience audience) = 0;
    /// What the clients of the other servers answered until `limit`.
    virtual asio::awaitable<Result<std::vector<json>>> ask(Audience audience, json data,
                                                           milliseconds limit) = 0;
    /// To the other servers themselves.
    virtual asio::awaitable<Result<void>> server_side(json data) = 0;
};

} // namespace cluster::app
