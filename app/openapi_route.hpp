// GET /api/openapi.json: the description of all routes, app/openapi.json as it was at build time.
#pragma once

#include "app/http/router.hpp"

#include <string_view>

namespace cluster::app {

/// The text of app/openapi.json.
[[nodiscard]] std::string_view openapi_text();

void add_openapi_route(Router& router);

} // namespace cluster::app
