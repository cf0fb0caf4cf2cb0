// Calls over links, awaited, and scripts by name.
#pragma once

#include "app/redis/link.hpp"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

/// One command and the link that it goes over.
struct Sending {
    std::shared_ptr<Link> link; ///< null: unavailable
    RedisCommand command;
    bool asking = false; ///< ASKING goes before it (Cluster)
};

/// All at once; the outcomes in the same order. Cancelled, it ends at once, with unknown_outcome
/// for what has no answer yet.
asio::awaitable<std::vector<Result<RedisReply>>> request_all(asio::io_context& io,
                                                             std::vector<Sending> sendings);
asio::awaitable<Result<RedisReply>> request(asio::io_context& io, Sending sending);

/// The EVALSHA names of scripts, made once per text.
class ScriptNames {
public:
    [[nodiscard]] const std::string& of(std::string_view lua);

private:
    std::map<std::string, std::string, std::less<>> names_;
};

/// EVALSHA or EVAL (`word`) of `script` (its name, or its text).
[[nodiscard]] RedisCommand script_command(std::string_view word, std::string_view script,
                                          const std::vector<std::string>& keys,
                                          const std::vector<std::string>& args);
/// Whether the server does not know a script (any more).
[[nodiscard]] bool lacks_script(const Result<RedisReply>& reply);

} // namespace cluster::app
