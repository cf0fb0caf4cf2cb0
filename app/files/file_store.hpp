// Files that all instances share: in an S3 bucket for all hosts, or in a folder for those of one.
// Bytes stream through with bounded memory in both directions; a file that was put is there wholly
// or not at all, and is never seen half written.
#pragma once

#include "app/base/trouble.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cluster::app {

namespace asio = boost::asio;
using std::chrono::milliseconds;

struct NewFile {
    std::string key;    ///< see is_file_key; a file that has it already is replaced
    std::string name{}; ///< what a person calls it: "Report.pdf"
    std::string content_type = "application/octet-stream";
    std::string owner{}; ///< user id of who may read and remove it
};

struct FileInfo {
    std::string key;
    std::string name;
    std::string content_type;
    std::string owner;
    std::uint64_t size = 0;
    std::string tag; ///< another one when the content is another one; opaque, may stand in an ETag
    std::int64_t changed_ms = 0;
};

/// Where the bytes of a file come from.
class FileSource {
public:
    virtual ~FileSource() = default;
    /// At most `space`; 0 at the end. An error ends the put, which leaves nothing behind.
    virtual asio::awaitable<Result<std::size_t>> read_some(std::span<char> space) = 0;
};

/// Where they go.
class FileSink {
public:
    virtual ~FileSink() = default;
    /// An error ends the get.
    virtual asio::awaitable<Result<void>> write(std::string_view bytes) = 0;
};

/// Errors of all: unavailable, overloaded, refused, and those of source and sink.
class FileStore {
public:
    virtual ~FileStore() = default;

    /// What is there now.
    virtual asio::awaitable<Result<FileInfo>> put(NewFile file, FileSource& source) = 0;
    /// `length` bytes from `offset` of the file that `info` (of `stat`) tells of. Errors: conflict
    /// when it was replaced or removed meanwhile.
    virtual asio::awaitable<Result<void>> get(const FileInfo& info, std::uint64_t offset,
                                              std::uint64_t length, FileSink& sink) = 0;
    virtual asio::awaitable<Result<std::optional<FileInfo>>> stat(std::string key) = 0;
    /// Whether it was there (in S3: whether it is gone now).
    virtual asio::awaitable<Result<bool>> remove(std::string key) = 0;

    /// An address that anybody may GET it from until `life` has passed. `name`: what a browser
    /// saves it as. Local: a path of this server, to be put behind its public address.
    [[nodiscard]] virtual std::string link(const std::string& key, const std::string& name,
                                           std::chrono::seconds life) const = 0;

    /// "s3" or "local", for people.
    [[nodiscard]] virtual std::string_view form() const = 0;
    /// Ends what is under way: calls fail.
    virtual void close() = 0;
};

/// 1 to 128 letters, digits, '-', '_' and '.', the first one a letter or digit: safe as a name in a
/// folder, in S3 and in an address.
[[nodiscard]] bool is_file_key(std::string_view text);
/// The failure of every call that is given another one.
[[nodiscard]] inline std::unexpected<ipc::Error> bad_key(const std::string& key)
{
    return trouble(Trouble::refused, "files: \"" + key + "\" is no key");
}

} // namespace cluster::app
