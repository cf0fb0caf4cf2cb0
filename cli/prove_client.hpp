// One client of `reload --prove`: sends GET requests one after the other, over a new connection
// each or over one that it keeps. Blocks; lives in a thread of its own.
#pragma once

#include "cli/http_answer.hpp"
#include "cli/probe_address.hpp"
#include "cli/prove_report.hpp"
#include "ipc/base/unique_fd.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace cluster::cli {

/// How one request went.
struct Attempt {
    int status = 0; ///< 0 when no answer came
    std::optional<Loss> loss{};
    bool raced = false;
    bool not_sent = false; ///< for want of ports or descriptors: says nothing about the server
    std::string fault{};   ///< what happened, for people; "" when all went well
};

class ProveClient {
public:
    using Time = std::chrono::steady_clock::time_point;

    /// `keeps`: its connection, as long as the server lets it. `limit`: for one request.
    ProveClient(const ProbeAddress& address, std::string path, bool keeps,
                std::chrono::milliseconds limit)
        : address_{address}, path_{std::move(path)}, keeps_{keeps}, limit_{limit}
    {
    }

    /// One request. One that was sent on a kept connection and vanished before an answer began is
    /// repeated once on a new one: no client can tell whether the server saw it, and for GET every
    /// client may (RFC 9110, section 9.2.2).
    Attempt ask();

private:
    Attempt connect(Time deadline);
    Attempt exchange(Time deadline);
    Attempt receive(AnswerReader& reader, Time deadline);
    /// The server has closed it, or sent what was not asked for.
    [[nodiscard]] bool is_stale() const;

    const ProbeAddress& address_;
    std::string path_;
    bool keeps_;
    std::chrono::milliseconds limit_;
    ipc::UniqueFd socket_; ///< kept between requests
};

} // namespace cluster::cli
