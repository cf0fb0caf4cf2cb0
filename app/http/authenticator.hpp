// Who calls. The connection asks before the handler runs; app/accounts knows the answer.
#pragma once

#include "app/http/message.hpp"

#include <boost/asio/awaitable.hpp>

#include <expected>

namespace cluster::app {

namespace asio = boost::asio;

class Authenticator {
public:
    virtual ~Authenticator() = default;

    /// The caller that the request's access token names, or the answer to give instead (401, or
    /// 503 while it cannot be known). `request` stays where it is until this is done; it has an
    /// Authorization header.
    virtual asio::awaitable<std::expected<Caller, Response>>
    authenticate(const Request& request) = 0;
};

} // namespace cluster::app
