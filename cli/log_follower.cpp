#include "cli/log_follower.hpp"

#include "cli/log_tail.hpp"
#include "cli/process_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace cluster::cli {
namespace {

constexpr std::size_t kShownKept = 32;              ///< lines: enough to find the place again
constexpr std::uint64_t kMostMissed = 1U << 20U;    ///< bytes that are looked through for it
constexpr std::uint64_t kJoinedBytes = 64UL * 1024; ///< compared with what arrived meanwhile
const LogFilter kEverything{};

LogWriter writer_of(const json& params)
{
    return {member_number(params, "id"), member_text(params, "stream") == "err"};
}

json lines_of(const json& params)
{
    json lines = json::array();
    const auto found = params.find("lines");
    if (found == params.end() || !found->is_array()) return lines;
    std::ranges::copy_if(*found, std::back_inserter(lines),
                         [](const json& line) { return line.is_string(); });
    return lines;
}

/// How many of the lines stand before and among those shown.
std::ptrdiff_t behind_shown(const std::vector<std::string>& read,
                            const std::vector<std::string>& shown)
{
    return std::ssize(read) - std::ssize(lines_behind(read, shown));
}

/// Lines that were read already.
class KeptLines final : public LineSource {
public:
    explicit KeptLines(std::deque<TimedLine> lines) : lines_{std::move(lines)} {}

    bool next() override
    {
        if (std::exchange(begun_, true) && !lines_.empty()) lines_.pop_front();
        return !lines_.empty();
    }
    [[nodiscard]] std::string_view text() const override { return lines_.front().text; }
    [[nodiscard]] std::int64_t at() const override { return lines_.front().at; }

private:
    std::deque<TimedLine> lines_;
    bool begun_ = false;
};

LogLook raw_look(const LogLook& look)
{
    return {.format = LogFormat::raw, .timestamp = look.timestamp, .highlight = {}};
}

std::vector<std::string> texts_of(const std::deque<TimedLine>& lines)
{
    std::vector<std::string> texts;
    texts.reserve(lines.size());
    for (const TimedLine& line : lines)
        texts.push_back(line.text);
    return texts;
}

} // namespace

LogFollower::LogFollower(LogRequest request, Context& context)
    : request_{std::move(request)}, context_{context},
      files_{context.system, context.session.home() + "/logs",
             [&context](const std::string& text) { context.warn(text); }},
      lines_{request_.look, context.out.style()},
      raw_errors_{raw_look(request_.look), context.err.style()}
{
    context.session.start_none_again(); // whoever ends the daemon under us means it
}

int LogFollower::run()
{
    if (const int code = find_logs(); code != kDone) return code;
    chains_ = open_chains();
    print_heading();
    print_history();
    if (!request_.follow || context_.out.closed()) return kDone;
    catch_up();
    if (const int code = join(); code != kDone) return code;
    print_unfinished();
    while (true) {
        if (const int code = listen(); code != kDone || context_.out.closed()) return code;
        if (const int code = take_up_again(); code != kDone) return code;
    }
}

/// What is kept of notifications until the files are read.
ipc::OnNotification LogFollower::keep()
{
    return [this](std::string_view method, const json& params) {
        if (method == "log") pending_.push_back(params);
    };
}

int LogFollower::find_logs()
{
    const bool all = request_.targets.empty();
    const json targets = all ? json::array({"all"}) : json(request_.targets);
    auto answer = context_.session.call("describe", {{"targets", targets}}, keep());
    if (!answer && all && answer.error().code == ipc::kNotFound) answer = json::object();
    if (!answer) return context_.fail(answer.error());
    const json processes = answer->value("processes", json::array());
    for (const json& process : processes)
        lines_.widen(member_text(process, "name"));
    logs_ = written_logs(processes, request_.out, request_.err);
    return kDone;
}

