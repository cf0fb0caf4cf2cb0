// What goes over a connection, as values: commands to bytes, bytes to replies (RESP2, by hiredis),
// and what an error reply means. Pure.
#pragma once

#include "app/redis/redis.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct redisReader;

namespace cluster::app {

/// Appends `command` as the server reads it.
void append_command(std::string& bytes, const RedisCommand& command);

/// Makes replies out of bytes that arrive in pieces. What breaks the protocol, nests too deep or
/// is larger than anything that we ask for, is an error for good: the connection must end.
class ReplyReader {
public:
    ReplyReader();
    void feed(std::string_view bytes);
    /// The next whole reply; nothing when more bytes are needed. Errors: refused.
    Result<std::optional<RedisReply>> next();

private:
    struct Free {
        void operator()(redisReader* reader) const;
    };
    std::unique_ptr<redisReader, Free> reader_;
    std::size_t elements_ = 0; ///< announced by the reply being read
};

/// The first word of an error reply: "MOVED", "READONLY", "ERR".
[[nodiscard]] std::string_view error_word(std::string_view text);

/// The kind that an error reply is of: unavailable for what passes by itself (LOADING, READONLY …:
/// the command was surely not done), refused for the rest.
[[nodiscard]] Trouble kind_of_reply(std::string_view text);

/// A whole reply as a call's outcome: an error reply becomes an Error with Redis' own words.
[[nodiscard]] Result<RedisReply> outcome_of(RedisReply reply);

/// SHA-1 in hex, the name of a script for EVALSHA.
[[nodiscard]] std::string script_name(std::string_view lua);

} // namespace cluster::app
