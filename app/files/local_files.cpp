#include "app/files/local_files.hpp"

#include "app/base/ids.hpp"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fmt/format.h>

namespace cluster::app::local_files {
namespace {

using json = nlohmann::ordered_json;

constexpr std::size_t kMaxInfo = 64 << 10;

std::string content_path(const std::string& folder, const std::string& key)
{
    return folder + "/" + key;
}

std::string info_path(const std::string& folder, const std::string& key)
{
    return folder + "/.info/" + key;
}

/// A disk that is full or broken passes; everything else is our fault or a setting.
std::unexpected<ipc::Error> failure(int error, const std::string& what)
{
    const bool passing = error == ENOSPC || error == EDQUOT || error == EIO || error == EROFS ||
                         error == EMFILE || error == ENFILE;
    return trouble(passing ? Trouble::unavailable : Trouble::refused,
                   what + ": " + ipc::errno_text(error));
}

Result<void> write_all(int fd, std::string_view bytes, const std::string& path)
{
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return failure(errno, "write " + path);
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

Result<std::string> read_small(const std::string& path)
{
    const ipc::UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    if (!fd) return failure(errno, "open " + path);
    std::string text(kMaxInfo, '\0');
    const auto size = read(fd.get(), 0, text);
    if (!size) return std::unexpected(size.error());
    text.resize(*size);
    return text;
}

FileInfo info_of(const NewFile& file, const struct stat& facts)
{
    const auto& changed = facts.st_mtim;
    return {.key = file.key,
            .name = file.name,
            .content_type = file.content_type,
            .owner = file.owner,
            .size = static_cast<std::uint64_t>(facts.st_size),
            .tag = fmt::format("{:x}-{:x}-{:x}{:09x}", facts.st_ino, facts.st_size, changed.tv_sec,
                               changed.tv_nsec),
            .changed_ms = changed.tv_sec * std::int64_t{1000} + changed.tv_nsec / 1'000'000};
}

} // namespace

Result<void> make_folders(const std::string& folder)
{
    for (const std::string& path : {folder, folder + "/.info", folder + "/.new"}) {
        std::error_code code;
        std::filesystem::create_directories(std::filesystem::path{path}.parent_path(), code);
        if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
            return failure(errno, "make folder " + path);
    }
    return {};
}

Result<Draft> Draft::begin(const std::string& folder)
{
    std::string path = folder + "/.new/" + random_token(16);
    ipc::UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!fd) return failure(errno, "create " + path);
    return Draft{folder, std::move(path), std::move(fd)};
}

Draft::~Draft()
{
    if (!path_.empty()) ::unlink(path_.c_str());
}

Result<void> Draft::write(std::string_view bytes)
{
    return write_all(fd_.get(), bytes, path_);
}

Result<FileInfo> Draft::keep(const NewFile& file)
{
    const json info{{"name", file.name}, {"contentType", file.content_type}, {"owner", file.owner}};
    auto about = begin(folder_);
    if (!about) return std::unexpected(about.error());
    auto told = about->write(info.dump(-1, ' ', false, json::error_handler_t::replace));
    if (!told) return std::unexpected(told.error());

    // What was acknowledged must survive a power cut.
    for (const int fd : {fd_.get(), about->fd_.get()})
        if (::fdatasync(fd) != 0) return failure(errno, "sync " + path_);
    struct stat facts{};
    if (::fstat(fd_.get(), &facts) != 0) return failure(errno, "stat " + path_);
    const std::string content = content_path(folder_, file.key);
    if (::rename(path_.c_str(), content.c_str()) != 0)
        return failure(errno, "rename to " + content);
    path_.clear();
    const std::string tells = info_path(folder_, file.key);
    if (::rename(about->path_.c_str(), tells.c_str()) != 0)
        return failure(errno, "rename to " + tells);
    about->path_.clear();
    return info_of(file, facts);
}

Result<std::optional<FileInfo>> stat(const std::string& folder, const std::string& key)
{
    const std::string path = content_path(folder, key);
    struct stat facts{};
    if (::lstat(path.c_str(), &facts) != 0) {
        if (errno == ENOENT) return std::nullopt;
        return failure(errno, "stat " + path);
    }
    if (!S_ISREG(facts.st_mode)) return std::nullopt;
    const std::string about = info_path(folder, key);
    if (::access(about.c_str(), F_OK) != 0 && errno == ENOENT) return std::nullopt;
    const auto text = read_small(about);
    if (!text) return std::unexpected(text.error());
    const json info = json::parse(*text, nullptr, false);
    if (!info.is_object()) return trouble(Trouble::refused, about + " is no JSON object");
    const auto field = [&](const char* name) {
        const auto found = info.find(name);
        return found != info.end() && found->is_string() ? found->get<std::string>() : "";
    };
    return info_of({.key = key,
                    .name = field("name"),
                    .content_type = field("contentType"),
                    .owner = field("owner")},
                   facts);
}

Result<ipc::UniqueFd> open(const std::string& folder, const FileInfo& info)
{
    const std::string path = content_path(folder, info.key);
    ipc::UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    if (!fd && errno == ENOENT) return trouble(Trouble::conflict, path + " was removed meanwhile");
    if (!fd) return failure(errno, "open " + path);
    struct stat facts{};
    if (::fstat(fd.get(), &facts) != 0) return failure(errno, "stat " + path);
    if (info_of({.key = info.key}, facts).tag != info.tag)
        return trouble(Trouble::conflict, path + " was replaced meanwhile");
    return fd;
}

Result<std::size_t> read(int fd, std::uint64_t offset, std::span<char> space)
{
    std::size_t size = 0;
    while (size < space.size()) {
        const ssize_t got = ::pread(fd, space.data() + size, space.size() - size,
                                    static_cast<off_t>(offset + size));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return failure(errno, "read a file");
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
    }
    return size;
}

Result<bool> remove(const std::string& folder, const std::string& key)
{
    bool there = false;
    for (const std::string& path : {info_path(folder, key), content_path(folder, key)}) {
        if (::unlink(path.c_str()) == 0)
            there = true;
        else if (errno != ENOENT)
            return failure(errno, "remove " + path);
    }
    return there;
}

} // namespace cluster::app::local_files
