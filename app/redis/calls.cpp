#include "app/redis/calls.hpp"

#include "app/redis/await.hpp"

#include <utility>

namespace cluster::app {
namespace {

using Outcomes = std::vector<Result<RedisReply>>;

Result<RedisReply> cancelled()
{
    return trouble(Trouble::unknown_outcome, "redis: the call was cancelled");
}

void send(Sending& sending, Answered answered)
{
    if (!sending.link) return answered(trouble(Trouble::unavailable, "redis: no such server"));
    if (sending.asking) sending.link->send({"ASKING"}, [](const Result<RedisReply>&) {});
    sending.link->send(sending.command, std::move(answered));
}

/// Gathers the outcomes of several.
struct Gathering {
    std::shared_ptr<Waiter<Outcomes>> waiter;
    Outcomes outcomes;
    std::size_t left;

    void take(std::size_t at, Result<RedisReply> outcome)
    {
        outcomes[at] = std::move(outcome);
        if (--left == 0 && waiter) waiter->tell(std::exchange(outcomes, {}));
    }
};

} // namespace

asio::awaitable<Result<RedisReply>> request(asio::io_context& io, Sending sending)
{
    auto start = [&sending](std::shared_ptr<Waiter<Result<RedisReply>>> waiter) {
        send(sending, [waiter = std::move(waiter)](Result<RedisReply> reply) {
            waiter->tell(std::move(reply));
        });
    };
    auto told = await_told<Result<RedisReply>>(io, std::move(start), cancelled);
    co_return co_await std::move(told);
}

asio::awaitable<Outcomes> request_all(asio::io_context& io, std::vector<Sending> sendings)
{
    if (sendings.empty()) co_return Outcomes{};
    auto gathering = std::make_shared<Gathering>(nullptr, Outcomes(sendings.size(), cancelled()),
                                                 sendings.size());
    auto start = [&sendings, gathering](std::shared_ptr<Waiter<Outcomes>> waiter) {
        gathering->waiter = std::move(waiter);
        for (std::size_t i = 0; i < sendings.size(); ++i)
            send(sendings[i], [gathering, i](Result<RedisReply> outcome) {
                gathering->take(i, std::move(outcome));
            });
    };
    auto so_far = [gathering] { return gathering->outcomes; };
    auto told = await_told<Outcomes>(io, std::move(start), std::move(so_far));
    co_return co_await std::move(told);
}

const std::string& ScriptNames::of(std::string_view lua)
{
    auto found = names_.find(lua);
    if (found == names_.end()) found = names_.emplace(lua, script_name(lua)).first;
    return found->second;
}

RedisCommand script_command(std::string_view word, std::string_view script,
                            const std::vector<std::string>& keys,
                            const std::vector<std::string>& args)
{
    RedisCommand command{std::string{word}, std::string{script}, std::to_string(keys.size())};
    command.insert(command.end(), keys.begin(), keys.end());
    command.insert(command.end(), args.begin(), args.end());
    return command;
}

bool lacks_script(const Result<RedisReply>& reply)
{
    return !reply && error_word(reply.error().what) == "NOSCRIPT";
}

} // namespace cluster::app
