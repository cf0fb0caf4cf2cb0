#include "supervisor/sys/keeper.hpp"

#include "ipc/base/text.hpp"

#include <sys/stat.h>

#include <utility>

namespace cluster::supervisor {

std::uint64_t inode_of(int fd)
{
    struct stat about{};
    return ::fstat(fd, &about) == 0 ? about.st_ino : 0;
}

std::optional<std::uint64_t> inode_in(std::string_view link)
{
    const auto open = link.find(":[");
    if (!link.ends_with(']') || open == link.npos) return std::nullopt;
    const std::string_view kind = link.substr(0, open);
    if (kind != "socket" && kind != "pipe") return std::nullopt;
    return ipc::parse_number<std::uint64_t>(link.substr(open + 2, link.size() - open - 3));
}

Kept::Kept(Keeper& keeper, int fd) : keeper_{&keeper}, inode_{inode_of(fd)}
{
    keeper_->keep(fd);
}

Kept::~Kept()
{
    if (inode_ != 0) keeper_->drop(inode_);
}

Kept::Kept(Kept&& other) noexcept : keeper_{other.keeper_}, inode_{std::exchange(other.inode_, 0)}
{
}

Kept& Kept::operator=(Kept&& other) noexcept
{
    Kept gone{std::move(*this)};
    keeper_ = other.keeper_;
    inode_ = std::exchange(other.inode_, 0);
    return *this;
}

void KeptFds::add(ipc::UniqueFd fd)
{
    const std::uint64_t inode = inode_of(fd.get());
    fds_.insert_or_assign(inode, std::move(fd));
}

ipc::UniqueFd KeptFds::take(std::uint64_t inode)
{
    auto found = fds_.extract(inode);
    return found ? std::move(found.mapped()) : ipc::UniqueFd{};
}

} // namespace cluster::supervisor
