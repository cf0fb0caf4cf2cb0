// Files in an S3 bucket (AWS, MinIO, and what speaks like them). A file that is larger than a part
// goes in parts; every request has its body in memory, so it can be sent again, and an upload holds
// one part at a time. A download fetches piece after piece, each of which can be fetched again.
#pragma once

#include "app/base/log.hpp"
#include "app/base/pool.hpp"
#include "app/files/curl_client.hpp"
#include "app/files/file_store.hpp"
#include "app/files/options.hpp"
#include "ipc/base/clock.hpp"

namespace cluster::app {

class S3Store final : public FileStore {
public:
    /// All must outlive it, and it must be gone before `io`.
    S3Store(asio::io_context& io, const ipc::Clock& clock, Log& log, S3Options options);
    ~S3Store() override { close(); }

    asio::awaitable<Result<FileInfo>> put(NewFile file, FileSource& source) override;
    asio::awaitable<Result<void>> get(const FileInfo& info, std::uint64_t offset,
                                      std::uint64_t length, FileSink& sink) override;
    asio::awaitable<Result<std::optional<FileInfo>>> stat(std::string key) override;
    asio::awaitable<Result<bool>> remove(std::string key) override;
    [[nodiscard]] std::string link(const std::string& key, const std::string& name,
                                   std::chrono::seconds life) const override;
    [[nodiscard]] std::string_view form() const override { return "s3"; }
    void close() override;

private:
    struct Upload;

    asio::awaitable<Result<S3Answer>> send(const S3Request& request, std::string_view body);
    asio::awaitable<Result<S3Answer>> send_once(const S3Request& request, std::string_view body,
                                                const std::string& hash);
    asio::awaitable<Result<void>> put_whole(const NewFile& file, std::string_view body);
    asio::awaitable<Result<void>> put_parts(const NewFile& file, std::string first,
                                            FileSource& source);
    asio::awaitable<Result<void>> send_parts(Upload& upload, std::string part, FileSource& source);
    asio::awaitable<Result<void>> complete(Upload& upload);
    asio::awaitable<void> abort(const Upload& upload);

    const ipc::Clock& clock_;
    Log& log_;
    S3Options options_;
    S3Signer signer_;
    CurlClient client_; ///< used by the threads of the pool
    Pool pool_;
};

} // namespace cluster::app
