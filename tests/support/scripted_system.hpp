// A System that a test has written: files, processes and answers are members, every call is
// recorded, and one chosen call fails. Descriptors are real ones, so that UniqueFd can close them;
// pipes are real pipes.
#pragma once

#include "ipc/base/system.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace cluster::tests {

class ScriptedSystem final : public ipc::System {
public:
    // What there is.
    std::map<std::string, std::string> files; ///< path → content
    /// What a file holds after its next reading, after the one that follows, …
    std::map<std::string, std::deque<std::string>> then_files;
    std::map<std::string, std::string> links;               ///< path → target
    std::map<std::string, std::pair<uid_t, mode_t>> rights; ///< ours and 0644 where there is none
    std::set<pid_t> alive;                                  ///< pids, and process groups as -pgid
    std::deque<std::pair<pid_t, ipc::ExitStatus>> ended;    ///< children to be reaped, in order
    std::optional<ipc::ExitStatus> exit_told; ///< what the kernel tells of others' children
    int cpus = 1;
    /// The other ends of pidfds: erased, the process has ended.
    std::multimap<pid_t, ipc::UniqueFd> pidfds;
    std::function<void(pid_t)> on_wait; ///< looks at the moment before a child is reaped
    std::function<void()> on_kill;      ///< and before a signal is sent

    // What has happened.
    std::vector<std::string> calls; ///< "open /x", "kill 7 9", …
    std::vector<std::pair<pid_t, int>> kills;

    /// The n-th call from now on (1 is the next one) fails with this errno.
    void fail_nth(int n, int error)
    {
        countdown_ = n;
        countdown_error_ = error;
    }
    /// Whether that call has come.
    [[nodiscard]] bool has_failed() const { return countdown_ == 0; }
    /// Every call whose record begins with `prefix` fails with this errno: "kill 7", "open /x"; 0:
    /// no more.
    void fail_always(std::string prefix, int error) { faults_[std::move(prefix)] = error; }

    [[nodiscard]] int count(const std::string& prefix) const
    {
        return static_cast<int>(std::ranges::count_if(
            calls, [&](const std::string& call) { return call.starts_with(prefix); }));
    }

    ipc::Result<ipc::UniqueFd> open(const std::string& path, int flags, mode_t mode) override
    {
        if (const int error = enter("open " + path)) return ipc::fail(error, "open " + path);
        if (is_real_pipe(path)) {
            ipc::UniqueFd again{::open(path.c_str(), flags | O_CLOEXEC)};
            opened_.erase(again.get());
            return again;
        }
        if ((flags & O_CREAT) == 0 && !files.contains(path))
            return ipc::fail(ENOENT, "open " + path);
        if ((flags & O_EXCL) != 0 && files.contains(path)) return ipc::fail(EEXIST, "open " + path);
        if (!files.contains(path)) rights[path] = {::geteuid(), mode};
        std::string& content = files[path];
        if ((flags & O_TRUNC) != 0) content.clear();
        ipc::UniqueFd fd{::open("/dev/null", O_RDWR | O_CLOEXEC)};
        opened_[fd.get()] = {path, 0, (flags & O_APPEND) != 0};
        return fd;
    }

    ipc::Result<struct stat> fstat(int fd) override
    {
        if (const int error = enter("fstat")) return ipc::fail(error, "fstat");
        struct stat answer{};
        const auto file = opened_.find(fd);
        if (file == opened_.end()) {
            ::fstat(fd, &answer);
        } else {
            const auto known = rights.find(file->second.path);
            answer.st_uid = known == rights.end() ? ::geteuid() : known->second.first;
            answer.st_mode = S_IFREG | (known == rights.end() ? 0644 : known->second.second);
            answer.st_size = static_cast<off_t>(files[file->second.path].size());
        }
        return answer;
    }

    ipc::Result<void> fchown(int, uid_t uid, gid_t gid) override
    {
        return plain("fchown " + std::to_string(uid) + " " + std::to_string(gid));
    }
    ipc::Result<void> fsync(int) override { return plain("fsync"); }

    ipc::Result<void> ftruncate(int fd, off_t size) override
    {
        if (const int error = enter("ftruncate")) return ipc::fail(error, "ftruncate");
        files[opened_[fd].path].resize(static_cast<std::size_t>(size));
        return {};
    }

    ipc::Result<void> reserve(int, off_t, off_t) override { return plain("fallocate"); }

    ipc::Result<void> rename(const std::string& from, const std::string& to) override
    {
        const std::string call = "rename " + from + " to " + to;
        if (const int error = enter(call)) return ipc::fail(error, call);
        auto file = files.extract(from);
        if (!file) return ipc::fail(ENOENT, call);
        files[to] = std::move(file.mapped());
        if (const auto known = rights.find(from); known != rights.end()) rights[to] = known->second;
        for (auto& [fd, opened] : opened_)
            if (opened.path == from) opened.path = to;
        return {};
    }

