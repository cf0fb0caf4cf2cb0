#include "app/queue/scripts.hpp"

namespace cluster::app::queue_scripts {
namespace {

/// What all of them begin with.
constexpr const char* kCommon = R"(
local base = KEYS[1]
local GROUP = 'workers'
local PRIORITIES = {'high', 'normal', 'low'}
local function job_key(id) return base .. ':job:' .. id end
local function stream_key(priority) return base .. ':' .. priority end
local function now_ms()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- A stream is born with its group, so that nobody else need make it.
local function enqueue(id, priority)
    local stream = stream_key(priority)
    if redis.call('EXISTS', stream) == 0 then
        redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
    end
    local entry = redis.call('XADD', stream, '*', 'id', id)
    redis.call('HSET', job_key(id), 'state', 'waiting', 'entry', entry, 'hold', '')
end
local function drop_entry(stream, entry)
    redis.call('XACK', stream, GROUP, entry)
    redis.call('XDEL', stream, entry)
end
-- Stream and entry of a job that is held so, or nothing.
local function held(id, hold)
    local job = redis.call('HMGET', job_key(id), 'state', 'hold', 'priority', 'entry', 'worker')
    if job[1] ~= 'active' or job[2] ~= hold then return nil end
    return stream_key(job[3]), job[4], job[5]
end
local function bury(id, reason)
    local now = now_ms()
    redis.call('HSET', job_key(id), 'state', 'dead', 'hold', '', 'reason', reason,
               'finished_ms', now)
    redis.call('ZADD', base .. ':dead', now, id)
end
)";

std::string script(const char* body)
{
    return std::string{kCommon} + body;
}

} // namespace

std::string base_key(std::string_view queue)
{
    return "{queue:" + std::string{queue} + "}";
}

std::string job_key(std::string_view queue, std::string_view id)
{
    return base_key(queue) + ":job:" + std::string{id};
}

const std::string& add()
{
    static const std::string kText = script(R"(
local id = ARGV[1]
if redis.call('EXISTS', job_key(id)) == 1 then return 0 end
local now = now_ms()
redis.call('HSET', job_key(id), 'id', id, 'name', ARGV[2], 'payload', ARGV[3],
           'priority', ARGV[4], 'attempts', ARGV[5], 'backoff_ms', ARGV[6], 'failures', 0,
           'losses', 0, 'progress', 0, 'created_ms', now)
local delay = tonumber(ARGV[7])
if delay > 0 then
    redis.call('HSET', job_key(id), 'state', 'delayed')
    redis.call('ZADD', base .. ':delayed', now + delay, id)
else
    enqueue(id, ARGV[4])
end
return 1
)");
    return kText;
}

const std::string& take()
{
    static const std::string kText = script(R"(
local worker, hold, hold_ms, max_losses = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', base .. ':delayed', '-inf', now, 'LIMIT', 0, 100)
for _, id in ipairs(due) do
    redis.call('ZREM', base .. ':delayed', id)
    local priority = redis.call('HGET', job_key(id), 'priority')
    if priority then enqueue(id, priority) end
end
local function start(stream, entry, id)
    local key = job_key(id)
    redis.call('HSET', key, 'state', 'active', 'hold', hold, 'worker', worker, 'entry', entry,
               'progress', 0)
    local job = redis.call('HMGET', key, 'name', 'payload', 'attempts', 'backoff_ms', 'failures',
                           'losses')
    return {1, id, job[1], job[2], job[3], job[4], job[5], job[6]}
end
-- The job of an entry, when it is there to be done; an entry without one is dropped.
local function job_of(stream, entry)
    local id = entry[2] and entry[2][2]
    if id and redis.call('EXISTS', job_key(id)) == 1 then return id end
    drop_entry(stream, entry[1])
    return nil
end
local function take_lost(stream)
    while true do
        local idle = redis.call('XPENDING', stream, GROUP, 'IDLE', hold_ms, '-', '+', 1)
        if not idle[1] then return nil end
        local claimed = redis.call('XCLAIM', stream, GROUP, worker, 0, idle[1][1])
        -- One that was deleted is not pending any more after that.
        local id = claimed[1] and job_of(stream, claimed[1])
        if id then
            local losses = redis.call('HINCRBY', job_key(id), 'losses', 1)
            if losses <= max_losses then return start(stream, claimed[1][1], id) end
            drop_entry(stream, claimed[1][1])
            bury(id, 'it lost ' .. losses .. ' workers')
        end
    end
end
local function take_new(stream)
    while true do
        local got = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', 1,
                               'STREAMS', stream, '>')
        if not got then return nil end
        local entry = got[1][2][1]
        local id = job_of(stream, entry)
        if id then return start(stream, entry[1], id) end
    end
end
local last = {}
for index, priority in ipairs(PRIORITIES) do
    local stream = stream_key(priority)
    last[index] = '0-0'
    if redis.call('EXISTS', stream) == 1 then
        local taken = take_lost(stream) or take_new(stream)
        if taken then return taken end
        local info = redis.call('XINFO', 'STREAM', stream)
        for at = 1, #info, 2 do
            if info[at] == 'last-generated-id' then last[index] = info[at + 1] end
        end
    end
end
local next_due = redis.call('ZRANGE', base .. ':delayed', 0, 0, 'WITHSCORES')
local wait = next_due[2] and math.max(tonumber(next_due[2]) - now, 1) or -1
return {0, wait, last[1], last[2], last[3]}
)");
    return kText;
}

