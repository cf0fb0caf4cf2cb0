#include "app/postgres/target.hpp"

#include "app/base/completions.hpp"
#include "app/base/trouble.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <memory>

namespace cluster::app {
namespace {

using namespace asio::experimental::awaitable_operators;

std::vector<std::string> parts_of(const std::string& text)
{
    std::vector<std::string> parts;
    std::size_t at = 0;
    while (at <= text.size()) {
        const std::size_t end = std::min(text.find(',', at), text.size());
        parts.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return parts;
}

/// What libpq says of a URL, without the piece of it that most of its messages end in: the piece
/// may be the password.
std::string harmless(std::string message)
{
    while (!message.empty() && (message.back() == '\n' || message.back() == ' '))
        message.pop_back();
    if (message.starts_with("invalid URI query parameter:")) return message;
    return message.substr(0, message.find(": \""));
}

struct FreeOptions {
    void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
struct FreeText {
    void operator()(char* text) const { PQfreemem(text); }
};

std::string name_of(const PgTarget& target, const std::vector<PgHost>& hosts)
{
    std::string name;
    for (const PgHost& host : hosts)
        name += fmt::format("{}{}:{}", name.empty() ? "" : ",",
                            host.host.empty() ? host.address : host.host,
                            host.port.empty() ? "5432" : host.port);
    const std::string database = target.value("dbname");
    return database.empty() ? name : name + "/" + database;
}

} // namespace

Result<PgTarget> PgTarget::parse(const std::string& url, PgRole role)
{
    if (!url.starts_with("postgresql://") && !url.starts_with("postgres://"))
        return trouble(Trouble::refused, "it must begin with postgresql://");
    char* said = nullptr;
    const std::unique_ptr<PQconninfoOption, FreeOptions> options{
        PQconninfoParse(url.c_str(), &said)};
    const std::unique_ptr<char, FreeText> message{said};
    if (!options)
        return trouble(Trouble::refused, harmless(said == nullptr ? "out of memory" : said));

    PgTarget target;
    for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option)
        if (option->val != nullptr) target.parameters_.emplace_back(option->keyword, option->val);
    const auto hosts = pg_hosts(target);
    if (!hosts) return std::unexpected(hosts.error());
    target.name_ = name_of(target, *hosts);

    target.add_default("fallback_application_name", "clusterapp");
    target.set("client_encoding", "UTF8");
    // A host that vanished without a word is noticed within half a minute, not two hours.
    target.add_default("keepalives_idle", "10");
    target.add_default("keepalives_interval", "5");
    target.add_default("keepalives_count", "3");
    target.add_default("tcp_user_timeout", "15000");
    if (role == PgRole::primary && hosts->size() > 1)
        target.add_default("target_session_attrs", "read-write");
    return target;
}

std::string PgTarget::value(const std::string& keyword) const
{
    const auto found =
        std::ranges::find(parameters_, keyword, &std::pair<std::string, std::string>::first);
    return found == parameters_.end() ? "" : found->second;
}

void PgTarget::add_default(const std::string& keyword, std::string value)
{
    if (this->value(keyword).empty()) set(keyword, std::move(value));
}

void PgTarget::set(const std::string& keyword, std::string value)
{
    const auto found =
        std::ranges::find(parameters_, keyword, &std::pair<std::string, std::string>::first);
    if (found == parameters_.end())
        parameters_.emplace_back(keyword, std::move(value));
    else
        found->second = std::move(value);
}

Result<std::vector<PgHost>> pg_hosts(const PgTarget& target)
{
    const auto names = parts_of(target.value("host"));
    const auto addresses = parts_of(target.value("hostaddr"));
    const auto ports = parts_of(target.value("port"));
    const std::size_t count = std::max(names.size(), addresses.size());
    const auto fits = [&](const auto& list) { return list.size() == count || list.size() == 1; };
    if (!fits(names) || !fits(addresses) || !fits(ports))
        return trouble(Trouble::refused, fmt::format("it has {} hosts, {} addresses and {} ports",
                                                     names.size(), addresses.size(), ports.size()));
    std::vector<PgHost> hosts;
    for (std::size_t i = 0; i < count; ++i)
        hosts.push_back({.host = names.size() == count ? names[i] : "",
                         .address = addresses.size() == count ? addresses[i] : "",
                         .port = ports[ports.size() == 1 ? 0 : i]});
    return hosts;
}

bool needs_lookup(const PgHost& host)
{
    if (!host.address.empty() || host.host.empty()) return false;
    if (host.host.front() == '/' || host.host.front() == '@') return false;
    boost::system::error_code failed;
    asio::ip::make_address(host.host, failed);
    return static_cast<bool>(failed);
}

asio::awaitable<Result<PgTarget>> PgTarget::resolved(std::chrono::milliseconds limit) const
{
    const auto hosts = pg_hosts(*this);
    if (!hosts || std::ranges::none_of(*hosts, needs_lookup)) co_return *this;

    asio::ip::tcp::resolver resolver{co_await asio::this_coro::executor};
    asio::steady_timer timer{resolver.get_executor(), limit}; // for all names together
    std::string names;
    std::string addresses;
    std::string ports;
    const auto add = [&](const PgHost& host, const std::string& address) {
        const char* const comma = ports.empty() ? "" : ",";
        names += comma + host.host;
        addresses += comma + address;
        ports += comma + (host.port.empty() ? "5432" : host.port);
    };
    std::string why;
    for (const PgHost& host : *hosts) {
        if (!needs_lookup(host)) {
            add(host, host.address);
            continue;
        }
        auto race = resolver.async_resolve(host.host, "", kAsValue) || timer.async_wait(kAsValue);
        const auto first = co_await std::move(race);
        if (first.index() == 1) {
            why = fmt::format("look up {}: no answer in time", host.host);
            continue;
        }
        const auto& [failed, found] = std::get<0>(first);
        if (failed) why = fmt::format("look up {}: {}", host.host, failed.message());
        for (const auto& entry : found)
            add(host, entry.endpoint().address().to_string());
    }
    if (ports.empty()) co_return trouble(Trouble::unavailable, std::move(why));
    PgTarget target = *this;
    target.set("host", names);
    target.set("hostaddr", addresses);
    target.set("port", ports);
    co_return target;
}

} // namespace cluster::app