    ipc::Result<void> unlink(const std::string& path) override
    {
        if (const int error = enter("unlink " + path)) return ipc::fail(error, "unlink " + path);
        files.erase(path);
        return {};
    }

    ipc::Result<void> make_directories(const std::string& path, mode_t) override
    {
        return plain("create directory " + path);
    }

    ipc::Result<void> remove_directory(const std::string& path) override
    {
        return plain("remove directory " + path);
    }

    /// A file "path#name" is the attribute.
    ipc::Result<std::string> getxattr(const std::string& path, const std::string& name) override
    {
        const auto found = files.find(path + "#" + name);
        if (found == files.end()) return ipc::fail(ENODATA, "getxattr " + name + " of " + path);
        return found->second;
    }

    /// The first components below `path` of all files and links.
    ipc::Result<std::vector<std::string>> list_directory(const std::string& path) override
    {
        if (const int error = enter("list directory " + path))
            return ipc::fail(error, "list directory " + path);
        const std::string prefix = path.ends_with('/') ? path : path + "/";
        std::set<std::string> names;
        const auto add = [&](const auto& paths) {
            for (const auto& [name, value] : paths)
                if (name.starts_with(prefix))
                    names.insert(
                        name.substr(prefix.size(), name.find('/', prefix.size()) - prefix.size()));
        };
        add(files);
        add(links);
        if (names.empty()) return ipc::fail(ENOENT, "list directory " + path);
        return std::vector<std::string>{names.begin(), names.end()};
    }

    ipc::Result<std::string> readlink(const std::string& path) override
    {
        if (const int error = enter("readlink " + path))
            return ipc::fail(error, "readlink " + path);
        const auto link = links.find(path);
        if (link == links.end()) return ipc::fail(ENOENT, "readlink " + path);
        return link->second;
    }

    ipc::Result<std::string> read_file(const std::string& path) override
    {
        if (const int error = enter("read " + path)) return ipc::fail(error, "read " + path);
        const auto file = files.find(path);
        if (file == files.end()) return ipc::fail(ENOENT, "open " + path);
        std::string content = file->second;
        if (auto& later = then_files[path]; !later.empty()) {
            file->second = std::move(later.front());
            later.pop_front();
        }
        return content;
    }

    ipc::Result<std::size_t> read_small(const char* path, std::span<char> into) override
    {
        const auto text = read_file(path);
        if (!text) return std::unexpected(text.error());
        return text->copy(into.data(), into.size());
    }

    ipc::Result<std::size_t> read(int fd, void* into, std::size_t size) override
    {
        if (const int error = enter("read")) return ipc::fail(error, "read");
        const auto file = opened_.find(fd);
        if (file == opened_.end()) return real(::read(fd, into, size), "read");
        const auto got = copy_from(file->second.path, into, size, file->second.at);
        file->second.at += got;
        return got;
    }

    ipc::Result<std::size_t> pread(int fd, void* into, std::size_t size, off_t at) override
    {
        if (const int error = enter("pread")) return ipc::fail(error, "pread");
        return copy_from(opened_[fd].path, into, size, static_cast<std::size_t>(at));
    }

    ipc::Result<std::size_t> write(int fd, const void* from, std::size_t size) override
    {
        if (const int error = enter("write")) return ipc::fail(error, "write");
        const auto file = opened_.find(fd);
        if (file == opened_.end() || !is_scripted(fd))
            return real(::write(fd, from, size), "write");
        auto& [path, at, append] = file->second;
        if (append) at = files[path].size();
        put(path, at, {static_cast<const char*>(from), size});
        at += size;
        return size;
    }

    ipc::Result<std::size_t> splice(int pipe, int out, off_t* at, std::size_t size) override
    {
        if (const int error = enter("splice")) return ipc::fail(error, "splice");
        std::string bytes(size, '\0');
        const auto got = real(::read(pipe, bytes.data(), size), "splice");
        if (!got) return got;
        auto& file = opened_[out];
        const std::size_t where = at ? static_cast<std::size_t>(*at) : file.at;
        put(file.path, where, std::string_view{bytes}.substr(0, *got));
        if (at) *at += static_cast<off_t>(*got);
        if (!at) file.at += *got;
        return got;
    }

    ipc::Result<std::size_t> tee(int from, int to, std::size_t size) override
    {
        if (const int error = enter("tee")) return ipc::fail(error, "tee");
        return real(::tee(from, to, size, SPLICE_F_NONBLOCK), "tee");
    }

    ipc::Result<std::size_t> pwrite(int fd, const void* from, std::size_t size, off_t at) override
    {
        if (const int error = enter("pwrite")) return ipc::fail(error, "pwrite");
        put(opened_[fd].path, static_cast<std::size_t>(at), {static_cast<const char*>(from), size});
        return size;
    }

