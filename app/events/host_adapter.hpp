// One namespace's share in the Socket.IO servers of one host that have no Redis: the adapter's
// messages (see adapter_message), passed from process to process by a HostChannel.
#pragma once

#include "app/events/adapter_message.hpp"
#include "app/events/host_channel.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

class HostAdapter final : public EventsAdapter {
public:
    /// `channel` and `local` must outlive it.
    HostAdapter(HostChannel& channel, LocalSockets& local, std::string nsp)
        : channel_{channel}, local_{local}, nsp_{std::move(nsp)}
    {
    }

    /// The namespace that a message of the channel is for.
    [[nodiscard]] static std::string_view nsp_of(std::string_view message);
    void heard(std::string_view message);

    asio::awaitable<Result<void>> broadcast(Audience audience, json data,
                                            bool is_volatile) override;
    void join(const Audience& audience, const std::vector<std::string>& rooms) override;
    void leave(const Audience& audience, const std::vector<std::string>& rooms) override;
    void disconnect(const Audience& audience, bool close) override;
    /// Both: unavailable. Who asks all clients of several servers needs Redis.
    asio::awaitable<Result<std::vector<SocketDescription>>> fetch(Audience audience) override;
    asio::awaitable<Result<std::vector<json>>> ask(Audience audience, json data,
                                                   milliseconds limit) override;
    asio::awaitable<Result<void>> server_side(json data) override;

private:
    void tell(AdapterAsk request);
    void do_here(const AdapterAsk& request);

    HostChannel& channel_;
    LocalSockets& local_;
    std::string nsp_;
};

} // namespace cluster::app
