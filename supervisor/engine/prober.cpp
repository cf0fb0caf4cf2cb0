#include "supervisor/engine/prober.hpp"

#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using ipc::milliseconds;
using Kind = ipc::Probe::Kind;

/// A limit that comes so much too late has been held up with the whole loop (a paused machine,
/// SIGSTOP): an answer may have been there in time.
constexpr milliseconds kStoodStill{1000};

} // namespace

Prober::Prober(boost::asio::io_context& loop, const ipc::Clock& clock, ipc::Probe probe,
               ProbeMeans means, OnAnswer on_answer)
    : loop_{loop}, clock_{clock}, probe_{std::move(probe)}, means_{std::move(means)},
      on_answer_{std::move(on_answer)}, next_{loop}, deadline_{loop}
{
    begin();
}

Prober::~Prober()
{
    if (question_) question_->cancel();
}

void Prober::begin()
{
    if (probe_.kind == Kind::log) return begin_search();
    ask_in(milliseconds{0});
}

void Prober::ask_in(milliseconds pause)
{
    next_.expires_after(pause);
    next_.async_wait([this, alive = std::weak_ptr{alive_}](error_code cancelled) {
        if (!cancelled && !alive.expired()) ask();
    });
}

void Prober::ask()
{
    began_ = clock_.now();
    if (question_ && !question_->over())
        return on_answered(false, "the command of the last question cannot be killed");
    auto asked = pose();
    if (!asked && asked.error().ours) return next();
    if (!asked) return on_answered(false, std::move(asked.error().why));
    question_ = std::move(*asked);
    limit();
}

Prober::Asked Prober::pose()
{
    const OnAnswer answered = [this](bool good, std::string why) {
        on_answered(good, std::move(why));
    };
    return probe_.kind == Kind::exec ? pose_command(answered) : pose_to_stream(answered);
}

Prober::Asked Prober::pose_to_stream(OnAnswer on_answer)
{
    auto socket = means_.dial();
    if (!socket)
        return std::unexpected(
            Unasked{socket.error().text(), ipc::is_shortage(socket.error().code)});
    if (probe_.kind == Kind::tcp) return ask_tcp(loop_, std::move(*socket), std::move(on_answer));
    return ask_http(loop_, std::move(*socket), probe_, means_.host_header, std::move(on_answer));
}

Prober::Asked Prober::pose_command(OnAnswer on_answer)
{
    auto asked = ask_command(loop_, means_.plan_command(probe_.command), means_.launcher,
                             means_.system, std::move(on_answer));
    if (!asked) return std::unexpected(Unasked{asked.error().text, asked.error().stage == "clone"});
    return std::move(*asked);
}

void Prober::limit()
{
    deadline_.expires_after(probe_.timeout);
    deadline_.async_wait(
        [this, number = number_, alive = std::weak_ptr{alive_}](error_code cancelled) {
            if (!cancelled && !alive.expired() && number == number_) on_limit();
        });
}

void Prober::on_limit()
{
    question_->cancel();
    if (clock_.now() - began_ < probe_.timeout + kStoodStill)
        return on_answered(false, fmt::format("no answer within {} ms", probe_.timeout.count()));
    ++number_;
    next();
}

void Prober::on_answered(bool good, std::string why)
{
    ++number_;
    deadline_.cancel();
    next();
    const auto tell = on_answer_; // it may destroy us
    tell(good, std::move(why));
}

void Prober::next()
{
    ask_in(std::max(milliseconds{0}, began_ + probe_.interval - clock_.now()));
}

void Prober::begin_search()
{
    auto search = LineSearch::make(probe_.pattern);
    if (search) {
        search_.emplace(std::array{*search, *search});
        return;
    }
    boost::asio::post(loop_, [this, alive = std::weak_ptr{alive_}, why = search.error()] {
        if (alive.expired()) return;
        const auto tell = on_answer_;
        tell(false, "the pattern cannot be used: " + why);
    });
}

void Prober::on_output(StreamKind stream, std::string_view bytes)
{
    if (!search_) return;
    (*search_)[static_cast<std::size_t>(stream)].push(bytes);
    search_soon();
}

void Prober::search_soon()
{
    if (std::ranges::none_of(*search_, &LineSearch::pending) || std::exchange(searching_, true))
        return;
    boost::asio::post(loop_, [this, alive = std::weak_ptr{alive_}] {
        if (!alive.expired()) search();
    });
}

/// A line a turn: others are served in between, however costly the pattern.
void Prober::search()
{
    searching_ = false;
    const auto waiting = std::ranges::find_if(*search_, &LineSearch::pending);
    if (!waiting->look()) return search_soon();
    search_.reset();
    const auto tell = on_answer_;
    tell(true, "");
}

} // namespace cluster::supervisor
