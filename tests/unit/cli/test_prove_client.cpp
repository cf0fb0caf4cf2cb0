// The prober's client and the prober itself against a server in this process that misbehaves as it
// is told.
#include "cli/prove.hpp"
#include "cli/prove_client.hpp"
#include "ipc/base/system.hpp"

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <deque>
#include <string>
#include <thread>
#include <vector>

using namespace cluster;
using namespace cluster::cli;
using namespace std::chrono_literals;

namespace {

const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// What the server does with one request.
struct Act {
    std::string answer;
    enum { keep, close, reset } then = keep;
};

/// One thread for all connections; plays its acts in order, then answers "hi" for ever.
class Server {
public:
    explicit Server(std::deque<Act> acts = {}) : acts_{std::move(acts)}
    {
        listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in place{};
        place.sin_family = AF_INET;
        place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof place;
        REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&place), size) == 0);
        REQUIRE(::listen(listener_.get(), 64) == 0);
        ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&place), &size);
        address = *parse_probe_address("127.0.0.1:" + std::to_string(ntohs(place.sin_port)));
        thread_ = std::jthread{[this] { run(); }};
    }
    ~Server() { ::shutdown(listener_.get(), SHUT_RDWR); } // ends the thread

    ProbeAddress address;

private:
    struct Peer {
        ipc::UniqueFd fd;
        std::string request{};
    };

    void run()
    {
        while (true) {
            std::vector<pollfd> ready{{listener_.get(), POLLIN, 0}};
            for (const Peer& peer : peers_)
                ready.push_back({peer.fd.get(), POLLIN, 0});
            if (::poll(ready.data(), ready.size(), -1) < 0) return;
            for (std::size_t i = 1; i < ready.size(); ++i)
                if (ready[i].revents != 0 && !serve(peers_[i - 1])) peers_[i - 1].fd.reset();
            std::erase_if(peers_, [](const Peer& peer) { return !peer.fd; });
            if (ready[0].revents == 0) continue;
            ipc::UniqueFd fd{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
            if (!fd) return;
            peers_.push_back({std::move(fd)});
        }
    }

    /// False when the connection is to be closed. A client of this test sends one request at a
    /// time.
    bool serve(Peer& peer)
    {
        char chunk[1024];
        const ssize_t size = ::recv(peer.fd.get(), chunk, sizeof chunk, 0);
        if (size <= 0) return false;
        peer.request.append(chunk, static_cast<std::size_t>(size));
        if (!peer.request.ends_with("\r\n\r\n")) return true;
        peer.request.clear();
        Act act{kOk};
        if (!acts_.empty()) {
            act = acts_.front();
            acts_.pop_front();
        }
        // With MSG_MORE its end travels with the answer: the client has both or none.
        const int more = act.then == Act::close ? MSG_MORE : 0;
        (void)::send(peer.fd.get(), act.answer.data(), act.answer.size(), MSG_NOSIGNAL | more);
        const linger now{.l_onoff = 1, .l_linger = 0};
        if (act.then == Act::reset)
            ::setsockopt(peer.fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
        return act.then == Act::keep;
    }

    std::deque<Act> acts_; ///< of the thread, as are the peers
    std::vector<Peer> peers_;
    ipc::UniqueFd listener_;
    std::jthread thread_;
};

std::string text_of(const Attempt& attempt)
{
    std::string text = std::to_string(attempt.status);
    if (attempt.loss) text += " " + std::string{loss_name(*attempt.loss)};
    if (attempt.raced) text += " raced";
    if (attempt.not_sent) text += " not sent";
    return text;
}

/// The result of each of `count` requests of one client.
std::vector<std::string> ask(std::deque<Act> acts, bool keeps, int count)
{
    Server server{std::move(acts)};
    ProveClient client{server.address, "/", keeps, 10s};
    std::vector<std::string> results;
    for (int i = 0; i < count; ++i)
        results.push_back(text_of(client.ask()));
    return results;
}

using Results = std::vector<std::string>;

} // namespace

