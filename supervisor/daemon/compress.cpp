#include "supervisor/daemon/compress.hpp"

#include "ipc/wire/log_times.hpp"
#include "supervisor/core/rotation.hpp"

#include <zlib.h>
#include <zstd.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace cluster::supervisor {
namespace {

using ipc::Compression;
using ipc::fail;
using ipc::Result;

constexpr std::size_t kPiece = std::size_t{4} << 20U;
constexpr int kZstdLevel = 3;
constexpr int kGzipLevel = 6;
constexpr int kGzipWindow = 15 + 16; ///< zlib.h: 16 more than the window asks for gzip's header
constexpr int kIdlePriority = 19;
constexpr int kIoProcess = 1;     ///< man 2 ioprio_set: IOPRIO_WHO_PROCESS
constexpr int kIoIdle = 3 << 13U; ///< IOPRIO_CLASS_IDLE

/// One piece as a frame of zstd or a member of gzip.
class Packer {
public:
    explicit Packer(Compression as) : as_{as}
    {
        if (as_ != Compression::zstd) return;
        zstd_.reset(::ZSTD_createCCtx());
        if (zstd_) ::ZSTD_CCtx_setParameter(zstd_.get(), ZSTD_c_checksumFlag, 1);
        if (zstd_) ::ZSTD_CCtx_setParameter(zstd_.get(), ZSTD_c_compressionLevel, kZstdLevel);
    }

    Result<std::span<const char>> pack(std::span<char> piece)
    {
        return as_ == Compression::zstd ? zstd(piece) : gzip(piece);
    }

private:
    Result<std::span<const char>> zstd(std::span<char> piece)
    {
        if (!zstd_) return fail(ENOMEM, "zstd");
        out_.resize(::ZSTD_compressBound(piece.size()));
        const std::size_t size =
            ::ZSTD_compress2(zstd_.get(), out_.data(), out_.size(), piece.data(), piece.size());
        if (::ZSTD_isError(size) != 0)
            return fail(EIO, std::string{"zstd: "} + ::ZSTD_getErrorName(size));
        return std::span<const char>{out_.data(), size};
    }

    Result<std::span<const char>> gzip(std::span<char> piece)
    {
        z_stream stream{};
        if (::deflateInit2(&stream, kGzipLevel, Z_DEFLATED, kGzipWindow, MAX_MEM_LEVEL,
                           Z_DEFAULT_STRATEGY) != Z_OK)
            return fail(ENOMEM, "gzip");
        out_.resize(::deflateBound(&stream, static_cast<uLong>(piece.size())));
        stream.next_in = reinterpret_cast<Bytef*>(piece.data());
        stream.avail_in = static_cast<uInt>(piece.size());
        stream.next_out = reinterpret_cast<Bytef*>(out_.data());
        stream.avail_out = static_cast<uInt>(out_.size());
        const int done = ::deflate(&stream, Z_FINISH);
        const std::size_t size = stream.total_out;
        ::deflateEnd(&stream);
        if (done != Z_STREAM_END) return fail(EIO, "gzip");
        return std::span<const char>{out_.data(), size};
    }

    struct FreeContext {
        void operator()(ZSTD_CCtx* context) const { ::ZSTD_freeCCtx(context); }
    };

