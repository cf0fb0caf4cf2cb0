// Why something that the server depends on could not be done, in the few kinds that an answer
// depends on. They travel in `ipc::Error::code`; `what` says it for people and logs.
#pragma once

#include "ipc/base/result.hpp"

#include <string>
#include <system_error>

namespace cluster::app {

using ipc::Result;

enum class Trouble {
    unavailable = 1, ///< the other side is away: 503 with Retry-After, nothing was changed
    unknown_outcome, ///< the connection broke after the request left: it may have been done
    overloaded,      ///< our own queue for it is full, or waiting took too long: 503
    conflict,        ///< it exists already, or others change it at the same time: 409
    refused,         ///< the other side understood and said no: a bug or a setting, 500
};

[[nodiscard]] std::error_code make_error_code(Trouble trouble);

/// `return trouble(Trouble::conflict, "create user: the address is taken");`
[[nodiscard]] std::unexpected<ipc::Error> trouble(Trouble kind, std::string what);

/// The kind that `error` is of; everything that is not ours counts as `refused`.
[[nodiscard]] Trouble kind_of(const ipc::Error& error);

} // namespace cluster::app

template <>
struct std::is_error_code_enum<cluster::app::Trouble> : std::true_type {};
