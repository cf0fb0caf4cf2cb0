// Files over HTTP. Who uploads owns the file; he may read and remove it, and give links to others.
//
//   POST   /api/files?name=N     the body is the file, its Content-Type is kept (also PUT)
//   GET    /api/files/{id}       the file, or a range of it; with ?redirect=true a link instead
//   GET    /api/files/{id}?expires=…&name=…&signature=…   by whoever has a link of ours
//   GET    /api/files/{id}/link  an address that works for everybody for a while
//   DELETE /api/files/{id}
#pragma once

#include "app/files/file_store.hpp"
#include "app/files/options.hpp"
#include "app/http/authenticator.hpp"
#include "app/http/router.hpp"
#include "ipc/base/clock.hpp"

namespace cluster::app {

class FileRoutes {
public:
    /// All must outlive it; `authenticator` may be null: then nobody owns a file.
    FileRoutes(FileStore& store, const ipc::Clock& clock, Authenticator* authenticator,
               const FileOptions& options)
        : store_{store}, clock_{clock}, authenticator_{authenticator}, options_{options}
    {
    }
    /// It must outlive the router.
    void add_to(Router& router);

    asio::awaitable<std::optional<Response>> upload(Request& request, Exchange& exchange);
    asio::awaitable<std::optional<Response>> download(Request& request, Exchange& exchange);
    asio::awaitable<Response> link(Request& request);
    asio::awaitable<Response> remove(Request& request);

private:
    asio::awaitable<std::optional<Response>> refusal(Request& request);
    [[nodiscard]] bool is_by_link(const Request& request) const;
    asio::awaitable<std::expected<FileInfo, Response>> find_for(Request& request, bool by_link);
    asio::awaitable<std::optional<Response>> send(const Request& request, Exchange& exchange,
                                                  const FileInfo& info);

    FileStore& store_;
    const ipc::Clock& clock_;
    Authenticator* authenticator_;
    FileOptions options_;
};

[[nodiscard]] json file_json(const FileInfo& info);

/// What a link is signed with when FILES_LINK_SECRET is not set: comes from a secret that all
/// instances share (JWT_SECRET), and tells nothing about it.
[[nodiscard]] std::string derive_link_secret(std::string_view secret);

} // namespace cluster::app