std::vector<LogChain> LogFollower::open_chains()
{
    std::vector<std::string> paths;
    paths.reserve(logs_.size());
    for (const WrittenLog& log : logs_)
        paths.push_back(log.path);
    auto chains = files_.open_chains(paths, context_.clock.wall_ms());
    if (request_.follow)
        std::ranges::for_each(chains, [&](auto& chain) { files_.end_at_whole_line(chain); });
    return chains;
}

void LogFollower::print_heading()
{
    if (request_.look.format != LogFormat::prefixed || context_.silent) return;
    if (!request_.lines || *request_.lines == 0) return;
    std::string targets;
    for (const std::string& target : request_.targets)
        targets += (targets.empty() ? "" : " ") + escape_controls(target);
    context_.out.write(paint(fmt::format("[TAILING] Tailing last {} lines for [{}] process{} "
                                         "(change the value with the --lines option)\n",
                                         *request_.lines, targets.empty() ? "all" : targets,
                                         targets.empty() ? "es" : ""),
                             Colour::grey, context_.out.style()));
}

void LogFollower::print_history()
{
    const LogStart start = request_.lines
                               ? find_start(files_, chains_, request_.filter, *request_.lines)
                               : find_since(files_, chains_, request_.filter);
    print_from(start.places, start.skip);
}

/// Prints what the chains hold from the places on, without the first `skip` lines.
void LogFollower::print_from(const std::vector<LogPlace>& places, std::uint64_t skip)
{
    std::vector<std::unique_ptr<LineSource>> sources;
    sources.reserve(chains_.size());
    for (std::size_t at = 0; at < chains_.size(); ++at)
        sources.push_back(
            std::make_unique<ChainReader>(files_, chains_[at], places[at], request_.filter));
    LogMerge merge{std::move(sources)};
    bool begun = false;
    while (!context_.out.closed() && merge.next()) {
        if (skip > 0) {
            --skip;
            continue;
        }
        const WrittenLog& log = logs_[merge.source()];
        print(log.writers[0], log.name, merge.at(), merge.text());
        // Whoever waits for a long history sees that it has begun.
        if (!std::exchange(begun, true)) flush();
    }
    flush();
}

void LogFollower::flush()
{
    context_.out.flush();
    context_.err.flush();
}

int LogFollower::subscribe()
{
    json params = json::object();
    if (!request_.targets.empty()) params["targets"] = request_.targets;
    params["streams"] = json::array();
    if (request_.out) params["streams"].push_back("out");
    if (request_.err) params["streams"].push_back("err");
    const auto answer = context_.session.call("logs.follow", params, keep());
    return answer ? kDone : context_.fail(answer.error());
}

/// All of it on one connection: a daemon that came back knows of no subscription.
int LogFollower::join()
{
    int connection = 0;
    do {
        pending_.clear();
        if (const int code = subscribe(); code != kDone) return code;
        connection = context_.session.connections();
        if (const int code = find_logs(); code != kDone) return code;
        catch_up();
        // A barrier: lines that the files hold by now have arrived before its answer.
        const auto pong = context_.session.call("ping", json::object(), keep());
        if (!pong) return context_.fail(pong.error());
    } while (connection != context_.session.connections());
    note_unfinished();
    print_pending();
    return kDone;
}

/// Prints what the files hold behind what was printed of them.
void LogFollower::catch_up()
{
    const auto before = std::exchange(chains_, open_chains());
    if (!shown_.empty()) return catch_up_behind_shown(before);
    std::vector<LogPlace> places;
    for (const LogChain& chain : chains_) {
        const auto known = std::ranges::find(before, chain.path, &LogChain::path);
        places.push_back(known == before.end() ? LogPlace{chain.current(), 0}
                                               : files_.place_behind(*known, chain));
    }
    print_from(places, 0);
}

