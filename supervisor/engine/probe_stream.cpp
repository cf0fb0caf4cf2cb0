// The questions that go over a connection: tcp and http.
#include "supervisor/engine/probe_question.hpp"
#include "supervisor/sys/dial.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>

#include <fmt/format.h>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

namespace cluster::supervisor {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Stream = asio::generic::stream_protocol;

constexpr std::size_t kMaxHeaderBytes = std::size_t{32} * 1024;
constexpr std::size_t kMaxBodyBytes = std::size_t{64} * 1024;

/// Waits for its connection. What is pending holds the question, so that it may outlive whoever
/// has asked; `cancel` makes it come back with an error.
class StreamQuestion : public Question, public std::enable_shared_from_this<StreamQuestion> {
public:
    StreamQuestion(asio::io_context& loop, ipc::UniqueFd socket, OnAnswer on_answer)
        : socket_{loop, Stream{AF_UNSPEC, 0}, socket.release()}, on_answer_{std::move(on_answer)}
    {
    }

    void start()
    {
        socket_.async_wait(Stream::socket::wait_write,
                           [self = shared_from_this()](error_code cancelled) {
                               if (!cancelled && self->on_answer_) self->on_writable();
                           });
    }

    void cancel() override
    {
        on_answer_ = {};
        error_code ignored;
        socket_.close(ignored); // NOLINT(bugprone-unused-return-value): told twice, once is enough
    }

protected:
    virtual void on_connected() = 0;

    void answer(bool good, std::string why = {})
    {
        const auto tell = std::exchange(on_answer_, {});
        cancel();
        if (tell) tell(good, std::move(why));
    }

    Stream::socket& socket() { return socket_; }

private:
    void on_writable()
    {
        if (const auto connected = connect_result(socket_.native_handle()); !connected)
            return answer(false, connected.error().text());
        on_connected();
    }

    Stream::socket socket_;
    OnAnswer on_answer_; ///< empty once answered or cancelled
};

class TcpQuestion final : public StreamQuestion {
    using StreamQuestion::StreamQuestion;
    void on_connected() override { answer(true); }
};

class HttpQuestion final : public StreamQuestion {
public:
    HttpQuestion(asio::io_context& loop, ipc::UniqueFd socket, const ipc::Probe& probe,
                 const std::string& host_header, OnAnswer on_answer)
        : StreamQuestion{loop, std::move(socket), std::move(on_answer)}, name_{"GET " + probe.path},
          status_{probe.status},
          request_{fmt::format("{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: clusterctl-probe\r\n"
                               "Accept: */*\r\nConnection: close\r\n\r\n",
                               name_, host_header)}
    {
    }

private:
    void on_connected() override
    {
        asio::async_write(socket(), asio::buffer(request_),
                          [this, self = shared_from_this()](error_code error, std::size_t) {
                              error ? fail(error) : read_header();
                          });
    }

    void read_header()
    {
        parser_.emplace();
        parser_->header_limit(kMaxHeaderBytes);
        parser_->body_limit(boost::none); // we end it ourselves
        http::async_read_header(socket(), buffer_, *parser_,
                                [this, self = shared_from_this()](error_code error, std::size_t) {
                                    error ? fail(error) : on_header();
                                });
    }

    void on_header()
    {
        // RFC 9110 section 15.2: any number of interim answers may come before the final one.
        const unsigned status = parser_->get().result_int();
        if (status / 100 == 1 && status != 101) return read_header();
        drop_body();
    }

    void drop_body()
    {
        if (parser_->is_done() || dropped_ >= kMaxBodyBytes) return judge();
        auto& body = parser_->get().body();
        body.data = scratch_.data();
        body.size = scratch_.size();
        http::async_read(socket(), buffer_, *parser_,
                         [this, self = shared_from_this()](error_code error, std::size_t) {
                             if (error && error != http::error::need_buffer) return fail(error);
                             dropped_ += scratch_.size() - parser_->get().body().size;
                             drop_body();
                         });
    }

    void judge()
    {
        const auto status = static_cast<int>(parser_->get().result_int());
        const bool good = status_.empty() ? status >= 200 && status < 400
                                          : std::ranges::find(status_, status) != status_.end();
        answer(good, good ? "" : fmt::format("{} answered {}", name_, status));
    }

    void fail(error_code error)
    {
        if (error == asio::error::operation_aborted) return;
        answer(false, fmt::format("{}: {}", name_, reason(error)));
    }

    static std::string reason(error_code error)
    {
        if (error == http::error::end_of_stream) return "the connection ended without an answer";
        if (error == http::error::partial_message) return "the connection ended in mid-answer";
        if (error.category() == http::make_error_code(http::error::bad_version).category())
            return "no answer in HTTP (" + error.message() + ")";
        return ipc::errno_text(error.value());
    }

    std::string name_; ///< "GET /health"
    std::vector<int> status_;
    std::string request_;
    boost::beast::flat_buffer buffer_{2 * kMaxHeaderBytes};
    std::optional<http::response_parser<http::buffer_body>> parser_;
    std::array<char, 4096> scratch_{};
    std::size_t dropped_ = 0; ///< bytes of the body
};

} // namespace

std::shared_ptr<Question> ask_tcp(asio::io_context& loop, ipc::UniqueFd socket, OnAnswer on_answer)
{
    auto question = std::make_shared<TcpQuestion>(loop, std::move(socket), std::move(on_answer));
    question->start();
    return question;
}

std::shared_ptr<Question> ask_http(asio::io_context& loop, ipc::UniqueFd socket,
                                   const ipc::Probe& probe, const std::string& host_header,
                                   OnAnswer on_answer)
{
    auto question = std::make_shared<HttpQuestion>(loop, std::move(socket), probe, host_header,
                                                   std::move(on_answer));
    question->start();
    return question;
}

} // namespace cluster::supervisor
