#include "cli/log_bytes.hpp"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace cluster::cli {
namespace {

constexpr std::size_t kPackedBytes = 64UL * 1024; ///< read at once
constexpr int kGzipWindow = 15 + 16;              ///< the largest one, and gzip's header (zlib.h)

std::unexpected<ipc::Error> damaged(std::string_view what)
{
    return ipc::fail(std::make_error_code(std::errc::illegal_byte_sequence),
                     std::string{"unpack: "} + std::string{what});
}

class PlainBytes final : public LogBytes {
public:
    PlainBytes(ipc::System& system, const OpenLog& log, std::uint64_t offset)
        : system_{system}, fd_{log.fd}, at_{std::min(offset, log.size)}, end_{log.size}
    {
    }

    ipc::Result<std::size_t> read(char* into, std::size_t size) override
    {
        const auto most = std::min<std::uint64_t>(size, end_ - at_);
        if (most == 0) return 0;
        const auto got = system_.pread(fd_, into, most, static_cast<off_t>(at_));
        if (got) at_ += *got;
        return got;
    }

private:
    ipc::System& system_;
    int fd_;
    std::uint64_t at_;
    std::uint64_t end_; ///< what is written behind it meanwhile is not ours
};

/// What the two kinds of unpacking share: a window on the file.
class PackedBytes : public LogBytes {
public:
    PackedBytes(ipc::System& system, const OpenLog& log)
        : system_{system}, fd_{log.fd}, buffer_(kPackedBytes)
    {
    }

protected:
    /// More packed bytes when all have been used; false at the end of the file.
    ipc::Result<bool> fill()
    {
        if (begin_ < end_) return true;
        const auto got = system_.pread(fd_, buffer_.data(), buffer_.size(), at_);
        if (!got) return std::unexpected(got.error());
        at_ += static_cast<off_t>(*got);
        begin_ = 0;
        end_ = *got;
        return *got > 0;
    }

    [[nodiscard]] char* packed() { return buffer_.data() + begin_; }
    [[nodiscard]] std::size_t packed_size() const { return end_ - begin_; }
    void used(std::size_t bytes) { begin_ += bytes; }

private:
    ipc::System& system_;
    int fd_;
    off_t at_ = 0;
    std::vector<char> buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

class ZstdBytes final : public PackedBytes {
public:
    ZstdBytes(ipc::System& system, const OpenLog& log)
        : PackedBytes{system, log}, stream_{::ZSTD_createDStream()}
    {
    }

    ipc::Result<std::size_t> read(char* into, std::size_t size) override
    {
        ZSTD_outBuffer out{into, size, 0};
        while (out.pos == 0) {
            const auto more = fill();
            if (!more) return std::unexpected(more.error());
            if (!*more && finished_) return 0;
            ZSTD_inBuffer in{packed(), packed_size(), 0};
            const std::size_t left = ::ZSTD_decompressStream(stream_.get(), &out, &in);
            if (::ZSTD_isError(left) != 0) return damaged(::ZSTD_getErrorName(left));
            used(in.pos);
            finished_ = left == 0;
            if (!*more && out.pos == 0) return damaged("the file is cut off");
        }
        return out.pos;
    }

private:
    struct Release {
        void operator()(ZSTD_DStream* stream) const { ::ZSTD_freeDStream(stream); }
    };
    std::unique_ptr<ZSTD_DStream, Release> stream_;
    bool finished_ = true; ///< at the end of a frame: the file may end, or go on with another one
};

class GzipBytes final : public PackedBytes {
public:
    GzipBytes(ipc::System& system, const OpenLog& log) : PackedBytes{system, log}
    {
        good_ = ::inflateInit2(&stream_, kGzipWindow) == Z_OK;
    }
    ~GzipBytes() override
    {
        if (good_) ::inflateEnd(&stream_);
    }
    GzipBytes(const GzipBytes&) = delete;
    GzipBytes& operator=(const GzipBytes&) = delete;

    ipc::Result<std::size_t> read(char* into, std::size_t size) override
    {
        if (!good_) return damaged("no memory");
        stream_.next_out = reinterpret_cast<Bytef*>(into);
        stream_.avail_out = static_cast<uInt>(size);
        while (stream_.avail_out == size) {
            const auto more = fill();
            if (!more) return std::unexpected(more.error());
            if (!*more && finished_) return 0;
            if (!*more) return damaged("the file is cut off");
            if (auto done = inflate_some(); !done) return std::unexpected(done.error());
        }
        return size - stream_.avail_out;
    }

private:
    ipc::Result<void> inflate_some()
    {
        if (std::exchange(finished_, false)) ::inflateReset(&stream_); // one more member
        stream_.next_in = reinterpret_cast<Bytef*>(packed());
        stream_.avail_in = static_cast<uInt>(packed_size());
        const int code = ::inflate(&stream_, Z_NO_FLUSH);
        used(packed_size() - stream_.avail_in);
        finished_ = code == Z_STREAM_END;
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            return damaged(stream_.msg != nullptr ? stream_.msg : "not gzip");
        return {};
    }

    z_stream stream_{};
    bool good_ = false;
    bool finished_ = true; ///< at the end of a member
};

ipc::Result<void> skip(LogBytes& bytes, std::uint64_t count)
{
    std::vector<char> unwanted(kPackedBytes);
    while (count > 0) {
        const auto got =
            bytes.read(unwanted.data(), std::min<std::uint64_t>(count, unwanted.size()));
        if (!got) return std::unexpected(got.error());
        if (*got == 0) return {};
        count -= *got;
    }
    return {};
}

} // namespace

ipc::Result<std::unique_ptr<LogBytes>> log_bytes(ipc::System& system, const OpenLog& log,
                                                 std::uint64_t offset)
{
    std::unique_ptr<LogBytes> bytes;
    switch (log.packing) {
    case Packing::none:
        return std::make_unique<PlainBytes>(system, log, offset);
    case Packing::zstd:
        bytes = std::make_unique<ZstdBytes>(system, log);
        break;
    case Packing::gzip:
        bytes = std::make_unique<GzipBytes>(system, log);
        break;
    }
    if (auto done = skip(*bytes, offset); !done) return std::unexpected(done.error());
    return bytes;
}

} // namespace cluster::cli
