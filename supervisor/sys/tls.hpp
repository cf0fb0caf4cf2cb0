// The serving side of TLS for connections that do not block, by OpenSSL. The library is loaded when
// the first certificate is, and not linked: a daemon that serves nothing by TLS neither needs nor
// pays for it. Linked it costs, measured for each of our two processes: shared 0.5 MB of private
// memory and 0.8 ms of the start, static 1.2 MB and 0.2 ms. In use it takes 4 MB, of
// which 3 are shared with every other program that uses OpenSSL.
#pragma once

#include "ipc/base/result.hpp"

#include <cstddef>
#include <memory>
#include <string>

namespace cluster::supervisor {

/// What became of one attempt to move bytes.
struct TlsStep {
    enum class What {
        done,        ///< `size` bytes; 0 of a read: the peer has ended the conversation
        wants_read,  ///< again when the socket can be read
        wants_write, ///< again when the socket can be written
        failed,
    };
    What what = What::failed;
    std::size_t size = 0;
};

/// One conversation over a socket that stays the caller's.
class TlsConnection {
public:
    ~TlsConnection();
    TlsConnection(const TlsConnection&) = delete;
    TlsConnection& operator=(const TlsConnection&) = delete;

    /// The handshake happens with the first of them.
    TlsStep read(char* into, std::size_t size);
    /// One that has to be repeated has to be so with the same bytes.
    TlsStep write(const char* from, std::size_t size);
    /// Says that nothing more comes, as far as the socket takes it.
    void end();

private:
    friend class TlsServer;
    struct Impl;
    explicit TlsConnection(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// A certificate and its key, from TLS 1.2 on.
class TlsServer {
public:
    /// Errors: the library is not there, or a file does not hold what it should; `what` names it.
    static ipc::Result<std::shared_ptr<TlsServer>> load(const std::string& certificate_chain,
                                                        const std::string& key);
    ~TlsServer();
    TlsServer(const TlsServer&) = delete;
    TlsServer& operator=(const TlsServer&) = delete;

    /// Null when there is no memory.
    [[nodiscard]] std::unique_ptr<TlsConnection> accept(int fd);

private:
    struct Impl;
    explicit TlsServer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

} // namespace cluster::supervisor
