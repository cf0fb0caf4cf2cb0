// `.env` files below the real environment.
#pragma once

#include "app/base/environment.hpp"

namespace cluster::app {

/// The variables of `real`, and for those that it lacks the ones of these files, the first that
/// has it: ENV_FILE, `.env.NODE_ENV` (else `.env.APP_ENV`), `.env`; the last two in `folder`, if
/// they are there. A file that cannot be read or understood is a fault.
[[nodiscard]] Environment load_environment(const Variables& real, const std::string& folder);

} // namespace cluster::app
