// How expected failures travel: a value or an Error, never an exception (house rule:
// ARCHITECTURE.md, "Errors"). `Error::code` is for programs, `Error::what` for people.
#pragma once

#include <expected>
#include <string>
#include <system_error>

namespace cluster::ipc {

struct Error {
    std::error_code code; ///< the errno or library code
    std::string what;     ///< the operation and its object: "open /run/x.sock"

    /// One line for a person: "open /run/x.sock: no such file or directory".
    [[nodiscard]] std::string text() const;
};

template <class T>
using Result = std::expected<T, Error>;

/// What a function returns when it fails: `return fail(errno, "open " + path);`
std::unexpected<Error> fail(std::error_code code, std::string what);
std::unexpected<Error> fail(int error_number, std::string what);

/// Descriptors or memory are used up, ours or the machine's: no fault of what was tried, which may
/// work later.
bool is_shortage(const std::error_code& code);

/// The system's text of an errno in the way it stands inside a sentence: "no such file or
/// directory".
std::string errno_text(int error_number);

} // namespace cluster::ipc
