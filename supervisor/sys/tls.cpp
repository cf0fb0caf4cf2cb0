#include "supervisor/sys/tls.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <utility>

namespace cluster::supervisor {
namespace {

/// The functions of libssl and libcrypto that we use, by the declarations of their own headers.
struct OpenSsl {
    decltype(&::TLS_server_method) server_method = nullptr;
    decltype(&::SSL_CTX_new) ctx_new = nullptr;
    decltype(&::SSL_CTX_free) ctx_free = nullptr;
    decltype(&::SSL_CTX_ctrl) ctx_ctrl = nullptr;
    decltype(&::SSL_CTX_use_certificate_chain_file) use_chain = nullptr;
    decltype(&::SSL_CTX_use_PrivateKey_file) use_key = nullptr;
    decltype(&::SSL_CTX_check_private_key) check_key = nullptr;
    decltype(&::SSL_new) ssl_new = nullptr;
    decltype(&::SSL_free) ssl_free = nullptr;
    decltype(&::SSL_set_fd) set_fd = nullptr;
    decltype(&::SSL_set_accept_state) set_accept_state = nullptr;
    decltype(&::SSL_read) read = nullptr;
    decltype(&::SSL_write) write = nullptr;
    decltype(&::SSL_shutdown) shutdown = nullptr;
    decltype(&::SSL_get_error) get_error = nullptr;
    decltype(&::ERR_get_error) err_get = nullptr;
    decltype(&::ERR_clear_error) err_clear = nullptr;
    decltype(&::ERR_error_string_n) err_text = nullptr;

    bool find_all(void* ssl)
    {
        // Symbols of libcrypto are found through it.
        return find(ssl, "TLS_server_method", server_method) && find(ssl, "SSL_CTX_new", ctx_new) &&
               find(ssl, "SSL_CTX_free", ctx_free) && find(ssl, "SSL_CTX_ctrl", ctx_ctrl) &&
               find(ssl, "SSL_CTX_use_certificate_chain_file", use_chain) &&
               find(ssl, "SSL_CTX_use_PrivateKey_file", use_key) &&
               find(ssl, "SSL_CTX_check_private_key", check_key) && find(ssl, "SSL_new", ssl_new) &&
               find(ssl, "SSL_free", ssl_free) && find(ssl, "SSL_set_fd", set_fd) &&
               find(ssl, "SSL_set_accept_state", set_accept_state) && find(ssl, "SSL_read", read) &&
               find(ssl, "SSL_write", write) && find(ssl, "SSL_shutdown", shutdown) &&
               find(ssl, "SSL_get_error", get_error) && find(ssl, "ERR_get_error", err_get) &&
               find(ssl, "ERR_clear_error", err_clear) && find(ssl, "ERR_error_string_n", err_text);
    }

private:
    template <class Function>
    static bool find(void* library, const char* name, Function& into)
    {
        into = reinterpret_cast<Function>(::dlsym(library, name));
        return into != nullptr;
    }
};

/// Null when it is not installed. Loaded once, and never given back: it runs code at our exit.
const OpenSsl* open_ssl()
{
    static const OpenSsl* const loaded = []() -> const OpenSsl* {
        static OpenSsl functions;
        void* library = ::dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
        return library && functions.find_all(library) ? &functions : nullptr;
    }();
    return loaded;
}

ipc::Error failure(const OpenSsl& ssl, std::string what)
{
    std::array<char, 256> text{};
    ssl.err_text(ssl.err_get(), text.data(), text.size());
    ssl.err_clear();
    return {.code = std::make_error_code(std::errc::invalid_argument),
            .what = std::move(what) + " (" + text.data() + ")"};
}

int bounded(std::size_t size)
{
    return static_cast<int>(std::min(size, std::size_t{INT_MAX}));
}

} // namespace

struct TlsServer::Impl {
    const OpenSsl& ssl;
    SSL_CTX* context;
};

struct TlsConnection::Impl {
    const OpenSsl& ssl;
    SSL* connection;
    bool broken = false; ///< after a failure nothing may be said any more (man 3 SSL_shutdown)

    TlsStep step_of(int result)
    {
        if (result > 0)
            return {.what = TlsStep::What::done, .size = static_cast<std::size_t>(result)};
        const int error = ssl.get_error(connection, result);
        if (error == SSL_ERROR_WANT_READ) return {.what = TlsStep::What::wants_read};
        if (error == SSL_ERROR_WANT_WRITE) return {.what = TlsStep::What::wants_write};
        if (error == SSL_ERROR_ZERO_RETURN) return {.what = TlsStep::What::done};
        broken = true;
        ssl.err_clear();
        return {.what = TlsStep::What::failed};
    }
};

ipc::Result<std::shared_ptr<TlsServer>> TlsServer::load(const std::string& certificate_chain,
                                                        const std::string& key)
{
    const OpenSsl* ssl = open_ssl();
    if (!ssl) return ipc::fail(ENOENT, "TLS needs OpenSSL 3 (libssl.so.3), which cannot be loaded");
    auto impl = std::make_unique<Impl>(Impl{*ssl, ssl->ctx_new(ssl->server_method())});
    if (!impl->context) return ipc::fail(ENOMEM, "prepare TLS");
    const std::shared_ptr<TlsServer> server{new TlsServer{std::move(impl)}};
    SSL_CTX* context = server->impl_->context;
    ssl->err_clear();
    ssl->ctx_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, nullptr);
    // A write that was cut off may go on from another buffer with the same bytes; and what a
    // connection needs while it moves nothing, it gives back.
    ssl->ctx_ctrl(context, SSL_CTRL_MODE,
                  SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                      SSL_MODE_RELEASE_BUFFERS,
                  nullptr);
    if (ssl->use_chain(context, certificate_chain.c_str()) != 1)
        return std::unexpected(failure(*ssl, "no certificate chain in " + certificate_chain));
    if (ssl->use_key(context, key.c_str(), SSL_FILETYPE_PEM) != 1)
        return std::unexpected(failure(*ssl, "no private key in " + key));
    if (ssl->check_key(context) != 1)
        return std::unexpected(
            failure(*ssl, "the key in " + key + " is not that of " + certificate_chain));
    return server;
}

TlsServer::TlsServer(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}

TlsServer::~TlsServer()
{
    impl_->ssl.ctx_free(impl_->context);
}

std::unique_ptr<TlsConnection> TlsServer::accept(int fd)
{
    SSL* connection = impl_->ssl.ssl_new(impl_->context);
    if (!connection) return nullptr;
    auto impl = std::make_unique<TlsConnection::Impl>(
        TlsConnection::Impl{.ssl = impl_->ssl, .connection = connection});
    impl_->ssl.set_fd(connection, fd);
    impl_->ssl.set_accept_state(connection);
    return std::unique_ptr<TlsConnection>{new TlsConnection{std::move(impl)}};
}

TlsConnection::TlsConnection(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}

TlsConnection::~TlsConnection()
{
    impl_->ssl.ssl_free(impl_->connection);
}

TlsStep TlsConnection::read(char* into, std::size_t size)
{
    return impl_->step_of(impl_->ssl.read(impl_->connection, into, bounded(size)));
}

TlsStep TlsConnection::write(const char* from, std::size_t size)
{
    return impl_->step_of(impl_->ssl.write(impl_->connection, from, bounded(size)));
}

void TlsConnection::end()
{
    if (!impl_->broken) (void)impl_->ssl.shutdown(impl_->connection);
    impl_->ssl.err_clear();
}

} // namespace cluster::supervisor
