#include "supervisor/sys/launcher.hpp"

#include "ipc/base/text.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>

namespace cluster::supervisor {
namespace {

struct User {
    uid_t uid;
    gid_t gid;
    std::string name;
    std::string home;
};

/// Runs one of the getpw…_r and getgr…_r calls with a buffer that is large enough. True when there
/// is such an entry; errors: the errno of the call.
template <class Entry, class Call>
ipc::Result<bool> look_up(Entry& entry, std::vector<char>& buffer, const std::string& what,
                          Call call)
{
    buffer.resize(4096);
    while (true) {
        Entry* found = nullptr;
        const int error = call(&entry, buffer.data(), buffer.size(), &found);
        if (error == ERANGE) {
            buffer.resize(buffer.size() * 4);
        } else if (error != 0 && error != ENOENT && error != ESRCH) {
            return ipc::fail(error, "look up " + what);
        } else {
            return found != nullptr;
        }
    }
}

ipc::Result<User> find_user(const std::string& user)
{
    passwd entry{};
    std::vector<char> buffer;
    const std::string what = "user " + user;
    auto found = look_up(entry, buffer, what,
                         [&](auto... rest) { return ::getpwnam_r(user.c_str(), rest...); });
    if (found && !*found) {
        if (const auto uid = ipc::parse_number<unsigned>(user))
            found = look_up(entry, buffer, what,
                            [&](auto... rest) { return ::getpwuid_r(*uid, rest...); });
    }
    if (!found) return std::unexpected(found.error());
    if (!*found) return ipc::fail(std::error_code{}, "unknown " + what);
    return User{entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir};
}

ipc::Result<gid_t> find_group(const std::string& group)
{
    struct group entry{};
    std::vector<char> buffer;
    const std::string what = "group " + group;
    const auto found = look_up(entry, buffer, what,
                               [&](auto... rest) { return ::getgrnam_r(group.c_str(), rest...); });
    if (!found) return std::unexpected(found.error());
    if (*found) return entry.gr_gid;
    // A number needs no entry: nothing but the number goes to the kernel.
    if (const auto gid = ipc::parse_number<unsigned>(group)) return *gid;
    return ipc::fail(std::error_code{}, "unknown " + what);
}

std::vector<gid_t> supplementary_groups(const std::string& user, gid_t gid)
{
    std::vector<gid_t> groups(16);
    int count = static_cast<int>(groups.size());
    while (::getgrouplist(user.c_str(), gid, groups.data(), &count) < 0)
        groups.resize(static_cast<std::size_t>(count)); // it has told how many there are
    groups.resize(static_cast<std::size_t>(count));
    return groups;
}

} // namespace

ipc::Result<std::optional<Identity>> look_up_identity(const std::string& user,
                                                      const std::string& group)
{
    Identity identity{::geteuid(), ::getegid(), {}, {}, {}};
    if (!user.empty()) {
        auto found = find_user(user);
        if (!found) return std::unexpected(found.error());
        identity = {found->uid, found->gid, std::move(found->name), std::move(found->home), {}};
    }
    if (!group.empty()) {
        const auto gid = find_group(group);
        if (!gid) return std::unexpected(gid.error());
        identity.gid = *gid;
    }
    if (identity.uid == ::geteuid() && identity.gid == ::getegid()) return std::nullopt;
    if (::geteuid() != 0)
        return ipc::fail(EPERM, (user.empty() ? "become group " + group : "become user " + user) +
                                    ", which takes a daemon that runs as root");
    if (user.empty()) {
        identity.user = std::to_string(identity.uid);
        identity.groups = {identity.gid};
    } else {
        identity.groups = supplementary_groups(identity.user, identity.gid);
    }
    return identity;
}

} // namespace cluster::supervisor
