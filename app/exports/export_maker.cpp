#include "app/exports/export_maker.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cstring>
#include <filesystem>

namespace cluster::app {

using json = nlohmann::ordered_json;

namespace {

constexpr std::size_t kSlidesAtATime = 10;
// How the work is spread, in percent: reading, writing, storing.
constexpr int kRead = 5;
constexpr int kWritten = 85;

/// Bytes that are in memory already.
class MemorySource final : public FileSource {
public:
    explicit MemorySource(std::string_view bytes) : left_{bytes} {}
    asio::awaitable<Result<std::size_t>> read_some(std::span<char> space) override
    {
        const std::size_t size = std::min(space.size(), left_.size());
        std::memcpy(space.data(), left_.data(), size);
        left_.remove_prefix(size);
        co_return size;
    }

private:
    std::string_view left_;
};

} // namespace

asio::awaitable<Result<std::string>> ExportMaker::handle(const QueueJob& job, QueueHold& hold)
{
    const auto order = read_order(job.payload);
    if (!order) co_return trouble(Trouble::refused, "the job's payload is no export");
    auto making = make(job, *order, hold);
    auto result = co_await std::move(making);
    // Told here because nobody else knows the project; the queue has the last word on the state.
    const bool last = job.failures + 1 >= job.retry.attempts;
    const QueueState state = result ? QueueState::done
                             : last ? QueueState::dead
                                    : QueueState::delayed;
    const json event{{"exportId", job.id},
                     {"projectId", order->project_id},
                     {"status", export_status(state)},
                     {"progress", result ? 100 : 0}};
    if (!hold.lost()) events_.progress(order->project_id, event);
    co_return result;
}

asio::awaitable<Result<std::string>> ExportMaker::make(const QueueJob& job,
                                                       const ExportOrder& order, QueueHold& hold)
{
    auto asking = projects_.project(order.project_id, order.user_id, ReadFrom::primary);
    const auto found = co_await std::move(asking);
    if (!found) co_return std::unexpected(found.error());
    if (!*found || (*found)->second == Access::none)
        co_return trouble(Trouble::refused, "the project is gone, or not for this user any more");
    const Project& project = (*found)->first;
    auto telling = tell(job, project.id, QueueState::active, kRead, hold);
    co_await std::move(telling);

    auto rendering = render(job, project, hold);
    const auto bytes = co_await std::move(rendering);
    if (!bytes) co_return std::unexpected(bytes.error());
    const std::string name = export_file_name(project.title);
    NewFile file{
        .key = job.id, .name = name, .content_type = "application/pdf", .owner = order.user_id};
    MemorySource source{*bytes};
    auto putting = files_.put(std::move(file), source);
    const auto info = co_await std::move(putting);
    if (!info) co_return std::unexpected(info.error());
    co_return write_result({.file_key = info->key, .file_name = name, .size = info->size});
}

asio::awaitable<Result<std::string>> ExportMaker::render(const QueueJob& job,
                                                         const Project& project, QueueHold& hold)
{
    auto beginning = pool_.run([this, &project] {
        return PdfWriter::begin(read_document(project.title, project.content), font_);
    });
    auto writer = co_await std::move(beginning);
    if (!writer) co_return std::unexpected(writer.error());
    for (bool more = true; more;) {
        if (hold.lost()) co_return trouble(Trouble::unavailable, "somebody else has the job");
        auto writing = pool_.run([&writer] { return writer->write_slides(kSlidesAtATime); });
        const auto left = co_await std::move(writing);
        if (!left) co_return std::unexpected(left.error());
        more = *left;
        const std::size_t total = std::max<std::size_t>(writer->total(), 1);
        const int done = static_cast<int>(writer->written() * (kWritten - kRead) / total);
        auto telling = tell(job, project.id, QueueState::active, kRead + done, hold);
        co_await std::move(telling);
    }
    auto finishing = pool_.run([&writer] { return writer->finish(); });
    co_return co_await std::move(finishing);
}

asio::awaitable<void> ExportMaker::tell(const QueueJob& job, const std::string& project_id,
                                        QueueState state, int percent, QueueHold& hold)
{
    const json event{{"exportId", job.id},
                     {"projectId", project_id},
                     {"status", export_status(state)},
                     {"progress", percent}};
    events_.progress(project_id, event);
    auto telling = hold.progress(percent);
    co_await std::move(telling);
}

std::string read_export_font(Environment& environment)
{
    std::string font = environment.text("EXPORT_FONT");
    if (font.empty()) return find_font();
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(font, ignored))
        environment.fault("EXPORT_FONT must be the path of a TrueType font, got \"" + font + '"');
    return font;
}

} // namespace cluster::app
