// What guardian and manager say to each other over a pair of connected sockets, one message each,
// and what a process that becomes the guardian finds in its hand-over list (take_over.hpp), one
// message after the other. The first byte says what it is; numbers are little-endian. Pure: bytes
// in, values out.
//
//   manager → guardian             body                         descriptors
//     keep          'k'                                         1 to 250, to be kept by inode
//     drop          'd'            inodes (u64 each)
//     journal       'j'                                         the memfd, for the one before
//     ready         'r'
//     acknowledge   'a'            ends
//     upgrade       'u'            an Upgrade: wanted
//     alive         'w'                                         its loop turns: for systemd's
//     watchdog
//   guardian → manager
//     kept          'k'                                         1 to 250
//     kept journal  'j'                                         the memfd
//     ended         'e'            ends
//     outcome       'o'            an Upgrade: how the last one went
//     complete      'c'            that is all that there is for a manager that starts
//     hand over     'h'            somebody else takes over: end, and leave everything
//   hand-over list only
//     descriptor    'f'            what for (one byte), number (i32)
//     manager       'm'            the pid (i32) of the manager at the other end of the channel
//
// Another version may be at the other end: an unknown message is passed over, and so is what
// follows the fields that we know.
#pragma once

#include "ipc/base/system.hpp"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// The end of a child of the guardian.
struct EndedProcess {
    pid_t pid = 0;
    std::uint64_t start_time = 0; ///< ticks since boot: with the pid, its identity
    ipc::ExitStatus status;
    bool operator==(const EndedProcess&) const = default;
    [[nodiscard]] bool same_process(const EndedProcess& other) const
    {
        return pid == other.pid && start_time == other.start_time;
    }
};

/// A change of the program under running workers: one that is wanted, or how it went.
struct Upgrade {
    std::uint64_t serial = 0;   ///< tells one from the next
    bool ok = false;            ///< the new version serves
    std::uint64_t since_ms = 0; ///< monotonic: nobody serves since then; 0: somebody does
    std::uint64_t gap_ms = 0;   ///< nobody served for so long
    std::string from;           ///< versions
    std::string to;
    std::string program; ///< absolute path of the new one
    std::string reason;  ///< why the old version serves again; "" when ok
    bool operator==(const Upgrade&) const = default;
};

enum class Verb : char {
    keep = 'k',
    drop = 'd',
    journal = 'j',
    ready = 'r',
    acknowledge = 'a',
    upgrade = 'u',
    alive = 'w',
    ended = 'e',
    outcome = 'o',
    complete = 'c',
    hand_over = 'h',
    descriptor = 'f',
    manager = 'm',
};

/// What an inherited descriptor is for.
enum class FdRole : char {
    lock = 'l',     ///< of the home
    listener = 's', ///< the control socket
    channel = 'c',  ///< to a manager that lives
    journal = 'j',
    kept = 'k',
    program = 'p', ///< the executable to go back to
};

struct Message {
    Verb verb = Verb::keep;
    std::vector<std::uint64_t> inodes = {}; ///< drop
    std::vector<EndedProcess> ended = {};   ///< acknowledge, ended
    Upgrade upgrade = {};                   ///< upgrade, outcome
    FdRole role = FdRole::kept;             ///< descriptor
    int number = -1;                        ///< descriptor, manager
    bool operator==(const Message&) const = default;
};

/// So many inodes or ends fit into one message.
inline constexpr std::size_t kMaxPerMessage = 256;

std::string encode(Verb verb); ///< one without a body
std::string encode_drop(std::span<const std::uint64_t> inodes);
std::string encode_ended(Verb verb, std::span<const EndedProcess> ended);
/// Texts are cut after 1000 bytes, the path after 4096.
std::string encode_upgrade(Verb verb, const Upgrade& upgrade);
std::string encode_descriptor(FdRole role, int fd);
std::string encode_manager(pid_t pid);
/// Empty for what is no message of this version.
[[nodiscard]] std::optional<Message> decode(std::string_view bytes);

/// A list of messages, each with its length before it.
void append_to_list(std::string& list, std::string_view message);
/// Takes the next message off the front; empty at the end, and where the list is cut off.
[[nodiscard]] std::optional<std::string_view> next_of_list(std::string_view& list);

} // namespace cluster::supervisor
