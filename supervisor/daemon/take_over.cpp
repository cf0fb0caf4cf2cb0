#include "supervisor/daemon/take_over.hpp"

#include "supervisor/sys/memory_file.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <span>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::Error;
using ipc::fail;
using ipc::Result;
using ipc::UniqueFd;

/// Of those that are there once at most.
constexpr std::pair<FdRole, int TakeOver::*> kSingle[] = {{FdRole::lock, &TakeOver::lock},
                                                          {FdRole::listener, &TakeOver::listener},
                                                          {FdRole::channel, &TakeOver::channel},
                                                          {FdRole::journal, &TakeOver::journal},
                                                          {FdRole::program, &TakeOver::program}};

std::vector<std::pair<FdRole, int>> descriptors(const TakeOver& all)
{
    std::vector<std::pair<FdRole, int>> fds;
    for (const auto& [role, member] : kSingle)
        if (all.*member >= 0) fds.emplace_back(role, all.*member);
    for (const int fd : all.kept)
        fds.emplace_back(FdRole::kept, fd);
    return fds;
}

void take(TakeOver& all, FdRole role, int fd)
{
    if (role == FdRole::kept) all.kept.push_back(fd);
    for (const auto& [single, member] : kSingle)
        if (role == single) all.*member = fd;
}

void set_close_on_exec(const TakeOver& all, bool close)
{
    for (const auto& [role, fd] : descriptors(all))
        ::fcntl(fd, F_SETFD, close ? FD_CLOEXEC : 0);
}

/// All signals wait until the new program has its handlers: one that comes in between would end it.
sigset_t hold_signals()
{
    sigset_t every;
    sigset_t before;
    ::sigfillset(&every);
    ::pthread_sigmask(SIG_SETMASK, &every, &before);
    return before;
}

} // namespace

std::string take_over_text(const TakeOver& all)
{
    std::string list;
    for (const auto& [role, fd] : descriptors(all))
        append_to_list(list, encode_descriptor(role, fd));
    if (all.manager != 0) append_to_list(list, encode_manager(all.manager));
    for (std::span<const EndedProcess> rest{all.ended}; !rest.empty();) {
        const auto some = rest.first(std::min(rest.size(), kMaxPerMessage));
        append_to_list(list, encode_ended(Verb::ended, some));
        rest = rest.subspan(some.size());
    }
    if (all.upgrade) append_to_list(list, encode_upgrade(Verb::upgrade, *all.upgrade));
    if (all.outcome) append_to_list(list, encode_upgrade(Verb::outcome, *all.outcome));
    return list;
}

TakeOver parse_take_over(std::string_view text)
{
    TakeOver all;
    while (const auto bytes = next_of_list(text)) {
        const auto message = decode(*bytes);
        if (!message) continue;
        if (message->verb == Verb::descriptor) take(all, message->role, message->number);
        if (message->verb == Verb::manager) all.manager = message->number;
        if (message->verb == Verb::ended)
            all.ended.insert(all.ended.end(), message->ended.begin(), message->ended.end());
        if (message->verb == Verb::upgrade) all.upgrade = message->upgrade;
        if (message->verb == Verb::outcome) all.outcome = message->upgrade;
    }
    return all;
}

Error become_guardian(const std::string& path, int program_fd, const std::string& home,
                      bool foreground, const TakeOver& all)
{
    auto list = memory_file("clusterd take-over", take_over_text(all));
    if (!list) return list.error();
    const std::string list_fd = std::to_string(list->get());
    std::vector<const char*> words{"clusterd", "--take-over", list_fd.c_str(), "--home",
                                   home.c_str()};
    if (foreground) words.push_back("--foreground");
    words.push_back(nullptr);
    auto* const arguments = const_cast<char**>(words.data());

    ::fcntl(list->get(), F_SETFD, 0);
    set_close_on_exec(all, false);
    const sigset_t before = hold_signals();
    if (program_fd >= 0)
        ::execveat(program_fd, "", arguments, environ, AT_EMPTY_PATH);
    else
        ::execve(path.c_str(), arguments, environ);
    const int why = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    set_close_on_exec(all, true);
    return fail(why, "execute " + path).error();
}

Result<TakeOver> receive_take_over(UniqueFd fd)
{
    std::string text;
    std::array<char, 4096> piece{};
    while (true) {
        const ssize_t size =
            ::pread(fd.get(), piece.data(), piece.size(), static_cast<off_t>(text.size()));
        if (size < 0) return fail(errno, "read the list of what to take over");
        if (size == 0) break;
        text.append(piece.data(), static_cast<std::size_t>(size));
    }
    TakeOver all = parse_take_over(text);
    if (all.lock < 0 || all.listener < 0)
        return fail(EINVAL, "the list of what to take over is not complete");
    set_close_on_exec(all, true);
    return all;
}

void let_signals_in()
{
    sigset_t none;
    ::sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

} // namespace cluster::supervisor