const std::string& renew()
{
    static const std::string kText = script(R"(
local stream, entry, worker = held(ARGV[1], ARGV[2])
if not stream then return 0 end
redis.call('XCLAIM', stream, GROUP, worker, 0, entry, 'JUSTID')
if ARGV[3] ~= '' then redis.call('HSET', job_key(ARGV[1]), 'progress', ARGV[3]) end
return 1
)");
    return kText;
}

const std::string& done()
{
    static const std::string kText = script(R"(
local id, hold = ARGV[1], ARGV[2]
local stream, entry = held(id, hold)
if not stream then
    -- `hold` stays with what is done: a repetition finds it.
    local before = redis.call('HMGET', job_key(id), 'state', 'hold')
    return (before[1] == 'done' and before[2] == hold) and 1 or 0
end
drop_entry(stream, entry)
redis.call('HSET', job_key(id), 'state', 'done', 'result', ARGV[3], 'progress', 100, 'reason', '',
           'finished_ms', now_ms())
redis.call('PEXPIRE', job_key(id), ARGV[4])
redis.call('INCR', base .. ':done')
return 1
)");
    return kText;
}

const std::string& fail()
{
    static const std::string kText = script(R"(
local id, delay = ARGV[1], tonumber(ARGV[4])
local stream, entry = held(id, ARGV[2])
if not stream then return 0 end
drop_entry(stream, entry)
redis.call('HINCRBY', job_key(id), 'failures', 1)
if delay < 0 then
    bury(id, ARGV[3])
else
    redis.call('HSET', job_key(id), 'state', 'delayed', 'hold', '', 'reason', ARGV[3])
    redis.call('ZADD', base .. ':delayed', now_ms() + delay, id)
end
return 1
)");
    return kText;
}

const std::string& give_back()
{
    static const std::string kText = script(R"(
local stream, entry = held(ARGV[1], ARGV[2])
if not stream then return 0 end
drop_entry(stream, entry)
enqueue(ARGV[1], redis.call('HGET', job_key(ARGV[1]), 'priority'))
return 1
)");
    return kText;
}

const std::string& counts()
{
    static const std::string kText = script(R"(
local waiting, active = 0, 0
for _, priority in ipairs(PRIORITIES) do
    local stream = stream_key(priority)
    if redis.call('EXISTS', stream) == 1 then
        local pending = redis.call('XPENDING', stream, GROUP)[1]
        active = active + pending
        waiting = waiting + redis.call('XLEN', stream) - pending
    end
end
return {waiting, redis.call('ZCARD', base .. ':delayed'), active,
        redis.call('ZCARD', base .. ':dead'), tonumber(redis.call('GET', base .. ':done') or 0)}
)");
    return kText;
}

const std::string& dead()
{
    static const std::string kText = script(R"(
local jobs = {}
for _, id in ipairs(redis.call('ZREVRANGE', base .. ':dead', 0, ARGV[1] - 1)) do
    jobs[#jobs + 1] = redis.call('HGETALL', job_key(id))
end
return jobs
)");
    return kText;
}

const std::string& retry()
{
    static const std::string kText = script(R"(
local id = ARGV[1]
local job = redis.call('HMGET', job_key(id), 'state', 'priority')
if job[1] ~= 'dead' then return 0 end
redis.call('ZREM', base .. ':dead', id)
redis.call('HSET', job_key(id), 'failures', 0, 'losses', 0, 'progress', 0)
redis.call('HDEL', job_key(id), 'finished_ms')
enqueue(id, job[2])
return 1
)");
    return kText;
}

const std::string& remove()
{
    static const std::string kText = script(R"(
local id = ARGV[1]
local job = redis.call('HMGET', job_key(id), 'state', 'priority', 'entry')
if not job[1] or job[1] == 'active' then return 0 end
if job[1] == 'waiting' then drop_entry(stream_key(job[2]), job[3]) end
redis.call('ZREM', base .. ':delayed', id)
redis.call('ZREM', base .. ':dead', id)
redis.call('DEL', job_key(id))
return 1
)");
    return kText;
}

} // namespace cluster::app::queue_scripts
