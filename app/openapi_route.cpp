#include "app/openapi_route.hpp"

#include <cstddef>
#include <string>

namespace cluster::app {

// Made by CMake from app/openapi.json.
extern const unsigned char kOpenapiBytes[];
extern const std::size_t kOpenapiSize;

namespace {

asio::awaitable<Response> send_openapi(Request&)
{
    Response response;
    response.body = std::string{openapi_text()};
    response.headers.emplace_back("Cache-Control", "public, max-age=300");
    co_return response;
}

} // namespace

std::string_view openapi_text()
{
    return {reinterpret_cast<const char*>(kOpenapiBytes), kOpenapiSize};
}

void add_openapi_route(Router& router)
{
    router.add({.method = http::verb::get,
                .pattern = "/api/openapi.json",
                .handler = send_openapi,
                .rules = {.limited = false}});
}

} // namespace cluster::app
