#include "app/redis/wire.hpp"

#include <hiredis/hiredis.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

namespace cluster::app {
namespace {

/// Ten times what the largest sensible answer of ours holds. Without a bound one broken length
/// would take all memory.
constexpr std::size_t kMaxElements = 1U << 20U;
constexpr std::size_t kMaxBufferedBytes = 256U << 20U;

/// Where hiredis puts the object of `task`: a new root, or its place in the list that it is in.
RedisReply* place_of(const redisReadTask* task)
{
    if (task->parent == nullptr) return new (std::nothrow) RedisReply;
    return &static_cast<RedisReply*>(task->parent->obj)->items[static_cast<std::size_t>(task->idx)];
}

void* make_string(const redisReadTask* task, char* text, std::size_t size)
{
    RedisReply* const reply = place_of(task);
    if (reply == nullptr) return nullptr;
    using Type = RedisReply::Type;
    reply->type = task->type == REDIS_REPLY_ERROR    ? Type::error
                  : task->type == REDIS_REPLY_STATUS ? Type::status
                                                     : Type::text;
    reply->text.assign(text, size);
    return reply;
}

void* make_array(const redisReadTask* task, int count)
{
    // Null stands for "out of memory" to hiredis; it ends the connection as a protocol error does.
    auto& elements = *static_cast<std::size_t*>(task->privdata);
    elements += static_cast<std::size_t>(count);
    if (elements > kMaxElements) return nullptr;
    RedisReply* const reply = place_of(task);
    if (reply == nullptr) return nullptr;
    reply->type = RedisReply::Type::list;
    reply->items.resize(static_cast<std::size_t>(count));
    return reply;
}

void* make_integer(const redisReadTask* task, long long value)
{
    RedisReply* const reply = place_of(task);
    if (reply == nullptr) return nullptr;
    reply->type = RedisReply::Type::number;
    reply->number = value;
    return reply;
}

void* make_nil(const redisReadTask* task)
{
    return place_of(task);
}

/// Called for a root only: what is in a list belongs to it.
void free_root(void* reply)
{
    delete static_cast<RedisReply*>(reply);
}

redisReplyObjectFunctions functions{.createString = make_string,
                                    .createArray = make_array,
                                    .createInteger = make_integer,
                                    .createNil = make_nil,
                                    .freeObject = free_root};

/// What a server says when it cannot now, and has done nothing. redis.io/docs/reference/
/// cluster-spec, sentinel-clients, and the table of shared errors in Redis' server.c.
constexpr std::array<std::string_view, 13> kPassing{
    "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",   "READONLY", "BUSY", "UNBLOCKED",
    "MISCONF", "OOM",        "NOREPLICAS",  "NOREADONLY", "MOVED",    "ASK"};

} // namespace

void append_command(std::string& bytes, const RedisCommand& command)
{
    std::vector<const char*> words;
    std::vector<std::size_t> sizes;
    words.reserve(command.size());
    sizes.reserve(command.size());
    for (const std::string& word : command) {
        words.push_back(word.data());
        sizes.push_back(word.size());
    }
    char* formatted = nullptr;
    const int size = redisFormatCommandArgv(&formatted, static_cast<int>(command.size()),
                                            words.data(), sizes.data());
    if (size < 0) throw std::bad_alloc{};
    bytes.append(formatted, static_cast<std::size_t>(size));
    redisFreeCommand(formatted);
}

void ReplyReader::Free::operator()(redisReader* reader) const
{
    redisReaderFree(reader);
}

ReplyReader::ReplyReader() : reader_{redisReaderCreateWithFunctions(&functions)}
{
    if (reader_ == nullptr) throw std::bad_alloc{};
    reader_->privdata = &elements_;
}

void ReplyReader::feed(std::string_view bytes)
{
    redisReaderFeed(reader_.get(), bytes.data(), bytes.size());
}

Result<std::optional<RedisReply>> ReplyReader::next()
{
    void* whole = nullptr;
    if (redisReaderGetReply(reader_.get(), &whole) != REDIS_OK)
        return trouble(Trouble::refused,
                       std::string{"what it sends is not Redis' protocol: "} + reader_->errstr);
    if (whole == nullptr) {
        if (reader_->len - reader_->pos > kMaxBufferedBytes)
            return trouble(Trouble::refused, "one answer exceeds 256 MiB");
        return std::optional<RedisReply>{};
    }
    elements_ = 0;
    const std::unique_ptr<RedisReply> reply{static_cast<RedisReply*>(whole)};
    return std::optional{std::move(*reply)};
}

std::string_view error_word(std::string_view text)
{
    return text.substr(0, text.find(' '));
}

Trouble kind_of_reply(std::string_view text)
{
    const bool passing = std::ranges::find(kPassing, error_word(text)) != kPassing.end();
    return passing ? Trouble::unavailable : Trouble::refused;
}

Result<RedisReply> outcome_of(RedisReply reply)
{
    if (reply.type != RedisReply::Type::error) return reply;
    return trouble(kind_of_reply(reply.text), std::move(reply.text));
}

std::string script_name(std::string_view lua)
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    if (EVP_Digest(lua.data(), lua.size(), digest.data(), &size, EVP_sha1(), nullptr) != 1)
        throw std::bad_alloc{};
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string name;
    for (unsigned i = 0; i < size; ++i) {
        name += kHex[digest[i] >> 4U];
        name += kHex[digest[i] & 15U];
    }
    return name;
}

} // namespace cluster::app
