#include "app/api.hpp"

namespace cluster::app {
namespace {

/// At 35 ms each and two at a time about a second's worth: who would wait longer is better told.
constexpr std::size_t kHashesWaiting = 64;

} // namespace

Api::Api(Ground ground, const AccountOptions& options, milliseconds replica_lag)
    : lag_{ground.store.has_replicas() ? replica_lag : milliseconds{0}},
      hashing_{ground.io, "password hashing", options.hash_threads, kHashesWaiting},
      passwords_{hashing_, {.memory_kib = options.hash_memory_kib, .passes = options.hash_passes}},
      tokens_{ground.clock,
              {.access = options.secret,
               .refresh = options.refresh_secret,
               .access_life = options.access_life,
               .refresh_life = options.refresh_life}},
      sessions_{ground.key_value}, writes_{ground.key_value, lag_},
      revocation_{ground.clock,
                  ground.key_value,
                  options.access_life,
                  {.session_required = options.session_required, .ask_writes = writes_.needed()}},
      authenticator_{tokens_, revocation_, options.allow_unchecked},
      accounts_{{.clock = ground.clock,
                 .store = ground.store,
                 .passwords = passwords_,
                 .tokens = tokens_,
                 .revocation = revocation_,
                 .sessions = sessions_,
                 .writes = writes_},
                options,
                ground.metrics},
      jobs_{ground.clock, ground.store, writes_, ground.metrics},
      projects_{ground.clock, ground.store, writes_, ground.events}
{
}

void Api::add_routes(Router& router)
{
    add_account_routes(router, accounts_);
    add_job_routes(router, jobs_);
    add_project_routes(router, projects_);
}

} // namespace cluster::app
