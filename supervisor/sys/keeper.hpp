// Descriptors that outlive the process that uses them: somebody else (the guardian) keeps a
// duplicate of each, and hands them to whoever comes after us. They are known by their inode, which
// the kernel gives to every pipe and socket and which the state of the daemon names.
#pragma once

#include "ipc/base/unique_fd.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

namespace cluster::supervisor {

class Keeper {
public:
    virtual ~Keeper() = default;
    /// Holds a duplicate from now on, whatever becomes of us. One that it holds already is no
    /// error.
    virtual void keep(int fd) = 0;
    virtual void drop(std::uint64_t inode) = 0;
    /// All that was said so far has been said: before another process gets a descriptor.
    virtual void flush() = 0;
};

/// Inode of a pipe, a socket or a memfd; 0 for what is no open descriptor.
[[nodiscard]] std::uint64_t inode_of(int fd);

/// Of the pipe or socket that a link in /proc/PID/fd names: "socket:[4711]".
[[nodiscard]] std::optional<std::uint64_t> inode_in(std::string_view link);

/// As long as it lives, the keeper has a duplicate. Stands beside the descriptor that it is about.
class Kept {
public:
    Kept() = default;
    Kept(Keeper& keeper, int fd);
    ~Kept();
    Kept(Kept&& other) noexcept;
    Kept& operator=(Kept&& other) noexcept;

    /// 0: nothing is kept.
    [[nodiscard]] std::uint64_t inode() const { return inode_; }

private:
    Keeper* keeper_ = nullptr;
    std::uint64_t inode_ = 0;
};

/// What was kept for us by the process before.
class KeptFds {
public:
    void add(ipc::UniqueFd fd);
    /// Invalid when there is none of this inode.
    [[nodiscard]] ipc::UniqueFd take(std::uint64_t inode);
    [[nodiscard]] const std::map<std::uint64_t, ipc::UniqueFd>& rest() const { return fds_; }

private:
    std::map<std::uint64_t, ipc::UniqueFd> fds_; ///< by inode
};

} // namespace cluster::supervisor
