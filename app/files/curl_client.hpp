// HTTP requests by libcurl, one after the other per thread: TLS, certificates, proxies and kept
// connections are its business. Blocking; any number of threads may call `send` at once.
#pragma once

#include "app/files/s3_wire.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

struct CurlRequest {
    std::string method;
    std::string url;
    S3Fields headers{};
    std::string_view body{};          ///< must outlive the call
    std::size_t max_answer = 0;       ///< a longer body is an error
    milliseconds stall_limit{30'000}; ///< nothing came or went for so long
};

class CurlClient {
public:
    CurlClient();
    ~CurlClient();

    /// Errors: unavailable (nobody there, too slow, stopped), refused (a longer answer, TLS).
    [[nodiscard]] Result<S3Answer> send(const CurlRequest& request);

    /// Calls under way, and all after it, fail soon.
    void stop() { stopped_ = true; }

private:
    struct EndHandle {
        void operator()(void* handle) const;
    };
    using Handle = std::unique_ptr<void, EndHandle>;

    Handle borrow();
    void give_back(Handle handle);

    std::atomic<bool> stopped_ = false;
    std::mutex mutex_;         ///< of what follows
    std::vector<Handle> idle_; ///< with the connections that they keep
};

} // namespace cluster::app