    Compression as_;
    std::unique_ptr<ZSTD_CCtx, FreeContext> zstd_;
    std::vector<char> out_;
};

/// As much as the buffer holds, unless the file ends before.
Result<std::size_t> fill(ipc::System& system, int fd, std::span<char> buffer)
{
    std::size_t filled = 0;
    while (filled < buffer.size()) {
        const auto size = system.read(fd, buffer.data() + filled, buffer.size() - filled);
        if (!size) return size;
        if (*size == 0) break;
        filled += *size;
    }
    return filled;
}

Result<void> write_all(ipc::System& system, int fd, std::span<const char> bytes)
{
    while (!bytes.empty()) {
        const auto size = system.write(fd, bytes.data(), bytes.size());
        if (!size) return std::unexpected(size.error());
        bytes = bytes.subspan(*size);
    }
    return {};
}

Result<void> pack_all(ipc::System& system, int from, int to, Compression as)
{
    Packer packer{as};
    std::vector<char> buffer(kPiece);
    while (true) {
        const auto size = fill(system, from, buffer);
        if (!size) return std::unexpected(size.error());
        if (*size == 0) return {};
        const auto packed = packer.pack({buffer.data(), *size});
        if (!packed) return std::unexpected(packed.error());
        if (auto written = write_all(system, to, *packed); !written) return written;
    }
}

/// Owner, mode and time: best effort, except that nobody may read it who could not before.
Result<void> take_after(int to, const struct stat& old)
{
    [[maybe_unused]] const int ignored = ::fchown(to, old.st_uid, old.st_gid);
    if (::fchmod(to, old.st_mode & 07777U) < 0) return fail(errno, "chmod");
    const timespec times[2] = {old.st_atim, old.st_mtim};
    if (::futimens(to, times) < 0) return fail(errno, "set time");
    return {};
}

std::string index_of(const ipc::HomePaths& paths, const struct stat& about)
{
    return paths.logs + "/" + ipc::log_times_name(about.st_dev, about.st_ino);
}

/// The new file gets a second name of the index, so that there is no moment without one.
void link_index(const ipc::HomePaths& paths, const struct stat& old, const struct stat& made)
{
    const std::string from = index_of(paths, old);
    const std::string to = index_of(paths, made);
    ::unlink(to.c_str()); // of a file that had the inode before
    [[maybe_unused]] const int ignored = ::link(from.c_str(), to.c_str());
}

Result<void> sync_folder(ipc::System& system, const std::string& file)
{
    const auto slash = file.rfind('/');
    const auto folder = system.open(file.substr(0, slash + 1), O_RDONLY | O_DIRECTORY);
    if (!folder) return std::unexpected(folder.error());
    return system.fsync(folder->get());
}

} // namespace

void become_background()
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setpriority(PRIO_PROCESS, 0, kIdlePriority);
    ::syscall(SYS_ioprio_set, kIoProcess, 0, kIoIdle);
}

Result<void> compress_log(ipc::System& system, const ipc::HomePaths& paths, const std::string& file,
                          Compression as)
{
    const auto from = system.open(file, O_RDONLY | O_NOFOLLOW);
    if (!from && from.error().code == std::errc::no_such_file_or_directory) return {};
    if (!from) return std::unexpected(from.error());
    // Of two daemons' compressors, one after the other's death, one waits for the next time.
    if (::flock(from->get(), LOCK_EX | LOCK_NB) < 0) return {};
    const auto old = system.fstat(from->get());
    if (!old) return std::unexpected(old.error());
    if (old->st_nlink == 0) return {}; // the one before us has just finished

    const std::string name = file + std::string{compressed_suffix(as)};
    const std::string temporary = name + ".tmp";
    const auto to = system.open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (!to) return std::unexpected(to.error());
    const auto made = system.fstat(to->get());
    if (!made) return std::unexpected(made.error());
    auto done = pack_all(system, from->get(), to->get(), as);
    if (done) done = take_after(to->get(), *old);
    if (done) done = system.fsync(to->get());
    const auto still = system.fstat(from->get());
    if (done && still && still->st_size != old->st_size)
        done = fail(EBUSY, "somebody else writes to " + file);
    if (!done || !still || still->st_nlink == 0) { // removed meanwhile: nobody wants it
        (void)system.unlink(temporary);
        return done;
    }
    link_index(paths, *old, *made);
    if (auto renamed = system.rename(temporary, name); !renamed) return renamed;
    if (auto synced = sync_folder(system, file); !synced) return synced;
    if (auto removed = system.unlink(file); !removed) return removed;
    return system.unlink(index_of(paths, *old));
}

} // namespace cluster::supervisor
