// Who is an administrator: whose account has one of the addresses in ADMIN_EMAILS.
#pragma once

#include "app/queue/routes.hpp"
#include "app/store/store.hpp"

#include <string>
#include <vector>

namespace cluster::app {

/// `accounts` must outlive it. Nobody is one when `emails` is empty. Letter case does not matter.
[[nodiscard]] AdminRule make_admin_rule(AccountStore& accounts, std::vector<std::string> emails);

} // namespace cluster::app