/// Lines have come since the files were read: what was shown last is looked for near their ends.
void LogFollower::catch_up_behind_shown(const std::vector<LogChain>& before)
{
    std::vector<std::unique_ptr<LineSource>> found;
    for (std::size_t log = 0; log < chains_.size(); ++log) {
        const LogChain& chain = chains_[log];
        const auto known = std::ranges::find(before, chain.path, &LogChain::path);
        const Lines& shown = shown_[logs_[log].writers[0]];
        LogPlace from = near_end(chain, kMostMissed);
        if (shown.empty() && known != before.end())
            from = std::max(from, files_.place_behind(*known, chain));
        auto lines = read_last(log, from, kMostMissed);
        const auto behind = behind_shown(texts_of(lines), shown);
        lines.erase(lines.begin(), lines.begin() + behind);
        found.push_back(std::make_unique<KeptLines>(std::move(lines)));
    }
    for (LogMerge merge{std::move(found)}; merge.next();) {
        const WrittenLog& log = logs_[merge.source()];
        if (request_.filter.passes(merge.text(), merge.at()))
            print(log.writers[0], log.name, merge.at(), merge.text());
        note_shown(log.writers[0], merge.text());
    }
    flush();
}

/// A place so many bytes before the end; in the newest file that was put aside when the current one
/// holds less.
LogPlace LogFollower::near_end(const LogChain& chain, std::uint64_t bytes)
{
    const bool current = chain.size >= bytes || chain.rotated.empty();
    const std::size_t file = current ? chain.current() : chain.current() - 1;
    const auto log = files_.open(chain, file);
    if (!log || log->packing != Packing::none) return {file, 0};
    return {file, line_begin(files_, *log, log->size - std::min(log->size, bytes))};
}

/// The lines from there on, whatever the filter says: the last ones that take so many bytes.
std::deque<TimedLine> LogFollower::read_last(std::size_t log, LogPlace from, std::uint64_t bytes)
{
    std::deque<TimedLine> lines;
    std::uint64_t kept = 0;
    for (ChainReader reader{files_, chains_[log], from, kEverything}; reader.next();) {
        lines.push_back({reader.at(), std::string{reader.text()}});
        kept += reader.text().size() + 1;
        for (; kept > bytes && lines.size() > 1; lines.pop_front())
            kept -= lines.front().text.size() + 1;
    }
    return lines;
}

/// Which logs have got more than was read: an unfinished line, perhaps.
void LogFollower::note_unfinished()
{
    unfinished_.clear();
    for (std::size_t log = 0; log < chains_.size(); ++log)
        if (!text_behind(chains_[log]).empty()) unfinished_.insert(log);
}

/// What stands behind the last newline, a prompt for instance; the line comes once more when it is
/// whole.
void LogFollower::print_unfinished()
{
    const std::int64_t now = context_.clock.wall_ms();
    for (const std::size_t log : unfinished_) {
        const std::string text = unfinished_line(chains_[log]);
        if (text.empty() || request_.lines == 0 || !request_.filter.passes(text, now)) continue;
        print(logs_[log].writers[0], logs_[log].name, now, text);
    }
    flush();
}

/// Empty, too, when it has got its newline meanwhile.
std::string LogFollower::unfinished_line(const LogChain& chain)
{
    const std::string text = text_behind(chain);
    return text.contains('\n') ? std::string{} : text;
}

/// What the file has got behind the lines that were read.
std::string LogFollower::text_behind(const LogChain& chain)
{
    if (!chain.file) return {};
    std::string text(kJoinedBytes, '\0');
    const auto got = context_.system.pread(chain.file.get(), text.data(), text.size(),
                                           static_cast<off_t>(chain.size));
    text.resize(got ? *got : 0);
    return text;
}

/// What came first after a join may be only the end of a line: the file has all of it.
std::string LogFollower::whole_line(const LogWriter& writer, const std::string& text)
{
    const std::size_t log = log_of(writer);
    if (unfinished_.erase(log) == 0) return text;
    std::string written = text_behind(chains_[log]);
    written.resize(std::min(written.find('\n'), written.size()));
    return written.ends_with(text) ? written : text;
}

