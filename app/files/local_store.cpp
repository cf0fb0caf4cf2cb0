#include "app/files/local_store.hpp"

#include "app/files/links.hpp"
#include "app/files/local_files.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace cluster::app {
namespace {

constexpr std::size_t kPieceBytes = 256 << 10;
constexpr unsigned kThreads = 4;
constexpr std::size_t kMaxWaiting = 4096;

} // namespace

bool is_file_key(std::string_view text)
{
    constexpr std::string_view kFirst =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    return !text.empty() && text.size() <= 128 && kFirst.contains(text.front()) &&
           std::ranges::all_of(text, [&](char letter) {
               return kFirst.contains(letter) || letter == '-' || letter == '_' || letter == '.';
           });
}

LocalStore::LocalStore(asio::io_context& io, const ipc::Clock& clock, const FileOptions& options)
    : clock_{clock}, folder_{options.folder}, secret_{options.link_secret},
      public_url_{options.public_url}, pool_{io, "files", kThreads, kMaxWaiting}
{
}

Result<std::unique_ptr<LocalStore>> LocalStore::open(asio::io_context& io, const ipc::Clock& clock,
                                                     const FileOptions& options)
{
    if (auto made = local_files::make_folders(options.folder); !made)
        return std::unexpected(made.error());
    return std::unique_ptr<LocalStore>{new LocalStore{io, clock, options}};
}

asio::awaitable<Result<FileInfo>> LocalStore::put(NewFile file, FileSource& source)
{
    if (!is_file_key(file.key)) co_return bad_key(file.key);
    auto beginning = pool_.run([this] { return local_files::Draft::begin(folder_); });
    auto draft = co_await std::move(beginning);
    if (!draft) co_return std::unexpected(draft.error());
    std::string piece(kPieceBytes, '\0');
    while (true) {
        auto reading = source.read_some(piece);
        const auto size = co_await std::move(reading);
        if (!size) co_return std::unexpected(size.error());
        if (*size == 0) break;
        auto writing = pool_.run([&draft, bytes = std::string_view{piece}.substr(0, *size)] {
            return draft->write(bytes);
        });
        const auto written = co_await std::move(writing);
        if (!written) co_return std::unexpected(written.error());
    }
    auto keeping = pool_.run([&draft, &file] { return draft->keep(file); });
    co_return co_await std::move(keeping);
}

asio::awaitable<Result<void>> LocalStore::get(const FileInfo& info, std::uint64_t offset,
                                              std::uint64_t length, FileSink& sink)
{
    if (!is_file_key(info.key)) co_return bad_key(info.key);
    auto opening = pool_.run([this, &info] { return local_files::open(folder_, info); });
    const auto fd = co_await std::move(opening);
    if (!fd) co_return std::unexpected(fd.error());
    std::string piece(std::min<std::uint64_t>(length, kPieceBytes), '\0');
    for (std::uint64_t left = length; left > 0;) {
        const std::span<char> space{piece.data(), std::min<std::uint64_t>(left, piece.size())};
        auto reading =
            pool_.run([&fd, offset, space] { return local_files::read(fd->get(), offset, space); });
        const auto size = co_await std::move(reading);
        if (!size) co_return std::unexpected(size.error());
        if (*size == 0) co_return trouble(Trouble::conflict, info.key + " became shorter");
        auto writing = sink.write(std::string_view{piece}.substr(0, *size));
        const auto written = co_await std::move(writing);
        if (!written) co_return std::unexpected(written.error());
        offset += *size;
        left -= *size;
    }
    co_return Result<void>{};
}

asio::awaitable<Result<std::optional<FileInfo>>> LocalStore::stat(std::string key)
{
    if (!is_file_key(key)) co_return std::nullopt;
    auto asking = pool_.run([this, &key] { return local_files::stat(folder_, key); });
    co_return co_await std::move(asking);
}

asio::awaitable<Result<bool>> LocalStore::remove(std::string key)
{
    if (!is_file_key(key)) co_return false;
    auto removing = pool_.run([this, &key] { return local_files::remove(folder_, key); });
    co_return co_await std::move(removing);
}

std::string LocalStore::link(const std::string& key, const std::string& name,
                             std::chrono::seconds life) const
{
    return public_url_ + sign_link(secret_, {.key = key,
                                             .name = name,
                                             .expires_s = clock_.wall_ms() / 1000 + life.count()});
}

} // namespace cluster::app
