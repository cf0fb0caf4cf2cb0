#include "app/accounts/options.hpp"

#include "app/base/ids.hpp"
#include "ipc/base/unique_fd.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>

namespace cluster::app {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLeastSecret = 32;
constexpr milliseconds kLongest = std::chrono::days{3650};

void check_secret(Environment& environment, std::string_view name, const std::string& secret)
{
    if (!secret.empty() && secret.size() < kLeastSecret)
        environment.fault(fmt::format("{} must have at least {} characters, has {}: openssl rand "
                                      "-hex 32 makes one",
                                      name, kLeastSecret, secret.size()));
}

/// Both guides' names for the same thing; the first one counts.
milliseconds life(Environment& environment, std::string_view name, std::string_view other,
                  milliseconds fallback)
{
    const std::string_view used = environment.has(name) ? name : other;
    return environment.duration(used, fallback, 1s, kLongest);
}

Result<std::string> read_secret(const std::string& path)
{
    const ipc::UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd) return ipc::fail(errno, "open " + path);
    std::array<char, 4096> bytes{};
    const ssize_t got = ::read(fd.get(), bytes.data(), bytes.size());
    if (got < 0) return ipc::fail(errno, "read " + path);
    std::string secret{bytes.data(), static_cast<std::size_t>(got)};
    while (secret.ends_with('\n'))
        secret.pop_back();
    if (secret.size() < kLeastSecret)
        return ipc::fail(std::error_code{},
                         fmt::format("{} must hold at least {} characters", path, kLeastSecret));
    return secret;
}

} // namespace

AccountOptions read_account_options(Environment& environment)
{
    AccountOptions options;
    options.secret = environment.text("JWT_SECRET");
    options.refresh_secret = environment.text("JWT_REFRESH_SECRET");
    options.secret_file = environment.text("DATA_DIR", "data") + "/jwt-secret";
    check_secret(environment, "JWT_SECRET", options.secret);
    check_secret(environment, "JWT_REFRESH_SECRET", options.refresh_secret);
    if (!options.secret.empty() && options.secret == options.refresh_secret)
        environment.fault("JWT_REFRESH_SECRET must differ from JWT_SECRET");

    options.access_life = life(environment, "JWT_EXPIRATION", "JWT_EXPIRE", options.access_life);
    options.refresh_life =
        life(environment, "JWT_REFRESH_EXPIRATION", "JWT_REFRESH_EXPIRE", options.refresh_life);
    options.session_life =
        environment.duration("SESSION_EXPIRATION", options.session_life, 1s, kLongest);
    // argon2 itself wants 8 KiB per lane.
    options.hash_memory_kib =
        static_cast<std::uint32_t>(environment.number("ARGON2_MEMORY_KIB", 19'456, 8, 4'194'304));
    options.hash_passes = static_cast<std::uint32_t>(environment.number("ARGON2_TIME", 2, 1, 100));
    options.hash_threads = static_cast<unsigned>(environment.number("ARGON2_THREADS", 2, 1, 64));
    options.allow_unchecked =
        environment.choice("TOKEN_CHECK_ON_ERROR", "deny", {"deny", "allow"}) == "allow";
    options.session_required = environment.flag("SESSION_REQUIRED", false);
    return options;
}

Result<std::string> secret_of_host(const std::string& path)
{
    auto secret = read_secret(path);
    if (secret || secret.error().code != std::errc::no_such_file_or_directory) return secret;

    const auto folder = std::filesystem::path{path}.parent_path();
    std::error_code code;
    if (!folder.empty()) std::filesystem::create_directories(folder, code);
    if (code) return ipc::fail(code, "make the folder " + folder.string());
    // Whole before it has its name, and link(2) fails when another instance was quicker: theirs
    // counts.
    const std::string unfinished = fmt::format("{}.{}", path, random_token(8));
    const ipc::UniqueFd fd{
        ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!fd) return ipc::fail(errno, "open " + unfinished);
    const std::string text = random_token(48) + "\n";
    const bool written =
        ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
        ::fsync(fd.get()) == 0;
    const int error = written ? 0 : errno;
    const bool linked = written && ::link(unfinished.c_str(), path.c_str()) == 0;
    const int link_error = linked ? EEXIST : errno;
    ::unlink(unfinished.c_str());
    if (!written) return ipc::fail(error, "write " + unfinished);
    if (link_error != EEXIST) return ipc::fail(link_error, "link " + path);
    return read_secret(path);
}

} // namespace cluster::app
