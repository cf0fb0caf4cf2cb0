#include "app/accounts/passwords.hpp"

#include "app/base/ids.hpp"

#include <argon2.h>
#include <fmt/format.h>

#include <array>
#include <utility>

namespace cluster::app {
namespace {

constexpr std::uint32_t kLanes = 1;
constexpr std::size_t kHashBytes = 32;

std::unexpected<ipc::Error> failure(int code)
{
    return trouble(Trouble::refused, std::string{"argon2: "} + ::argon2_error_message(code));
}

Result<std::string> encode(const std::string& password, const std::string& salt, HashCost cost)
{
    std::array<char, 256> encoded{};
    const int code = ::argon2id_hash_encoded(cost.passes, cost.memory_kib, kLanes, password.data(),
                                             password.size(), salt.data(), salt.size(), kHashBytes,
                                             encoded.data(), encoded.size());
    if (code != ARGON2_OK) return failure(code);
    return std::string{encoded.data()};
}

Result<bool> verify(const std::string& password, const std::string& encoded)
{
    const int code = ::argon2id_verify(encoded.c_str(), password.data(), password.size());
    if (code == ARGON2_OK) return true;
    if (code == ARGON2_VERIFY_MISMATCH) return false;
    return failure(code);
}

} // namespace

asio::awaitable<Result<std::string>> Passwords::hash(std::string password)
{
    auto work = [password = std::move(password), salt = random_token(16), cost = cost_]() {
        return encode(password, salt, cost);
    };
    auto running = pool_.run(std::move(work));
    co_return co_await std::move(running);
}

asio::awaitable<Result<bool>> Passwords::matches(std::string password, std::string encoded)
{
    auto work = [password = std::move(password), encoded = std::move(encoded)]() {
        return verify(password, encoded);
    };
    auto running = pool_.run(std::move(work));
    co_return co_await std::move(running);
}

asio::awaitable<Result<bool>> Passwords::matches_nobody(std::string password)
{
    // A salt and a hash that no password is known for; argon2 computes all the same.
    std::string nobody = fmt::format("$argon2id$v=19$m={},t={},p={}$AAAAAAAAAAAAAAAAAAAAAA$"
                                     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                     cost_.memory_kib, cost_.passes, kLanes);
    auto checking = matches(std::move(password), std::move(nobody));
    auto matched = co_await std::move(checking);
    if (!matched) co_return matched;
    co_return false;
}

} // namespace cluster::app
