#include "supervisor/daemon/guardian_messages.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>

namespace cluster::supervisor {
namespace {

constexpr std::size_t kMaxText = 1000;
constexpr std::size_t kMaxPath = 4096;

template <std::integral Number>
void put(std::string& out, Number number)
{
    const auto bits = static_cast<std::uint64_t>(number);
    for (std::size_t byte = 0; byte < sizeof number; ++byte)
        out += static_cast<char>(bits >> (8 * byte) & 0xFFU);
}

void put_text(std::string& out, std::string_view text, std::size_t longest)
{
    text = text.substr(0, longest);
    put(out, static_cast<std::uint16_t>(text.size()));
    out += text;
}

/// Takes values off the front of `rest`; once something is missing, nothing is there any more.
class Reader {
public:
    explicit Reader(std::string_view rest) : rest_{rest} {}
    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] bool at_end() const { return rest_.empty(); }

    template <std::integral Number>
    Number take()
    {
        std::uint64_t bits = 0;
        const std::string_view bytes = take_bytes(sizeof(Number));
        for (std::size_t byte = 0; byte < bytes.size(); ++byte)
            bits |= std::uint64_t{static_cast<unsigned char>(bytes[byte])} << (8 * byte);
        return static_cast<Number>(bits);
    }
    std::string take_text() { return std::string{take_bytes(take<std::uint16_t>())}; }

private:
    std::string_view take_bytes(std::size_t size)
    {
        if (rest_.size() < size) {
            ok_ = false;
            rest_ = {};
        }
        const std::string_view bytes = rest_.substr(0, ok_ ? size : 0);
        rest_.remove_prefix(bytes.size());
        return bytes;
    }

    std::string_view rest_;
    bool ok_ = true;
};

void put_ended(std::string& out, const EndedProcess& process)
{
    put(out, static_cast<std::int32_t>(process.pid));
    put(out, process.start_time);
    put(out, static_cast<std::int32_t>(process.status.code));
    put(out, static_cast<std::int32_t>(process.status.signal));
}

EndedProcess take_ended(Reader& body)
{
    EndedProcess process;
    process.pid = body.take<std::int32_t>();
    process.start_time = body.take<std::uint64_t>();
    process.status.code = body.take<std::int32_t>();
    process.status.signal = body.take<std::int32_t>();
    return process;
}

Upgrade take_upgrade(Reader& body)
{
    Upgrade upgrade;
    upgrade.serial = body.take<std::uint64_t>();
    upgrade.ok = body.take<std::uint8_t>() != 0;
    upgrade.since_ms = body.take<std::uint64_t>();
    upgrade.gap_ms = body.take<std::uint64_t>();
    for (std::string* text : {&upgrade.from, &upgrade.to, &upgrade.program, &upgrade.reason})
        *text = body.take_text();
    return upgrade;
}

/// False for a verb of another version.
bool take_body(Message& message, Reader& body)
{
    switch (message.verb) {
    case Verb::keep:
    case Verb::journal:
    case Verb::ready:
    case Verb::alive:
    case Verb::complete:
    case Verb::hand_over:
        return true;
    case Verb::drop:
        while (body.ok() && !body.at_end())
            message.inodes.push_back(body.take<std::uint64_t>());
        return true;
    case Verb::acknowledge:
    case Verb::ended:
        while (body.ok() && !body.at_end())
            message.ended.push_back(take_ended(body));
        return true;
    case Verb::upgrade:
    case Verb::outcome:
        message.upgrade = take_upgrade(body);
        return true;
    case Verb::descriptor:
        message.role = static_cast<FdRole>(body.take<char>());
        message.number = body.take<std::int32_t>();
        return true;
    case Verb::manager:
        message.number = body.take<std::int32_t>();
        return true;
    }
    return false;
}

} // namespace

std::string encode(Verb verb)
{
    return {static_cast<char>(verb)};
}

std::string encode_drop(std::span<const std::uint64_t> inodes)
{
    std::string out = encode(Verb::drop);
    for (const std::uint64_t inode : inodes)
        put(out, inode);
    return out;
}

std::string encode_ended(Verb verb, std::span<const EndedProcess> ended)
{
    std::string out = encode(verb);
    for (const EndedProcess& process : ended)
        put_ended(out, process);
    return out;
}

std::string encode_upgrade(Verb verb, const Upgrade& upgrade)
{
    std::string out = encode(verb);
    put(out, upgrade.serial);
    put(out, static_cast<std::uint8_t>(upgrade.ok));
    put(out, upgrade.since_ms);
    put(out, upgrade.gap_ms);
    put_text(out, upgrade.from, kMaxText);
    put_text(out, upgrade.to, kMaxText);
    put_text(out, upgrade.program, kMaxPath);
    put_text(out, upgrade.reason, kMaxText);
    return out;
}

std::string encode_descriptor(FdRole role, int fd)
{
    std::string out = encode(Verb::descriptor);
    put(out, static_cast<char>(role));
    put(out, static_cast<std::int32_t>(fd));
    return out;
}

std::string encode_manager(pid_t pid)
{
    std::string out = encode(Verb::manager);
    put(out, static_cast<std::int32_t>(pid));
    return out;
}

std::optional<Message> decode(std::string_view bytes)
{
    if (bytes.empty()) return std::nullopt;
    Message message{.verb = static_cast<Verb>(bytes.front())};
    Reader body{bytes.substr(1)};
    if (!take_body(message, body) || !body.ok()) return std::nullopt;
    return message;
}

void append_to_list(std::string& list, std::string_view message)
{
    put(list, static_cast<std::uint32_t>(message.size()));
    list += message;
}

std::optional<std::string_view> next_of_list(std::string_view& list)
{
    Reader length{list};
    const auto size = length.take<std::uint32_t>();
    constexpr std::size_t kLengthBytes = 4;
    if (!length.ok() || list.size() - kLengthBytes < size) return std::nullopt;
    const std::string_view message = list.substr(kLengthBytes, size);
    list.remove_prefix(kLengthBytes + size);
    return message;
}

} // namespace cluster::supervisor