TEST_CASE("prove client: each way of losing a request has its name")
{
    CHECK(ask({}, false, 2) == Results{"200", "200"});
    CHECK(ask({{"", Act::close}}, false, 2) == Results{"0 reset", "200"});
    CHECK(ask({{"", Act::reset}}, false, 2) == Results{"0 reset", "200"});
    CHECK(ask({{kOk.substr(0, 10), Act::close}}, false, 2) == Results{"0 cut", "200"});
    CHECK(ask({{kOk.substr(0, kOk.size() - 1), Act::close}}, false, 2) ==
          Results{"200 cut", "200"});
    CHECK(ask({{"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Act::close}}, false, 2) ==
          Results{"503", "200"});
    CHECK(ask({{"SSH-2.0\r\n", Act::close}}, false, 1) == Results{"0 cut"});
}

TEST_CASE("prove client: a kept connection that is closed between two answers loses nothing")
{
    CHECK(ask({{kOk, Act::keep}, {kOk, Act::close}, {kOk, Act::keep}}, true, 4) ==
          Results{"200", "200", "200", "200"});
}

TEST_CASE("prove client: a request that races with the close of its kept connection is repeated")
{
    CHECK(ask({{kOk}, {"", Act::close}}, true, 3) == Results{"200", "200 raced", "200"});
    CHECK(ask({{kOk}, {"", Act::reset}}, true, 3) == Results{"200", "200 raced", "200"});
    // The second try of it is lost for good.
    CHECK(ask({{kOk}, {"", Act::close}, {"", Act::close}}, true, 3) ==
          Results{"200", "0 reset raced", "200"});
    // On a new connection there is no race, and what has begun is not repeated.
    CHECK(ask({{"", Act::close}}, true, 2) == Results{"0 reset", "200"});
    CHECK(ask({{kOk}, {"HTTP/1.1 2", Act::close}}, true, 2) == Results{"200", "0 cut"});
}

TEST_CASE("prove client: nobody listens, or nobody answers")
{
    ProbeAddress gone;
    {
        const Server server;
        gone = server.address;
    }
    ProveClient refused{gone, "/", false, 10s};
    CHECK(text_of(refused.ask()) == "0 refused");
    CHECK(refused.ask().fault == "connection refused");

    Server silent{{{"", Act::keep}}};
    ProveClient waits{silent.address, "/", true, 50ms};
    CHECK(text_of(waits.ask()) == "0 timed_out");
}

TEST_CASE("prover: it measures first, then counts, and tells the phase of a loss")
{
    ipc::LinuxSystem system;
    Server server;
    Prover prover{{.addresses = {server.address}, .path = "/x", .rate = 1000}, system};
    REQUIRE(prover.start().has_value());
    prover.reload_begins();
    prover.note_progress({{"phase", "starting"}, {"process", {{"id", 0}, {"name", "api"}}}});
    prover.reload_ends();
    const ProveLog log = prover.finish();
    CHECK(log.addresses == Results{server.address.text});
    REQUIRE(log.phases.size() == 1);
    CHECK(log.phases[0].what == "[api](0) starting");
    CHECK(log.phases[0].at >= log.begin);
    const ProveReport report = summarize(log);
    CHECK(report.lost == 0);
    CHECK(report.requests_before >= 6); // one of each client at least
    CHECK(report.requests > 0);
}

TEST_CASE("prover: what does not answer before the reload proves nothing")
{
    ipc::LinuxSystem system;
    Server server;
    ProbeAddress gone;
    {
        const Server other;
        gone = other.address;
    }
    Prover prover{{.addresses = {server.address, gone}, .path = "/x", .rate = 10'000}, system};
    const auto started = prover.start();
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error() == "nothing can be proven: " + gone.text +
                                 " did not answer a request for /x before the reload (connection "
                                 "refused)");
}
