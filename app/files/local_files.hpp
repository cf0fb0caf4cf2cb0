// The system calls of the local form; each of them may wait for a disk.
#pragma once

#include "app/files/file_store.hpp"
#include "ipc/base/unique_fd.hpp"

namespace cluster::app::local_files {

/// The folder and those in it, 0700.
Result<void> make_folders(const std::string& folder);

/// A file that goes again unless it is kept.
class Draft {
public:
    static Result<Draft> begin(const std::string& folder);
    Draft(Draft&& from) noexcept
        : folder_{std::move(from.folder_)}, path_{std::exchange(from.path_, "")},
          fd_{std::move(from.fd_)}
    {
    }
    Draft& operator=(Draft&&) = delete;
    ~Draft();

    Result<void> write(std::string_view bytes);
    /// Puts it where `file.key` is; what was there is replaced.
    Result<FileInfo> keep(const NewFile& file);

private:
    Draft(std::string folder, std::string path, ipc::UniqueFd fd)
        : folder_{std::move(folder)}, path_{std::move(path)}, fd_{std::move(fd)}
    {
    }
    std::string folder_;
    std::string path_; ///< "" once it is kept
    ipc::UniqueFd fd_;
};

Result<std::optional<FileInfo>> stat(const std::string& folder, const std::string& key);

/// The content, for reading. conflict: it is not (any more) what `info` tells of.
Result<ipc::UniqueFd> open(const std::string& folder, const FileInfo& info);
/// How many bytes; 0 at the end.
Result<std::size_t> read(int fd, std::uint64_t offset, std::span<char> space);
/// Whether it was there.
Result<bool> remove(const std::string& folder, const std::string& key);

} // namespace cluster::app::local_files
