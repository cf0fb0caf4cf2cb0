// What the accounts are told by the environment.
#pragma once

#include "app/base/environment.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace cluster::app {

struct AccountOptions {
    std::string secret;         ///< JWT_SECRET; "": kept in `secret_file`, made when missing
    std::string refresh_secret; ///< JWT_REFRESH_SECRET; "": derived from `secret`
    std::string secret_file;    ///< in DATA_DIR: for the instances of one host
    milliseconds access_life{std::chrono::minutes{15}};      ///< JWT_EXPIRATION, JWT_EXPIRE
    milliseconds refresh_life{std::chrono::days{7}};         ///< JWT_REFRESH_EXPIRATION, …_EXPIRE
    milliseconds session_life{std::chrono::seconds{86'400}}; ///< SESSION_EXPIRATION
    std::uint32_t hash_memory_kib = 19'456;                  ///< ARGON2_MEMORY_KIB
    std::uint32_t hash_passes = 2;                           ///< ARGON2_TIME
    unsigned hash_threads = 2;                               ///< ARGON2_THREADS: at one time
    /// TOKEN_CHECK_ON_ERROR: let access tokens pass while nobody can say which were revoked.
    bool allow_unchecked = false;
    /// SESSION_REQUIRED: refuse access tokens whose session is not there any more.
    bool session_required = false;
};

/// Each fault names the variable, what it must be and (but for secrets) what it was.
[[nodiscard]] AccountOptions read_account_options(Environment& environment);

/// The secret in the file `path`, which is made (0600) with a random one when it is missing: all
/// instances of the host get the same. Errors: of the file system; a file that holds none.
[[nodiscard]] Result<std::string> secret_of_host(const std::string& path);

} // namespace cluster::app
