#include "app/queue/replies.hpp"

#include "app/queue/rules.hpp"
#include "ipc/base/text.hpp"

#include <algorithm>

namespace cluster::app {
namespace {

std::unexpected<ipc::Error> strange(std::string_view what)
{
    return trouble(Trouble::refused,
                   "queue: Redis answered something else than " + std::string{what});
}

/// A number, also one that came as text (fields of a hash do).
std::optional<std::int64_t> number_of(const RedisReply& reply)
{
    if (reply.type == RedisReply::Type::number) return reply.number;
    if (reply.type == RedisReply::Type::text) return ipc::parse_number<std::int64_t>(reply.text);
    return std::nullopt;
}

bool is_list(const RedisReply& reply, std::size_t size)
{
    return reply.type == RedisReply::Type::list && reply.items.size() == size;
}

} // namespace

Result<RedisTaken> read_taken(const RedisReply& reply, const std::string& queue,
                              const std::string& hold)
{
    RedisTaken taken;
    const auto kind = reply.items.empty() ? std::nullopt : number_of(reply.items.front());
    if (kind == 0 && is_list(reply, 5)) {
        const auto wait = number_of(reply.items[1]);
        if (!wait) return strange("a waiting time");
        if (*wait >= 0) taken.due = milliseconds{*wait};
        for (std::size_t i = 0; i < taken.last.size(); ++i)
            taken.last[i] = reply.items[i + 2].text;
        return taken;
    }
    if (kind != 1 || !is_list(reply, 8)) return strange("a job");
    std::array<int, 4> numbers{};
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const auto number = number_of(reply.items[i + 4]);
        if (!number) return strange("a number of a job");
        numbers[i] = static_cast<int>(*number);
    }
    taken.job = QueueJob{.queue = queue,
                         .id = reply.items[1].text,
                         .name = reply.items[2].text,
                         .payload = reply.items[3].text,
                         .retry = {.attempts = numbers[0], .backoff = milliseconds{numbers[1]}},
                         .failures = numbers[2],
                         .losses = numbers[3],
                         .hold = hold};
    return taken;
}

Result<bool> read_flag(const RedisReply& reply)
{
    const auto number = number_of(reply);
    if (!number) return strange("0 or 1");
    return *number != 0;
}

Result<QueueCounts> read_counts(const RedisReply& reply)
{
    if (!is_list(reply, 5)) return strange("five counts");
    std::array<std::int64_t, 5> counts{};
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const auto number = number_of(reply.items[i]);
        if (!number) return strange("a count");
        counts[i] = *number;
    }
    return QueueCounts{.waiting = counts[0],
                       .delayed = counts[1],
                       .active = counts[2],
                       .dead = counts[3],
                       .done = counts[4]};
}

Result<std::optional<QueueJobInfo>> read_info(const RedisReply& reply)
{
    if (reply.type != RedisReply::Type::list || reply.items.size() % 2 != 0)
        return strange("the fields of a job");
    if (reply.items.empty()) return std::nullopt;
    const auto field = [&](std::string_view name) -> std::string {
        for (std::size_t i = 0; i + 1 < reply.items.size(); i += 2)
            if (reply.items[i].text == name) return reply.items[i + 1].text;
        return "";
    };
    const auto number = [&](std::string_view name) {
        return ipc::parse_number<std::int64_t>(field(name)).value_or(0);
    };
    const auto state = queue_state_of(field("state"));
    if (!state) return strange("a job's state");
    return QueueJobInfo{.id = field("id"),
                        .name = field("name"),
                        .payload = field("payload"),
                        .state = *state,
                        .failures = static_cast<int>(number("failures")),
                        .losses = static_cast<int>(number("losses")),
                        .progress = static_cast<int>(number("progress")),
                        .result = field("result"),
                        .reason = field("reason"),
                        .created_ms = number("created_ms"),
                        .finished_ms = number("finished_ms")};
}

} // namespace cluster::app
