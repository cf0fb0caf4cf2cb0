// The roles above the store, without a socket: a request goes through the router and the
// authenticator to its handler, as the connection would send it.
#pragma once

#include "app/api.hpp"
#include "app/metrics/registry.hpp"
#include "tests/support/memory_key_value.hpp"
#include "tests/support/memory_store.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cluster::tests {

/// An answer with its body taken apart.
struct Answer {
    unsigned status = 0;
    app::json body;
    std::map<std::string, std::string> headers;

    [[nodiscard]] std::string code() const { return body.at("error").at("code"); }
    [[nodiscard]] const app::json& data() const { return body.at("data"); }
};

struct SeenChanges final : app::ProjectEvents {
    void changed(const app::ProjectChange& change) override { all.push_back(change); }
    std::vector<app::ProjectChange> all;
};

class ApiHarness {
public:
    struct Setup {
        bool replicas = false;
        bool allow_unchecked = false;
        bool session_required = false;
        app::milliseconds access_life = std::chrono::minutes{15};
    };

    explicit ApiHarness(Setup setup)
    {
        if (setup.replicas) store.stop_replicas();
        app::AccountOptions options;
        options.secret = "0123456789abcdef0123456789abcdef";
        options.hash_memory_kib = 8;
        options.hash_passes = 1;
        options.hash_threads = 1;
        options.access_life = setup.access_life;
        options.allow_unchecked = setup.allow_unchecked;
        options.session_required = setup.session_required;
        api.emplace(app::Api::Ground{.io = io,
                                     .clock = clock,
                                     .store = store,
                                     .key_value = key_value,
                                     .metrics = metrics,
                                     .events = events},
                    options, std::chrono::seconds{5});
        api->add_routes(router);
    }
    ApiHarness() : ApiHarness{Setup{}} {}

    Answer call(app::http::verb method, const std::string& target, const std::string& body = "",
                const std::string& token = "", const std::string& if_match = "")
    {
        app::http::fields headers;
        headers.set(app::http::field::user_agent, "harness");
        if (!body.empty()) headers.set(app::http::field::content_type, "application/json");
        if (!token.empty()) headers.set(app::http::field::authorization, "Bearer " + token);
        if (!if_match.empty()) headers.set(app::http::field::if_match, if_match);
        app::Request request;
        request.method = method;
        request.headers = &headers;
        request.body = body;
        request.client = "192.0.2.1";
        const auto question = std::min(target.find('?'), target.size());
        request.path = target.substr(0, question);
        add_query(request, target.substr(std::min(question + 1, target.size())));

        auto match = router.match(method, request.path);
        if (match.route == nullptr) return {.status = 404, .body{}, .headers{}};
        request.params = std::move(match.params);
        std::optional<app::Response> response;
        std::exception_ptr failure;
        boost::asio::co_spawn(io, serve(*match.route, request, response),
                              [&](std::exception_ptr thrown) { failure = std::move(thrown); });
        io.restart();
        io.run();
        if (failure) std::rethrow_exception(failure);
        Answer answer{.status = static_cast<unsigned>(response->status),
                      .body = app::json::parse(response->body),
                      .headers{}};
        for (const auto& [name, value] : response->headers)
            answer.headers[name] = value;
        return answer;
    }
    Answer post(const std::string& target, const app::json& body, const std::string& token = "")
    {
        return call(app::http::verb::post, target, body.dump(), token);
    }
    Answer get(const std::string& target, const std::string& token = "")
    {
        return call(app::http::verb::get, target, "", token);
    }

    /// A new account; its answer has the tokens.
    Answer registered(const std::string& email)
    {
        return post("/api/auth/register",
                    {{"email", email}, {"password", "correct horse"}, {"name", "Ada"}});
    }
    std::string token_of(const std::string& email) { return registered(email).data().at("token"); }

    boost::asio::io_context io;
    ManualClock clock;
    MemoryStore store;
    MemoryKeyValue key_value{clock};
    app::Registry metrics;
    SeenChanges events;
    app::Router router;
    std::optional<app::Api> api;

private:
    static void add_query(app::Request& request, std::string query)
    {
        while (!query.empty()) {
            const std::string pair = query.substr(0, query.find('&'));
            query.erase(0, pair.size() + 1);
            const auto equals = std::min(pair.find('='), pair.size());
            request.query.emplace_back(pair.substr(0, equals),
                                       pair.substr(std::min(equals + 1, pair.size())));
        }
    }

    boost::asio::awaitable<void> serve(const app::Route& route, app::Request& request,
                                       std::optional<app::Response>& response)
    {
        if (route.rules.caller) {
            auto asking = api->authenticator().authenticate(request);
            auto caller = co_await std::move(asking);
            if (!caller) {
                response = caller.error();
                co_return;
            }
            request.caller = *caller;
        }
        auto handling = route.handler(request);
        response = co_await std::move(handling);
    }
};

} // namespace cluster::tests
