// The tables in PostgreSQL and how they come to be.
#pragma once

#include "app/postgres/connection.hpp"

namespace cluster::app {

/// Brings the tables to the newest version, once: of instances that begin together one does it, the
/// others wait for it. Errors: refused when a newer version of this program has been there.
asio::awaitable<PgResult<void>> migrate_postgres(PgConnection& connection);

} // namespace cluster::app
