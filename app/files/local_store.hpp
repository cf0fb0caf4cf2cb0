// Files in a folder, shared by the processes of one host (or by more where the folder is):
//
//   FOLDER/KEY          the content
//   FOLDER/.info/KEY    what it is called and whose it is (JSON); without it there is no file
//   FOLDER/.new/…       what is being written
//
// The content is renamed into place first, then what tells of it, so nobody sees half a file. All
// calls of the system run on a few threads of their own.
#pragma once

#include "app/base/pool.hpp"
#include "app/files/file_store.hpp"
#include "app/files/options.hpp"
#include "ipc/base/clock.hpp"

#include <memory>

namespace cluster::app {

class LocalStore final : public FileStore {
public:
    /// Makes the folders, 0700. Both must outlive it, and it must be gone before `io`.
    [[nodiscard]] static Result<std::unique_ptr<LocalStore>>
    open(asio::io_context& io, const ipc::Clock& clock, const FileOptions& options);
    ~LocalStore() override { close(); }

    asio::awaitable<Result<FileInfo>> put(NewFile file, FileSource& source) override;
    asio::awaitable<Result<void>> get(const FileInfo& info, std::uint64_t offset,
                                      std::uint64_t length, FileSink& sink) override;
    asio::awaitable<Result<std::optional<FileInfo>>> stat(std::string key) override;
    asio::awaitable<Result<bool>> remove(std::string key) override;
    [[nodiscard]] std::string link(const std::string& key, const std::string& name,
                                   std::chrono::seconds life) const override;
    [[nodiscard]] std::string_view form() const override { return "local"; }
    void close() override { pool_.stop(); }

private:
    LocalStore(asio::io_context& io, const ipc::Clock& clock, const FileOptions& options);

    const ipc::Clock& clock_;
    std::string folder_;
    std::string secret_;
    std::string public_url_;
    Pool pool_;
};

} // namespace cluster::app
