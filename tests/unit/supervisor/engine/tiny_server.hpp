// A TCP server on a test's own loop that answers every connection in one way, good or bad.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cluster::tests {

struct Behaviour {
    std::string answer{};
    bool waits = true;  ///< for the request; else it answers whatever comes
    bool closes = true; ///< after the answer
    bool drips = false; ///< a byte every two milliseconds
    int repeats = 0;    ///< how often the last byte is sent again, in blocks of 4 KiB
};

class TinyServer {
public:
    explicit TinyServer(boost::asio::io_context& loop)
        : acceptor_{loop, {boost::asio::ip::address_v4::loopback(), 0}}
    {
        accept();
    }

    Behaviour behaviour;
    std::vector<std::string> requests; ///< headers as they came
    int connections = 0;

    [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

private:
    using Error = boost::system::error_code;
    struct Guest {
        explicit Guest(boost::asio::ip::tcp::socket with)
            : socket{std::move(with)}, pause{socket.get_executor()}
        {
        }
        boost::asio::ip::tcp::socket socket;
        boost::asio::steady_timer pause;
        std::string inbox{};
        std::string outbox{};
        int repeated = 0;
    };
    using Held = std::shared_ptr<Guest>;

    void accept()
    {
        acceptor_.async_accept([this](Error error, boost::asio::ip::tcp::socket socket) {
            if (error) return;
            ++connections;
            guests_.push_back(std::make_shared<Guest>(std::move(socket)));
            serve(guests_.back());
            accept();
        });
    }

    void serve(const Held& guest)
    {
        guest->outbox = behaviour.answer;
        if (!behaviour.waits) return send(guest);
        boost::asio::async_read_until(guest->socket, boost::asio::dynamic_buffer(guest->inbox),
                                      "\r\n\r\n", [this, guest](Error error, std::size_t) {
                                          if (error) return;
                                          requests.push_back(guest->inbox);
                                          send(guest);
                                      });
    }

    void send(const Held& guest)
    {
        if (guest->outbox.empty()) return end(guest);
        const std::size_t size = behaviour.drips ? 1 : guest->outbox.size();
        boost::asio::async_write(guest->socket, boost::asio::buffer(guest->outbox.data(), size),
                                 [this, guest](Error error, std::size_t sent) {
                                     if (error) return;
                                     guest->outbox.erase(0, sent);
                                     if (behaviour.drips) return rest(guest);
                                     send(guest);
                                 });
    }

    void rest(const Held& guest)
    {
        guest->pause.expires_after(std::chrono::milliseconds{2});
        guest->pause.async_wait([this, guest](Error error) {
            if (!error) send(guest);
        });
    }

    void end(const Held& guest)
    {
        if (guest->repeated++ < behaviour.repeats) {
            guest->outbox.assign(4096, behaviour.answer.back());
            return send(guest);
        }
        if (behaviour.closes) guest->socket.close();
    }

    boost::asio::ip::tcp::acceptor acceptor_;
    std::vector<Held> guests_;
};

} // namespace cluster::tests
