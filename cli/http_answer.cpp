#include "cli/http_answer.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace cluster::cli {
namespace {

constexpr std::size_t kMaxHead = 64UL * 1024;
constexpr std::string_view kLineEnd = "\r\n";

std::string lower(std::string_view text)
{
    std::string out{text};
    std::ranges::transform(out, out.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return out;
}

std::string_view trimmed(std::string_view text)
{
    while (text.starts_with(' ') || text.starts_with('\t'))
        text.remove_prefix(1);
    while (text.ends_with(' ') || text.ends_with('\t'))
        text.remove_suffix(1);
    return text;
}

std::optional<std::size_t> number(std::string_view text, int base)
{
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

} // namespace

bool AnswerReader::reusable() const
{
    return state_ == State::complete && keeps_alive_ && held_.empty() &&
           body_ != Body::until_close && status_ != 101;
}

void AnswerReader::push(std::string_view bytes)
{
    if (bytes.empty()) return;
    begun_ = true;
    held_ += bytes;
    step();
}

void AnswerReader::end()
{
    if (state_ == State::body && body_ == Body::until_close) state_ = State::complete;
    keeps_alive_ = false;
}

void AnswerReader::step()
{
    while (state_ == State::head)
        if (!read_head()) return;
    if (state_ != State::body) return;
    if (body_ == Body::until_close) {
        held_.clear();
    } else if (body_ == Body::counted) {
        read_counted();
    } else {
        while (state_ == State::body && read_chunk()) {
        }
    }
}

bool AnswerReader::fail()
{
    state_ = State::broken;
    return false;
}

/// Says whether it got on.
bool AnswerReader::read_head()
{
    if (!std::string_view{"HTTP/1."}.starts_with(std::string_view{held_}.substr(0, 7)))
        return fail();
    const auto end = held_.find("\r\n\r\n");
    if (end == std::string::npos) return held_.size() > kMaxHead ? fail() : false;
    std::string_view head = std::string_view{held_}.substr(0, end);
    body_ = Body::until_close;
    const auto first = head.find(kLineEnd);
    if (!read_status_line(head.substr(0, first))) return fail();
    head.remove_prefix(first == head.npos ? head.size() : first + 2);
    while (!head.empty() && state_ == State::head) {
        const auto line_end = head.find(kLineEnd);
        read_header(head.substr(0, line_end));
        head.remove_prefix(line_end == head.npos ? head.size() : line_end + 2);
    }
    if (state_ == State::broken) return false;
    held_.erase(0, end + 4);
    if (status_ < 200 && status_ != 101) return true; // 100 Continue and the like: another head
    if (status_ == 204 || status_ == 304 || status_ == 101) body_ = Body::none;
    const bool empty = body_ == Body::none || (body_ == Body::counted && left_ == 0);
    state_ = empty ? State::complete : State::body;
    return true;
}

bool AnswerReader::read_status_line(std::string_view line)
{
    constexpr std::size_t kStatusAt = 9; // behind "HTTP/1.1 "
    if (line.size() < kStatusAt + 3) return false;
    const auto code = number(line.substr(kStatusAt, 3), 10);
    if (!code || *code < 100) return false;
    status_ = static_cast<int>(*code);
    keeps_alive_ = line[7] != '0';
    return true;
}

void AnswerReader::read_header(std::string_view line)
{
    const auto colon = line.find(':');
    if (colon == line.npos) return;
    const std::string name = lower(line.substr(0, colon));
    const std::string value = lower(trimmed(line.substr(colon + 1)));
    if (name == "connection") {
        keeps_alive_ = value.contains("keep-alive") || (keeps_alive_ && !value.contains("close"));
    } else if (name == "transfer-encoding" && value.ends_with("chunked")) {
        body_ = Body::chunked;
    } else if (name == "content-length" && body_ != Body::chunked) {
        const auto length = number(value, 10);
        if (!length) {
            fail();
            return;
        }
        body_ = Body::counted;
        left_ = *length;
    }
}

bool AnswerReader::read_counted()
{
    const std::size_t size = std::min(left_, held_.size());
    held_.erase(0, size);
    left_ -= size;
    if (left_ == 0) state_ = State::complete;
    return left_ == 0;
}

/// One step through a chunked body; says whether it got on.
bool AnswerReader::read_chunk()
{
    if (chunk_ == Chunk::data) {
        const std::size_t size = std::min(left_, held_.size());
        held_.erase(0, size);
        left_ -= size;
        if (left_ > 0) return false;
        chunk_ = Chunk::size;
        return true;
    }
    const auto end = held_.find(kLineEnd);
    if (end == std::string::npos) return held_.size() > kMaxHead ? fail() : false;
    const std::string line = held_.substr(0, end);
    held_.erase(0, end + 2);
    if (chunk_ == Chunk::trailer) {
        if (line.empty()) state_ = State::complete;
        return true;
    }
    const auto size = number(trimmed(std::string_view{line}.substr(0, line.find(';'))), 16);
    if (!size) return fail();
    chunk_ = *size == 0 ? Chunk::trailer : Chunk::data;
    left_ = *size + 2; // with its line end
    return true;
}

} // namespace cluster::cli