    ipc::Result<ipc::Pipe> pipe() override
    {
        if (const int error = enter("pipe")) return ipc::fail(error, "pipe");
        int ends[2] = {-1, -1};
        if (::pipe2(ends, O_CLOEXEC) < 0) return ipc::fail(errno, "pipe");
        ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
        opened_.erase(ends[0]);
        opened_.erase(ends[1]);
        return ipc::Pipe{ipc::UniqueFd{ends[0]}, ipc::UniqueFd{ends[1]}};
    }

    ipc::Result<void> kill(pid_t pid, int signal) override
    {
        const std::string call = "kill " + std::to_string(pid) + " " + std::to_string(signal);
        if (const int error = enter(call)) return ipc::fail(error, call);
        if (!alive.contains(pid)) return ipc::fail(ESRCH, call);
        if (on_kill) on_kill();
        kills.emplace_back(pid, signal);
        return {};
    }

    ipc::Result<std::optional<ipc::ExitStatus>> wait(pid_t pid) override
    {
        const std::string call = "wait for " + std::to_string(pid);
        if (const int error = enter(call)) return ipc::fail(error, call);
        if (on_wait) on_wait(pid);
        const auto found = std::ranges::find(ended, pid, &decltype(ended)::value_type::first);
        if (found != ended.end()) {
            const ipc::ExitStatus status = found->second;
            ended.erase(found);
            return status;
        }
        if (alive.contains(pid)) return std::nullopt;
        return ipc::fail(ECHILD, call);
    }

    ipc::Result<std::optional<ipc::ExitStatus>> peek_exit(pid_t pid) override
    {
        const std::string call = "peek at " + std::to_string(pid);
        if (const int error = enter(call)) return ipc::fail(error, call);
        const auto found = std::ranges::find(ended, pid, &decltype(ended)::value_type::first);
        if (found != ended.end()) return found->second;
        if (alive.contains(pid)) return std::nullopt;
        return ipc::fail(ECHILD, call);
    }

    std::optional<ipc::ExitStatus> exit_of(int /*pidfd*/) override { return exit_told; }

    ipc::Result<std::optional<std::pair<pid_t, ipc::ExitStatus>>> peek_any() override
    {
        if (const int error = enter("wait for any child")) return ipc::fail(error, "wait");
        if (ended.empty()) return std::nullopt;
        return ended.front();
    }

    ipc::Result<ipc::UniqueFd> pidfd_open(pid_t pid) override
    {
        const std::string call = "pidfd_open " + std::to_string(pid);
        if (const int error = enter(call)) return ipc::fail(error, call);
        if (!alive.contains(pid)) return ipc::fail(ESRCH, call);
        int ends[2] = {-1, -1};
        if (::pipe2(ends, O_CLOEXEC) < 0) return ipc::fail(errno, call);
        pidfds.emplace(pid, ipc::UniqueFd{ends[1]});
        return ipc::UniqueFd{ends[0]};
    }

    ipc::Result<int> sched_getaffinity() override
    {
        if (const int error = enter("sched_getaffinity")) return ipc::fail(error, "affinity");
        return cpus;
    }

private:
    struct Opened {
        std::string path;
        std::size_t at = 0;
        bool append = false;
    };

    /// Else the number has become another descriptor's.
    static bool is_scripted(int fd)
    {
        struct stat about{};
        return ::fstat(fd, &about) == 0 && S_ISCHR(about.st_mode);
    }

    /// "/proc/self/fd/N" of a descriptor that is a pipe.
    static bool is_real_pipe(const std::string& path)
    {
        struct stat about{};
        return path.starts_with("/proc/self/fd/") && ::stat(path.c_str(), &about) == 0 &&
               S_ISFIFO(about.st_mode);
    }

    /// Records the call; the errno with which it shall fail, or 0.
    int enter(std::string call)
    {
        calls.push_back(std::move(call));
        if (countdown_ > 0 && --countdown_ == 0) return countdown_error_;
        for (const auto& [prefix, error] : faults_)
            if (calls.back().starts_with(prefix)) return error;
        return 0;
    }

    ipc::Result<void> plain(const std::string& call)
    {
        if (const int error = enter(call)) return ipc::fail(error, call);
        return {};
    }

    static ipc::Result<std::size_t> real(ssize_t answer, const char* what)
    {
        if (answer < 0) return ipc::fail(errno, what);
        return static_cast<std::size_t>(answer);
    }

    std::size_t copy_from(const std::string& path, void* into, std::size_t size, std::size_t at)
    {
        const std::string& content = files[path];
        return at < content.size() ? content.copy(static_cast<char*>(into), size, at) : 0;
    }

    void put(const std::string& path, std::size_t at, std::string_view bytes)
    {
        std::string& content = files[path];
        content.resize(std::max(content.size(), at + bytes.size()));
        std::ranges::copy(bytes, content.begin() + static_cast<std::ptrdiff_t>(at));
    }

    std::map<int, Opened> opened_;
    std::map<std::string, int> faults_;
    int countdown_ = 0;
    int countdown_error_ = 0;
};

} // namespace cluster::tests
