// The roles that answer people: accounts, jobs, projects, with all that they work with. Built once,
// on top of a store and a KeyValue.
#pragma once

#include "app/accounts/accounts.hpp"
#include "app/accounts/token_authenticator.hpp"
#include "app/base/pool.hpp"
#include "app/jobs/jobs.hpp"
#include "app/projects/projects.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <string>

namespace cluster::app {

class Api {
public:
    /// What it stands on; all of it outlives it.
    struct Ground {
        asio::io_context& io;
        const ipc::Clock& clock;
        Store& store;
        KeyValue& key_value;
        Metrics& metrics;
        ProjectEvents& events;
    };

    /// `options.secret` is set. `replica_lag`: DATABASE_REPLICA_MAX_LAG_MS.
    Api(Ground ground, const AccountOptions& options, milliseconds replica_lag);

    void add_routes(Router& router);
    [[nodiscard]] Authenticator& authenticator() { return authenticator_; }
    [[nodiscard]] Revocation& revocation() { return revocation_; }
    [[nodiscard]] Sessions& sessions() { return sessions_; }

    /// Waits for the password that is being hashed, if any; nothing may be asked afterwards.
    void stop() { hashing_.stop(); }

private:
    milliseconds lag_; ///< 0 without replicas
    Pool hashing_;
    Passwords passwords_;
    Tokens tokens_;
    Sessions sessions_;
    RecentWrites writes_;
    Revocation revocation_;
    TokenAuthenticator authenticator_;
    Accounts accounts_;
    Jobs jobs_;
    Projects projects_;
};

} // namespace cluster::app