/// The daemon was replaced: what came meanwhile stands in the files, behind what was shown.
int LogFollower::take_up_again()
{
    if (!context_.session.reconnect()) return context_.fail("the daemon has ended", kNoDaemon);
    return join();
}

/// By file: how many of the lines that have arrived it held already when it was read.
std::map<std::size_t, std::size_t> LogFollower::known_pending()
{
    std::map<std::size_t, Lines> arrived;
    for (const json& params : pending_)
        if (const std::size_t log = log_of(writer_of(params)); log < logs_.size())
            for (const json& line : lines_of(params))
                arrived[log].push_back(line.get<std::string>());
    std::map<std::size_t, std::size_t> known;
    for (const auto& [log, lines] : arrived)
        known[log] = overlap(
            texts_of(read_last(log, near_end(chains_[log], kJoinedBytes), kJoinedBytes)), lines);
    return known;
}

/// Prints what arrived while the files were read, without the lines that they held already.
void LogFollower::print_pending()
{
    auto known = known_pending();
    for (const json& params : std::exchange(pending_, {})) {
        const auto skip = known.find(log_of(writer_of(params)));
        print_notification(params, skip == known.end() ? nullptr : &skip->second);
    }
    flush();
}

/// Prints what comes until the connection ends or nobody reads any more.
int LogFollower::listen()
{
    if (context_.out.closed()) return kDone;
    const auto ended = context_.session.listen([&](std::string_view method, const json& params) {
        if (method == "log") print_notification(params, nullptr);
        flush();
        return !context_.out.closed();
    });
    if (ended || context_.out.closed()) return kDone;
    return context_.fail(ended.error().text(), kNoDaemon);
}

/// Which of `logs_` it is; their number when it is none of them.
std::size_t LogFollower::log_of(const LogWriter& writer) const
{
    const auto found = std::ranges::find_if(logs_, [&](const WrittenLog& log) {
        return std::ranges::find(log.writers, writer) != log.writers.end();
    });
    return static_cast<std::size_t>(found - logs_.begin());
}

/// Under whose name the lines shown are kept: all that a file gets are one sequence.
LogWriter LogFollower::keeper_of(const LogWriter& writer) const
{
    const std::size_t log = log_of(writer);
    return log < logs_.size() ? logs_[log].writers[0] : writer;
}

/// `skip`: how many lines are known already; counted down.
void LogFollower::print_notification(const json& params, std::size_t* skip)
{
    if (const auto dropped = member_number(params, "dropped"); dropped > 0) {
        context_.warn(fmt::format("{} lines are missing here: this terminal is too slow", dropped));
        return;
    }
    const std::string name = member_text(params, "name");
    const LogWriter writer = writer_of(params);
    const std::int64_t at = member_number(params, "at");
    lines_.widen(name);
    for (const json& line : lines_of(params)) {
        const std::string text = whole_line(writer, line.get_ref<const std::string&>());
        if (skip != nullptr && *skip > 0) {
            --*skip;
            continue;
        }
        if (request_.filter.passes(text, at)) print(writer, name, at, text);
        note_shown(writer, text);
    }
}

/// Whatever the filter says: it is the place that is kept.
void LogFollower::note_shown(const LogWriter& writer, std::string_view text)
{
    Lines& shown = shown_[keeper_of(writer)];
    shown.emplace_back(text);
    if (shown.size() > 2 * kShownKept) shown.erase(shown.begin(), shown.end() - kShownKept);
}

void LogFollower::print(const LogWriter& writer, std::string_view name, std::int64_t at,
                        std::string_view text)
{
    const bool apart = writer.error && request_.look.format == LogFormat::raw;
    text_.clear();
    (apart ? raw_errors_ : lines_)
        .append({.id = writer.id, .name = name, .error = writer.error, .at = at, .text = text},
                text_);
    (apart ? context_.err : context_.out).write(text_);
}

} // namespace cluster::cli
