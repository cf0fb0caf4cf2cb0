// Which access tokens no longer hold although their time has not come: those that were logged out
// (keys `blacklist:JTI`, with the token's own remaining life) and those of a session that was ended
// (keys `ended:SESSION`, as long as its last access token can live). All instances share it.
#pragma once

#include "app/accounts/tokens.hpp"
#include "app/kv/key_value.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>

namespace cluster::app {

class Revocation {
public:
    struct Policy {
        bool session_required = false; ///< a session that is not there refuses its tokens
        bool ask_writes = false;       ///< whether the user has just written, in the same go
    };
    struct Verdict {
        bool revoked = false;
        bool wrote_lately = false;
    };

    /// All that it is given must outlive it.
    Revocation(const ipc::Clock& clock, KeyValue& store, milliseconds access_life, Policy policy)
        : clock_{clock}, store_{store}, access_life_{access_life}, policy_{policy}
    {
    }

    /// One round trip.
    asio::awaitable<Result<Verdict>> check(const Claims& claims);
    asio::awaitable<Result<void>> revoke_token(std::string token_id, std::int64_t expires_s);
    asio::awaitable<Result<void>> revoke_session(std::string session_id);

private:
    const ipc::Clock& clock_;
    KeyValue& store_;
    milliseconds access_life_;
    Policy policy_;
};

} // namespace cluster::app
