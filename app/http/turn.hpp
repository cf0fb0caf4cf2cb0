// One request of a connection, and what becomes of it. Inner matter of session*.cpp.
#pragma once

#include "app/http/request_parser.hpp"
#include "app/http/session.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cluster::app {

struct Session::Turn {
    explicit Turn(Service& shared);
    ~Turn(); ///< tells the observers
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    Service& service;
    std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
    RequestParser parser;
    bool described = false; ///< the header has been read, `request` is filled
    Request request{};
    std::string body{};
    std::string_view query{};
    Router::Match match{};
    std::vector<std::pair<std::string, std::string>> extra_headers{}; ///< of the rate limit
    bool continue_sent = false;
    bool last = false; ///< nothing that follows on this connection can be understood

    // What the observers are told.
    unsigned status = 0;
    std::uint64_t bytes = 0;
    bool complete = true;
    bool told = false;
    std::string detail{};

    [[nodiscard]] const RequestParser::Header& header() const { return parser.header(); }
    [[nodiscard]] bool is_head() const { return request.method == http::verb::head; }
    /// Tells the observers how it ended; once.
    void tell();
};

/// The answer when a handler has thrown.
[[nodiscard]] Response thrown(std::string what);

/// `field` as our own kind of view.
[[nodiscard]] inline std::string_view text_of(boost::beast::string_view field)
{
    return {field.data(), field.size()};
}

} // namespace cluster::app
