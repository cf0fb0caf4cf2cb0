// Server and client against each other over a real socket. The loop runs in a thread of its own,
// because the client waits synchronously.
#include "ipc/base/home.hpp"
#include "ipc/net/client.hpp"
#include "ipc/net/server.hpp"

#include <doctest/doctest.h>

#include <boost/asio/post.hpp>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

using namespace cluster::ipc;

namespace {

/// A server in a home of its own that answers `echo`, `big`, `progress` and `stream`.
class Fixture {
public:
    Fixture()
    {
        std::string pattern = "/tmp/cluster-net-XXXXXX";
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        home = pattern;
        auto listener = listen_on(HomePaths{home}.socket);
        REQUIRE(listener);
        server = std::make_unique<Server>(
            loop, std::move(*listener),
            Greeting{.version = "1.2.3", .pid = 1, .guardian_pid = 2, .home = home},
            [this](const std::shared_ptr<Session>& session, Request request) {
                handle(session, request);
            });
        server->start();
        thread = std::thread{[this] {
            const auto guard = boost::asio::make_work_guard(loop);
            loop.run();
        }};
    }
    ~Fixture()
    {
        loop.stop();
        thread.join();
        server.reset();
        std::filesystem::remove_all(home);
    }

    void handle(const std::shared_ptr<Session>& session, const Request& request)
    {
        if (request.method == "echo") return session->respond(request, request.params);
        if (request.method == "fail")
            return session->respond(request,
                                    RpcError{.code = 7, .message = "no", .data = {{"a", 1}}});
        if (request.method == "big") {
            return session->respond(request, [left = 40](std::string& out) mutable {
                if (left == 40) out += "[\"";
                out += std::string(100'000, 'x');
                if (--left > 0) return true;
                out += "\"]";
                return false;
            });
        }
        if (request.method == "progress") {
            session->notify(notification_frame("progress", {{"done", 1}}));
            session->notify(notification_frame("progress", {{"done", 2}}));
            return session->respond(request, json("done"));
        }
        if (request.method == "patience") {
            answer_patience = [session, request] { session->respond(request, json("at last")); };
            return;
        }
        if (request.method == "flood") {
            bool kept = true;
            const std::string frame = notification_frame("log", {{"x", std::string(100'000, 'y')}});
            for (int sent = 0; sent < 1000 && kept; ++sent)
                kept = session->notify(frame);
            flood_refused.set_value(!kept);
            return;
        }
        if (request.method == "watch") {
            session->on_close([this] { closed.set_value(); });
            session->respond(request, json("watching"));
        }
    }

    std::string home;
    boost::asio::io_context loop{1};
    std::unique_ptr<Server> server;
    std::thread thread;
    std::function<void()> answer_patience; ///< of the loop's thread
    std::promise<bool> flood_refused;
    std::promise<void> closed;
};

UniqueFd connect_raw(const std::string& home)
{
    const std::string path = HomePaths{home}.socket;
    UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    const timeval limit{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

void send_raw(int fd, const std::string& text)
{
    for (std::size_t sent = 0; sent < text.size();) {
        const ssize_t size = ::send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (size <= 0) return; // the server may close in the middle: that is what some tests want
        sent += static_cast<std::size_t>(size);
    }
}

/// Everything until the server closes.
std::string read_to_end(int fd)
{
    std::string text(65536, '\0');
    std::string all;
    for (ssize_t size = 0; (size = ::recv(fd, text.data(), text.size(), 0)) > 0;)
        all.append(text.data(), static_cast<std::size_t>(size));
    return all;
}

const std::string kHello =
    R"({"jsonrpc":"2.0","id":0,"method":"hello","params":{"protocol":1,"client":"t"}})"
    "\n";

} // namespace

TEST_CASE("net: a call comes back with its result, a failure with its error")
{
    Fixture fixture;
    auto client = Client::connect(fixture.home);
    REQUIRE(client);
    CHECK(client->call("echo", {{"a", "ü\n"}}).value() == json{{"a", "ü\n"}});
    const auto failed = client->call("fail", json::object());
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == 7);
    CHECK(failed.error().message == "no");
    CHECK(failed.error().data == json{{"a", 1}});
    CHECK(client->call("echo", {{"b", 2}}).value() == json{{"b", 2}}); // still usable
}

TEST_CASE("client: whoever waits for an answer is told that time goes by")
{
    Fixture fixture;
    auto client = Client::connect(fixture.home);
    REQUIRE(client);
    int idle = 0;
    const auto answer = client->call("patience", json::object(), {}, [&] {
        if (++idle == 2) boost::asio::post(fixture.loop, [&] { fixture.answer_patience(); });
    });
    REQUIRE(answer);
    CHECK(*answer == "at last");
    CHECK(idle >= 2);
}

TEST_CASE("client: what is posted waits for nobody, not even for the handshake")
{
    Fixture fixture;
    auto client = Client::connect(fixture.home);
    REQUIRE(client);
    const auto first = client->post("echo", {{"a", 1}});
    const auto second = client->post("echo", {{"a", 2}});
    REQUIRE(first);
    REQUIRE(second);
    std::vector<json> answers;
    while (answers.size() < 2)
        REQUIRE(client->take([&](const json& message) { answers.push_back(message); }));
    CHECK(answers[0]["id"] == *first);
    CHECK(answers[1]["result"] == json{{"a", 2}});
    CHECK(client->about().contains("pid"));
    CHECK(client->call("echo", {{"a", 3}}).value() == json{{"a", 3}});
}

TEST_CASE("net: notifications come before the answer, in order")
{
    Fixture fixture;
    auto client = Client::connect(fixture.home);
    REQUIRE(client);
    json seen = json::array();
    const auto answer =
        client->call("progress", json::object(), [&](std::string_view method, const json& params) {
            CHECK(method == "progress");
            seen.push_back(params["done"]);
        });
    CHECK(answer.value() == "done");
    CHECK(seen == json{1, 2});
}

TEST_CASE("net: an answer made piece by piece arrives whole, parsed or raw")
{
    Fixture fixture;
    auto client = Client::connect(fixture.home);
    REQUIRE(client);
    std::string raw;
    REQUIRE(client->call_raw("big", json::object(), [&](std::string_view piece) { raw += piece; }));
    CHECK(raw.size() == 4'000'004);
    CHECK(raw.starts_with("[\"x"));
    CHECK(raw.ends_with("x\"]"));
    CHECK(client->call("big", json::object()).value()[0].get<std::string>().size() == 4'000'000);
    const auto failed = client->call_raw("fail", json::object(), [](std::string_view) {});
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == 7);
}

TEST_CASE("net: without hello nothing is served")
{
    Fixture fixture;
    const UniqueFd fd = connect_raw(fixture.home);
    send_raw(fd.get(), R"({"jsonrpc":"2.0","id":5,"method":"echo"})"
                       "\n");
    ::shutdown(fd.get(), SHUT_WR);
    const json answer = json::parse(read_to_end(fd.get()));
    CHECK(answer["id"] == 5);
    CHECK(answer["error"]["code"] == kHandshake);
}

TEST_CASE("net: another protocol version is refused with the ones that are spoken")
{
    Fixture fixture;
    const UniqueFd fd = connect_raw(fixture.home);
    send_raw(fd.get(), R"({"jsonrpc":"2.0","id":0,"method":"hello","params":{"protocol":99}})"
                       "\n");
    ::shutdown(fd.get(), SHUT_WR);
    const json answer = json::parse(read_to_end(fd.get()));
    CHECK(answer["error"]["code"] == kHandshake);
    CHECK(answer["error"]["data"]["supported"] == json{1});
}

TEST_CASE("net: garbage gets an error and the connection stays usable")
{
    Fixture fixture;
    const UniqueFd fd = connect_raw(fixture.home);
    send_raw(fd.get(), kHello + "garbage\n" + R"({"jsonrpc":"2.0","id":1,"method":"echo"})" + "\n");
    ::shutdown(fd.get(), SHUT_WR);
    const std::string text = read_to_end(fd.get());
    CHECK(text.find("-32700") != std::string::npos);
    CHECK(text.find(R"("id":1,"result":{})") != std::string::npos);
}

TEST_CASE("net: a line over 8 MiB gets an error and a closed connection")
{
    Fixture fixture;
    const UniqueFd fd = connect_raw(fixture.home);
    std::thread sender{
        [&] { send_raw(fd.get(), kHello + std::string(kMaxRequestBytes + 2, 'x')); }};
    const std::string text = read_to_end(fd.get()); // ends: the server has closed
    sender.join();
    CHECK(text.find("-32600") != std::string::npos);
}

TEST_CASE("net: a client that does not read its notifications is dropped")
{
    Fixture fixture;
    const UniqueFd fd = connect_raw(fixture.home);
    send_raw(fd.get(), kHello + R"({"jsonrpc":"2.0","id":1,"method":"flood"})" + "\n");
    auto refused = fixture.flood_refused.get_future();
    REQUIRE(refused.wait_for(std::chrono::seconds{20}) == std::future_status::ready);
    CHECK(refused.get());
}

TEST_CASE("net: whoever waits on a session hears of its end, even after half a close")
{
    Fixture fixture;
    UniqueFd fd = connect_raw(fixture.home);
    send_raw(fd.get(), kHello + R"({"jsonrpc":"2.0","id":1,"method":"watch"})" + "\n");
    ::shutdown(fd.get(), SHUT_WR);
    char byte = 0;
    REQUIRE(::recv(fd.get(), &byte, 1, 0) == 1); // served although we send no more
    fd.reset();
    auto closed = fixture.closed.get_future();
    CHECK(closed.wait_for(std::chrono::seconds{20}) == std::future_status::ready);
}

TEST_CASE("net: the socket is for its owner alone")
{
    Fixture fixture;
    struct stat about{};
    REQUIRE(::stat(HomePaths{fixture.home}.socket.c_str(), &about) == 0);
    CHECK((about.st_mode & 0777U) == 0600);
}

TEST_CASE("net: connecting where no daemon is says so")
{
    const auto client = Client::connect("/tmp/cluster-no-such-home");
    REQUIRE_FALSE(client);
    CHECK(client.error().code == std::errc::no_such_file_or_directory);
    const auto long_path = Client::connect("/tmp/" + std::string(200, 'x'));
    REQUIRE_FALSE(long_path);
    CHECK(long_path.error().text().find("CLUSTER_HOME") != std::string::npos);
}
