// Drives the file store of the app for tests: S3 when AWS_S3_BUCKET is set, else a folder. Settings
// as clusterapp reads them. Prints one line of JSON; 0 when it went well, else the error's kind.
//
//   files_probe put KEY PATH [NAME [TYPE [FAIL_AT]]]  the source fails after FAIL_AT bytes
//   files_probe get KEY PATH [OFFSET LENGTH]
//   files_probe stat KEY | remove KEY | link KEY NAME SECONDS
//   files_probe sign          lines of {"request", "credentials", …} from stdin, signatures out
#include "app/base/environment.hpp"
#include "app/files/digest.hpp"
#include "app/files/make_store.hpp"
#include "ipc/base/text.hpp"
#include "tests/support/silent.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

namespace {

using namespace cluster;
using namespace cluster::app;

/// Bytes of a file of the test.
class PathSource final : public FileSource {
public:
    PathSource(const std::string& path, std::uint64_t fail_at)
        : file_{path, std::ios::binary}, left_{fail_at}
    {
    }
    asio::awaitable<Result<std::size_t>> read_some(std::span<char> space) override
    {
        if (left_ == 0) co_return trouble(Trouble::unavailable, "the source failed");
        file_.read(space.data(),
                   static_cast<std::streamsize>(std::min<std::uint64_t>(space.size(), left_)));
        left_ -= static_cast<std::uint64_t>(file_.gcount());
        co_return static_cast<std::size_t>(file_.gcount());
    }

private:
    std::ifstream file_;
    std::uint64_t left_;
};

class PathSink final : public FileSink {
public:
    explicit PathSink(const std::string& path) : file_{path, std::ios::binary} {}
    asio::awaitable<Result<void>> write(std::string_view bytes) override
    {
        file_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        co_return Result<void>{};
    }

private:
    std::ofstream file_;
};

/// The most memory that this process had at a time.
std::int64_t peak_kb()
{
    std::ifstream status{"/proc/self/status"};
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:")) return std::atol(line.c_str() + 6);
    return 0;
}

json info_json(const FileInfo& info)
{
    return {{"key", info.key},
            {"name", info.name},
            {"type", info.content_type},
            {"owner", info.owner},
            {"size", info.size},
            {"tag", info.tag},
            {"changed_ms", info.changed_ms}};
}

using Args = std::vector<std::string>;

std::string arg(const Args& args, std::size_t at, const char* fallback = "")
{
    return at < args.size() ? args[at] : fallback;
}

std::uint64_t number(const Args& args, std::size_t at, std::uint64_t fallback)
{
    return ipc::parse_number<std::uint64_t>(arg(args, at)).value_or(fallback);
}

asio::awaitable<Result<json>> put(FileStore& store, const Args& args)
{
    NewFile file{.key = arg(args, 1),
                 .name = arg(args, 3),
                 .content_type = arg(args, 4, "application/octet-stream"),
                 .owner = "tester"};
    PathSource source{arg(args, 2), number(args, 5, ~std::uint64_t{0})};
    auto putting = store.put(std::move(file), source);
    const auto info = co_await std::move(putting);
    if (!info) co_return std::unexpected(info.error());
    co_return info_json(*info);
}

asio::awaitable<Result<json>> get(FileStore& store, const Args& args)
{
    auto asking = store.stat(arg(args, 1));
    const auto info = co_await std::move(asking);
    if (!info) co_return std::unexpected(info.error());
    if (!*info) co_return json(nullptr);
    PathSink sink{arg(args, 2)};
    const std::uint64_t offset = number(args, 3, 0);
    const std::uint64_t length = number(args, 4, (*info)->size - offset);
    auto getting = store.get(**info, offset, length, sink);
    const auto got = co_await std::move(getting);
    if (!got) co_return std::unexpected(got.error());
    co_return info_json(**info);
}

asio::awaitable<Result<json>> stat(FileStore& store, const Args& args)
{
    auto asking = store.stat(arg(args, 1));
    const auto info = co_await std::move(asking);
    if (!info) co_return std::unexpected(info.error());
    co_return *info ? info_json(**info) : json(nullptr);
}

asio::awaitable<Result<json>> remove(FileStore& store, const Args& args)
{
    auto removing = store.remove(arg(args, 1));
    const auto removed = co_await std::move(removing);
    if (!removed) co_return std::unexpected(removed.error());
    co_return json{{"removed", *removed}};
}

asio::awaitable<Result<json>> command(FileStore& store, Args args)
{
    const std::string what = arg(args, 0);
    auto doing = what == "put"      ? put(store, args)
                 : what == "get"    ? get(store, args)
                 : what == "remove" ? remove(store, args)
                                    : stat(store, args);
    auto outcome = co_await std::move(doing);
    if (outcome && outcome->is_object()) (*outcome)["peak_kb"] = peak_kb();
    co_return outcome;
}

S3Fields fields_of(const json& list)
{
    S3Fields fields;
    for (const json& pair : list)
        fields.emplace_back(pair.at(0).get<std::string>(), pair.at(1).get<std::string>());
    return fields;
}

/// One line per request: what our signer makes of it.
int sign()
{
    for (std::string line; std::getline(std::cin, line);) {
        const json asked = json::parse(line);
        const S3Signer signer{.credentials = {.access_key = asked.at("accessKey"),
                                              .secret_key = asked.at("secretKey"),
                                              .session_token = asked.at("sessionToken")},
                              .region = asked.at("region")};
        const S3Request request{.method = asked.at("method"),
                                .host = asked.at("host"),
                                .path = asked.at("path"),
                                .query = fields_of(asked.at("query")),
                                .headers = fields_of(asked.at("headers"))};
        const std::int64_t now = asked.at("time");
        const std::string hash = hex(sha256(asked.at("body").get<std::string>()));
        json headers = json::object();
        for (const auto& [name, value] : signer.sign(request, hash, now))
            headers[name] = value;
        const std::chrono::seconds life{asked.at("expires").get<int>()};
        std::cout
            << json{{"headers", headers}, {"query", signer.presign(request, life, now)}}.dump()
            << "\n";
    }
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    const Args args(argv + 1, argv + argc);
    if (arg(args, 0) == "sign") return sign();
    Environment environment{read_environment(environ)};
    const FileOptions options = read_file_options(environment);
    for (const std::string& fault : environment.faults()) {
        std::cerr << fault << "\n";
        return 100;
    }
    const ipc::SystemClock clock;
    tests::StderrLog log;
    asio::io_context io{1};
    auto store = make_file_store(io, clock, log, options);
    if (!store) {
        std::cerr << store.error().text() << "\n";
        return 101;
    }
    if (arg(args, 0) == "link") {
        const std::chrono::seconds life{number(args, 3, 60)};
        std::cout << json((*store)->link(arg(args, 1), arg(args, 2), life)).dump() << "\n";
        return 0;
    }
    int code = 102;
    asio::co_spawn(io, command(**store, args),
                   [&code](const std::exception_ptr& failure, const Result<json>& outcome) {
                       if (failure) std::rethrow_exception(failure);
                       if (outcome) std::cout << outcome->dump() << "\n";
                       if (!outcome) std::cerr << outcome.error().text() << "\n";
                       code = outcome ? 0 : static_cast<int>(kind_of(outcome.error()));
                   });
    io.run();
    return code;
}
