#include "cli/log_start.hpp"

#include <algorithm>
#include <queue>
#include <utility>

namespace cluster::cli {
namespace {

constexpr std::uint64_t kBlockBytes = 128UL * 1024;
constexpr std::uint64_t kPartBytes = 256UL * 1024; ///< of a packed file, unpacked

void add_run(std::vector<LineRun>& runs, std::int64_t at, std::uint64_t lines)
{
    if (!runs.empty() && runs.back().at == at)
        runs.back().lines += lines;
    else
        runs.push_back({at, lines});
}

/// What stands before `end` in a plain file, at most `most` bytes; less when it was cut meanwhile.
std::string_view read_before(LogFiles& files, const OpenLog& log, std::uint64_t end,
                             std::uint64_t most, std::vector<char>& buffer)
{
    const std::uint64_t begin = end - std::min(end, most);
    buffer.resize(std::max<std::size_t>(buffer.size(), end - begin));
    std::size_t filled = 0;
    while (begin + filled < end) {
        const auto got = files.system().pread(log.fd, buffer.data() + filled, end - begin - filled,
                                              static_cast<off_t>(begin + filled));
        if (!got) files.warn(got.error().text());
        if (!got || *got == 0) break;
        filled += *got;
    }
    return {buffer.data(), filled};
}

} // namespace

std::uint64_t line_begin(LogFiles& files, const OpenLog& log, std::uint64_t offset)
{
    std::vector<char> buffer;
    for (std::uint64_t size = kBlockBytes;; size *= 2) {
        const std::string_view text = read_before(files, log, offset, size, buffer);
        const auto newline = text.rfind('\n');
        if (newline != text.npos) return offset - text.size() + newline + 1;
        if (size >= offset) return 0;
        if (size >= kLongestLine || text.size() < size) return offset;
    }
}

void count_lines(std::string_view text, std::uint64_t offset, LineTimes& times,
                 const LogFilter& filter, std::vector<LineRun>& runs)
{
    while (!text.empty()) {
        // Without a pattern the newlines of one time are counted at once, else each line is looked
        // at.
        const auto first = text.find('\n');
        const std::size_t line = first == text.npos ? text.size() : first + 1;
        const LineTimes::Span span = times.span(offset + line - 1);
        std::size_t taken = line;
        std::uint64_t lines = 0;
        if (filter.grep != nullptr) {
            lines = filter.grep->matches(text.substr(0, first)) ? 1 : 0;
        } else {
            taken = std::max<std::size_t>(line, std::min(text.size(), span.end - offset));
            const auto last = text.substr(0, taken).rfind('\n');
            taken = last == text.npos ? text.size() : last + 1;
            lines = static_cast<std::uint64_t>(std::ranges::count(text.substr(0, taken), '\n'));
            lines += last == text.npos ? 1 : 0;
        }
        if (lines > 0 && filter.in_time(span.at)) add_run(runs, span.at, lines);
        text.remove_prefix(taken);
        offset += taken;
    }
}

BackwardCount::BackwardCount(LogFiles& files, const LogChain& chain, const LogFilter& filter)
    : files_{files}, chain_{chain}, filter_{filter}, begin_{chain.files(), 0}
{
    open_before();
    look_ahead();
}

void BackwardCount::step(std::vector<LineRun>& runs)
{
    if (!log_) {
        open_before();
    } else if (log_->packing == Packing::none) {
        count_block(runs);
    } else {
        const Part& part = parts_.back();
        runs.insert(runs.end(), part.runs.begin(), part.runs.end());
        begin_.offset = part.offset;
        parts_.pop_back();
    }
    look_ahead();
}

void BackwardCount::open_before()
{
    begin_ = {begin_.file - 1, 0};
    log_ = files_.open(chain_, begin_.file);
    if (!log_) return;
    if (log_->packing == Packing::none)
        begin_.offset = log_->size;
    else
        read_packed();
}

/// What is packed can only be read forward: what its lines are is noted in parts.
void BackwardCount::read_packed()
{
    auto bytes = log_bytes(files_.system(), *log_, 0);
    if (!bytes) return files_.warn(bytes.error().text());
    LineCutter lines{std::move(*bytes), 0};
    LineCutter::Line line;
    while (true) {
        const auto more = lines.next(line);
        if (!more) files_.warn(more.error().text());
        if (!more || !*more) break;
        begin_.offset = line.end;
        if (parts_.empty() || line.end - parts_.back().offset > kPartBytes)
            parts_.push_back({.offset = line.begin, .runs = {}});
        Part& part = parts_.back();
        part.at = log_->times.at(line.end - 1);
        if (filter_.passes(line.text, part.at)) add_run(part.runs, part.at, 1);
    }
}

void BackwardCount::count_block(std::vector<LineRun>& runs)
{
    const std::string_view block = read_block();
    if (block.empty()) { // it was cut off under us
        begin_.offset = 0;
        return;
    }
    begin_.offset -= block.size();
    count_lines(block, begin_.offset, log_->times, filter_, runs);
}

/// Whole lines before `begin_`: at least one, and as many as fit into a block.
std::string_view BackwardCount::read_block()
{
    for (std::uint64_t size = kBlockBytes;; size *= 2) {
        const std::string_view text = read_before(files_, *log_, begin_.offset, size, buffer_);
        if (text.size() < std::min(size, begin_.offset)) return {};
        if (text.size() == begin_.offset) return text;
        // The last byte ends the last line, and begins none.
        const auto newline = text.substr(0, text.size() - 1).find('\n');
        if (newline != text.npos) return text.substr(newline + 1);
        if (size >= kLongestLine) return text;
    }
}

void BackwardCount::look_ahead()
{
    newest_ = newest_left();
    if (newest_ && *newest_ < filter_.since) newest_.reset();
}

std::optional<std::int64_t> BackwardCount::newest_left()
{
    if (log_ && log_->packing == Packing::none && begin_.offset > 0)
        return log_->times.at(begin_.offset - 1);
    if (log_ && !parts_.empty()) return parts_.back().at;
    log_.reset();
    if (begin_.file == 0) return std::nullopt;
    return chain_.rotated[begin_.file - 1].rotated_at;
}

LogStart find_start(LogFiles& files, const std::vector<LogChain>& chains, const LogFilter& filter,
                    std::uint64_t lines)
{
    std::vector<BackwardCount> counts;
    counts.reserve(chains.size());
    for (const LogChain& chain : chains)
        counts.emplace_back(files, chain, filter);
    const auto older = [](const LineRun& a, const LineRun& b) { return a.at < b.at; };
    std::priority_queue<LineRun, std::vector<LineRun>, decltype(older)> counted(older);
    std::uint64_t total = 0;
    std::uint64_t settled = 0; ///< of those counted: nothing newer than these can still be found
    std::vector<LineRun> runs;
    while (settled < lines) {
        const auto next = std::ranges::max_element(counts, {}, &BackwardCount::newest);
        if (next == counts.end() || !next->newest()) break;
        for (; !counted.empty() && counted.top().at >= *next->newest(); counted.pop())
            settled += counted.top().lines;
        if (settled >= lines) break;
        runs.clear();
        next->step(runs);
        for (const LineRun& run : runs) {
            total += run.lines;
            counted.push(run);
        }
    }
    LogStart start{.places = {}, .skip = total > lines ? total - lines : 0};
    for (const BackwardCount& count : counts)
        start.places.push_back(count.begin());
    return start;
}

LogStart find_since(LogFiles& files, const std::vector<LogChain>& chains, const LogFilter& filter)
{
    LogStart start;
    for (const LogChain& chain : chains) {
        const auto first = std::ranges::find_if(
            chain.rotated, [&](const RotatedLog& log) { return log.rotated_at >= filter.since; });
        LogPlace place{static_cast<std::size_t>(first - chain.rotated.begin()), 0};
        const auto log = files.open(chain, place.file);
        if (log && log->packing == Packing::none)
            place.offset =
                line_begin(files, *log, std::min(log->times.first_since(filter.since), log->size));
        start.places.push_back(place);
    }
    return start;
}

} // namespace cluster::cli
