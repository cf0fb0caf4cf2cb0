#include "app/accounts/email.hpp"
#include "app/accounts/options.hpp"
#include "app/base/ids.hpp"
#include "app/base/times.hpp"
#include "tests/support/api_harness.hpp"

#include <doctest/doctest.h>
#include <jwt/jwt.hpp>
#include <nlohmann/json.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

using namespace cluster::app;
using namespace cluster::tests;
using namespace std::chrono_literals;

namespace {

std::string path_of(const Answer& answer, std::size_t fault)
{
    return answer.body.at("error").at("details").at(fault).at("path");
}

} // namespace

TEST_CASE("times: ISO 8601 in UTC")
{
    CHECK(iso_time(0) == "1970-01-01T00:00:00.000Z");
    CHECK(iso_time(1'795'360'364'007) == "2026-11-22T15:12:44.007Z");
    CHECK(iso_time(951'782'400'000) == "2000-02-29T00:00:00.000Z");
}

TEST_CASE("ids: the shape of ours and of nothing else")
{
    std::string last;
    for (int i = 0; i < 2000; ++i) {
        const std::string id = new_id(1'795'360'364'007);
        REQUIRE(is_id(id));
        REQUIRE(id > last);
        REQUIRE(id[14] == '7');
        last = id;
    }
    CHECK(new_id(1'795'360'364'008) > last);
    for (const char* row :
         {"", "1", "019354aE-1111-7222-8333-444444444444", "0193545e-1111-7222-8333-44444444444",
          "0193545e-1111-7222-8333-4444444444444", "0193545e11111722218333-444444444444",
          "' OR 1=1 --"}) {
        CAPTURE(row);
        CHECK_FALSE(is_id(row));
    }
}

TEST_CASE("addresses: what is one, and how it is kept")
{
    const std::pair<const char*, const char*> good[] = {
        {"ada@example.com", "ada@example.com"},
        {"  Ada.L+x@Mail.Example.COM \n", "ada.l+x@mail.example.com"},
        {"grüße@bücher.example", "grüße@bücher.example"},
        {"a@b-c.de", "a@b-c.de"},
    };
    for (const auto& [given, kept] : good) {
        CAPTURE(given);
        CHECK(normal_email(given) == kept);
    }
    const std::string long_local = std::string(65, 'a') + "@example.com";
    const std::string long_whole = "a@" + std::string(250, 'b') + ".com";
    for (const std::string& row :
         {std::string{}, std::string{"ada"}, std::string{"@example.com"}, std::string{"ada@"},
          std::string{"ada@example"}, std::string{"a b@example.com"}, std::string{"a@exa mple.com"},
          std::string{"a@-b.com"}, std::string{"a@b..com"}, std::string{".a@b.com"},
          std::string{"a..b@c.com"}, std::string{"a@b.com."}, std::string{"a@b@c.com"},
          std::string{"a\n@b.com"}, std::string{"<a>@b.com"}, long_local, long_whole}) {
        CAPTURE(row);
        CHECK_FALSE(normal_email(row).has_value());
    }
}

TEST_CASE("options of the accounts: each fault names the variable and shows no secret")
{
    const struct {
        Variables variables;
        std::vector<std::string> names;
    } rows[] = {
        {{}, {}},
        {{{"JWT_SECRET", "0123456789abcdef0123456789abcdef"}, {"NODE_ENV", "production"}}, {}},
        {{{"JWT_SECRET", "too-short-secret"}}, {"JWT_SECRET"}},
        {{{"JWT_SECRET", "0123456789abcdef0123456789abcdef"},
          {"JWT_REFRESH_SECRET", "0123456789abcdef0123456789abcdef"}},
         {"JWT_REFRESH_SECRET"}},
        {{{"JWT_REFRESH_SECRET", "too-short-secret"},
          {"JWT_EXPIRATION", "soon"},
          {"ARGON2_TIME", "0"},
          {"TOKEN_CHECK_ON_ERROR", "maybe"}},
         {"JWT_REFRESH_SECRET", "JWT_EXPIRATION", "ARGON2_TIME", "TOKEN_CHECK_ON_ERROR"}},
    };
    for (const auto& row : rows) {
        Environment environment{row.variables};
        static_cast<void>(read_account_options(environment));
        REQUIRE(environment.faults().size() == row.names.size());
        for (std::size_t i = 0; i < row.names.size(); ++i) {
            CHECK(environment.faults()[i].starts_with(row.names[i] + " "));
            CHECK_FALSE(environment.faults()[i].contains("too-short"));
        }
    }
}

TEST_CASE("options of the accounts: both guides' names")
{
    Environment first{{{"JWT_EXPIRATION", "7d"}, {"JWT_REFRESH_EXPIRATION", "30d"}}};
    CHECK(read_account_options(first).access_life == std::chrono::days{7});
    CHECK(read_account_options(first).refresh_life == std::chrono::days{30});
    Environment second{{{"JWT_EXPIRE", "1h"}, {"JWT_REFRESH_EXPIRE", "2d"}}};
    CHECK(read_account_options(second).access_life == 1h);
    CHECK(read_account_options(second).refresh_life == std::chrono::days{2});
    Environment none{Variables{}};
    CHECK(read_account_options(none).access_life == 15min);
}

TEST_CASE("the secret of a host: all who come at once get the same")
{
    std::string folder = (std::filesystem::temp_directory_path() / "secret.XXXXXX").string();
    REQUIRE(::mkdtemp(folder.data()) != nullptr);
    const std::string path = folder + "/deep/jwt-secret";
    std::vector<std::string> seen(8);
    std::vector<std::jthread> starters;
    for (std::string& secret : seen)
        starters.emplace_back([&] { secret = secret_of_host(path).value_or("failed"); });
    starters.clear();
    CHECK(seen[0].size() >= 32);
    CHECK(std::set<std::string>{seen.begin(), seen.end()}.size() == 1);
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(std::distance(std::filesystem::directory_iterator{folder + "/deep"}, {}) == 1);

    std::ofstream{path, std::ios::trunc} << "short\n";
    CHECK_FALSE(secret_of_host(path).has_value());
    std::filesystem::remove_all(folder);
}

TEST_CASE("tokens: only ours, only of their kind, only while they live")
{
    ManualClock clock;
    const std::string key = "0123456789abcdef0123456789abcdef";
    Tokens tokens{clock, {.access = key, .refresh{}, .access_life = 15min, .refresh_life = 24h}};
    const std::string access = tokens.make_access("user", "session", "admin");
    const auto claims = tokens.read_access(access);
    REQUIRE(claims.has_value());
    CHECK(claims->user_id == "user");
    CHECK(claims->session_id == "session");
    CHECK(claims->role == "admin");
    CHECK(claims->expires_s == clock.wall_ms() / 1000 + 900);
    CHECK(tokens.read_access(access) == claims); // remembered

    const std::string refresh = tokens.make_refresh("user", "session");
    CHECK(tokens.read_refresh(refresh).has_value());
    CHECK(tokens.read_access(refresh).error() == TokenFault::invalid);
    CHECK(tokens.read_refresh(access).error() == TokenFault::invalid);

    // With one secret for both, what a token says of itself parts them.
    Tokens same{clock, {.access = key, .refresh = key, .access_life = 15min, .refresh_life = 24h}};
    CHECK(same.read_refresh(access).error() == TokenFault::invalid);
    CHECK(same.read_access(same.make_refresh("u", "s")).error() == TokenFault::invalid);

    Tokens other{clock,
                 {.access = key + "x", .refresh{}, .access_life = 15min, .refresh_life = 24h}};
    CHECK(other.read_access(access).error() == TokenFault::invalid);
    clock.advance(899s);
    CHECK(tokens.read_access(access).has_value());
    clock.advance(1s);
    CHECK(tokens.read_access(access).error() == TokenFault::expired);
    CHECK(same.read_access(access).error() == TokenFault::expired); // not remembered there
}

TEST_CASE("tokens: what strangers make is refused, whatever it is")
{
    ManualClock clock;
    Tokens tokens{clock,
                  {.access = "0123456789abcdef0123456789abcdef",
                   .refresh{},
                   .access_life = 15min,
                   .refresh_life = 24h}};
    const std::string good = tokens.make_access("user", "session", "user");
    const std::size_t dot = good.find('.');
    const std::size_t last = good.rfind('.');
    std::vector<std::string> rows{
        "", ".", "..", "...", "a.b.c", "ab..cd", ".ab.cd", "ab.cd.", "ab.cd.e", "ab.c=.de",
        "\xC3\xA9\xC3\xA9.\xC3\xA9\xC3\xA9.\xC3\xA9\xC3\xA9", "\x80\x80.\x80\x80.\x80\x80", "null",
        good + "x", good + ".", good.substr(0, last), good.substr(0, last + 1), "." + good,
        std::string(5000, 'a'), std::string("\0\xFF.", 3),
        // {"alg":"none"}, {"alg":5}, {"alg":"HS384"}, {"alg":"RS256"}
        "eyJhbGciOiJub25lIn0" + good.substr(dot, last + 1 - dot), "eyJhbGciOjV9" + good.substr(dot),
        "eyJhbGciOiJIUzM4NCJ9" + good.substr(dot), "eyJhbGciOiJSUzI1NiJ9" + good.substr(dot)};
    for (std::size_t at = 0; at < good.size(); at += 7) {
        std::string bent = good;
        bent[at] = bent[at] == 'A' ? 'B' : 'A';
        if (bent != good) rows.push_back(bent);
    }
    for (const std::string& row : rows) {
        CAPTURE(row);
        CHECK_FALSE(tokens.read_access(row).has_value());
    }
    CHECK(tokens.read_access(good).has_value());
}

TEST_CASE("tokens: a right signature does not make a right claim")
{
    ManualClock clock;
    const std::string key = "0123456789abcdef0123456789abcdef";
    Tokens tokens{clock, {.access = key, .refresh{}, .access_life = 15min, .refresh_life = 24h}};
    const std::int64_t now_s = clock.wall_ms() / 1000;
    const auto token = [&](const char* algorithm, const json& changes) {
        json claims = {{"sub", "a"},     {"jti", "b"},      {"sid", "c"},
                       {"role", "user"}, {"typ", "access"}, {"exp", now_s + 60}};
        claims.merge_patch(changes);
        jwt::jwt_object made{jwt::params::algorithm(algorithm), jwt::params::secret(key)};
        for (const auto& [name, value] : claims.items())
            made.add_claim(name, value);
        std::error_code code;
        std::string text = made.signature(code);
        REQUIRE_FALSE(code);
        return text;
    };
    REQUIRE(tokens.read_access(token("HS256", json::object())).has_value());
    CHECK(tokens.read_access(token("HS256", {{"nbf", 4e24}})).has_value()); // not one of ours
    for (const auto& [changes, fault] : std::vector<std::pair<json, TokenFault>>{
             {{{"exp", 4e24}}, TokenFault::invalid},
             {{{"exp", static_cast<double>(now_s + 60)}}, TokenFault::invalid},
             {{{"exp", "9999999999"}}, TokenFault::invalid},
             {{{"exp", nullptr}}, TokenFault::invalid},
             {{{"exp", -1}}, TokenFault::expired},
             {{{"exp", now_s}}, TokenFault::expired},
             {{{"sub", 1}}, TokenFault::invalid},
             {{{"role", nullptr}}, TokenFault::invalid},
             {{{"typ", "refresh"}}, TokenFault::invalid}}) {
        CAPTURE(changes.dump());
        const auto claims = tokens.read_access(token("HS256", changes));
        REQUIRE_FALSE(claims.has_value());
        CHECK(claims.error() == fault);
    }
    CHECK(tokens.read_access(token("HS512", json::object())).error() == TokenFault::invalid);
}

TEST_CASE("tokens: more than are remembered")
{
    ManualClock clock;
    Tokens tokens{clock,
                  {.access = "0123456789abcdef0123456789abcdef",
                   .refresh{},
                   .access_life = 15min,
                   .refresh_life = 24h}};
    std::vector<std::string> made;
    for (int i = 0; i < 1100; ++i)
        made.push_back(tokens.make_access("user" + std::to_string(i), "s", "user"));
    for (int round = 0; round < 2; ++round)
        for (std::size_t i = 0; i < made.size(); ++i)
            CHECK(tokens.read_access(made[i])->user_id == "user" + std::to_string(i));
}

TEST_CASE("bearer tokens: what stands in the header")
{
    const std::pair<const char*, const char*> rows[] = {
        {"Bearer abc", "abc"}, {"bearer  abc \t", "abc"}, {"Bearer ", ""},
        {"Bearer", ""},        {"Basic abc", ""},         {"", ""},
        {"Bearerabc", ""}};
    for (const auto& [header, token] : rows) {
        CAPTURE(header);
        CHECK(bearer_token(header) == token);
    }
}

TEST_CASE("register: an account, a session and a pair of tokens")
{
    ApiHarness api;
    const Answer answer = api.post(
        "/api/auth/register",
        {{"email", " Ada@Example.com"}, {"password", "pässwörter"}, {"name", " Ada  L. "}});
    CHECK(answer.status == 201);
    CHECK(answer.body.at("success") == true);
    CHECK(answer.headers.at("Cache-Control") == "no-store");
    const json& user = answer.data().at("user");
    CHECK(user.at("email") == "ada@example.com");
    CHECK(user.at("name") == "Ada  L.");
    CHECK(user.at("role") == "user");
    CHECK(user.at("createdAt") == iso_time(api.clock.wall_ms()));
    CHECK(user.size() == 5);
    const std::string token = answer.data().at("token");
    CHECK(api.get("/api/users/me", token).data() == user);

    const Answer session = api.get("/api/auth/session", token);
    CHECK(session.data().at("userId") == user.at("id"));
    CHECK(session.data().at("userAgent") == "harness");
    CHECK(session.data().at("client") == "192.0.2.1");
    CHECK(api.key_value.keys("session:").size() == 1);
    CHECK(api.key_value.life_of(api.key_value.keys("session:")[0]) == 86'400s);

    CHECK(api.registered("ADA@example.com").code() == "EMAIL_TAKEN");
    CHECK(api.registered("ADA@example.com").status == 409);
    CHECK(api.key_value.keys("session:").size() == 1); // those who failed left none
}

TEST_CASE("register: one message per fault")
{
    ApiHarness api;
    const Answer all = api.post("/api/auth/register", json::object());
    CHECK(all.status == 400);
    CHECK(all.code() == "VALIDATION");
    CHECK(all.body.at("success") == false);
    CHECK(all.body.at("error").at("details").size() == 3);
    const struct {
        json change;
        const char* path;
    } rows[] = {
        {{{"email", "ada"}}, "email"},
        {{{"email", 5}}, "email"},
        {{{"email", nullptr}}, "email"},
        {{{"password", "seven.."}}, "password"},
        {{{"password", std::string(129, 'x')}}, "password"},
        {{{"password", {1, 2}}}, "password"},
        {{{"name", "  "}}, "name"},
        {{{"name", std::string(101, 'x')}}, "name"},
        {{{"name", "a\u0007b"}}, "name"},
        {{{"name", "line\nline"}}, "name"},
    };
    for (const auto& row : rows) {
        json body = {{"email", "ada@example.com"}, {"password", "long enough"}, {"name", "Ada"}};
        body.update(row.change);
        CAPTURE(body.dump());
        const Answer answer = api.post("/api/auth/register", body);
        REQUIRE(answer.code() == "VALIDATION");
        CHECK(answer.body.at("error").at("details").size() == 1);
        CHECK(path_of(answer, 0) == row.path);
    }
    CHECK(api.call(http::verb::post, "/api/auth/register", "{").code() == "BAD_JSON");
    CHECK(api.key_value.keys("").empty());
    // The longest of each are taken: characters count, not bytes.
    std::string name;
    for (int i = 0; i < 100; ++i)
        name += "ä";
    CHECK(
        api.post("/api/auth/register",
                 {{"email", "a@example.com"}, {"password", std::string(128, 'x')}, {"name", name}})
            .status == 201);
}

TEST_CASE("login: the same answer for a wrong password and an address that nobody has")
{
    ApiHarness api;
    api.registered("ada@example.com");
    const auto login = [&](const json& email, const json& password) {
        return api.post("/api/auth/login", {{"email", email}, {"password", password}});
    };
    const Answer good = login("Ada@example.com ", "correct horse");
    CHECK(good.status == 200);
    CHECK(good.data().at("user").at("name") == "Ada");
    CHECK(api.get("/api/users/me", good.data().at("token")).status == 200);
    const Answer wrong = login("ada@example.com", "correct Horse");
    CHECK(wrong.status == 401);
    CHECK(wrong.code() == "INVALID_CREDENTIALS");
    for (const char* email : {"bob@example.com", "no address", ""})
        CHECK(login(email, "correct horse").body == wrong.body);
    CHECK(login("ada@example.com", "").body == wrong.body);
    CHECK(login("ada@example.com", std::string(5000, 'x')).body == wrong.body);
    CHECK(login(5, nullptr).code() == "VALIDATION");
    const std::string text = api.metrics.host_text();
    CHECK(text.contains("logins_total{outcome=\"granted\"} 1\n"));
    CHECK(text.contains("logins_total{outcome=\"refused\"} 6\n"));
}

TEST_CASE("access: who may not, and why")
{
    ApiHarness api;
    const Answer none = api.get("/api/users/me");
    CHECK(none.status == 401);
    CHECK(none.code() == "UNAUTHORIZED");
    CHECK(none.headers.at("WWW-Authenticate") == "Bearer");
    CHECK(api.get("/api/users/me", "rubbish").code() == "TOKEN_INVALID");
    const std::string token = api.token_of("ada@example.com");
    api.clock.advance(15min);
    CHECK(api.get("/api/users/me", token).code() == "TOKEN_EXPIRED");
}

TEST_CASE("access: one round trip to the KeyValue for each request")
{
    ApiHarness api{{.replicas = true, .session_required = true}};
    const std::string token = api.token_of("ada@example.com");
    const int before = api.key_value.round_trips;
    CHECK(api.get("/api/users/me", token).status == 200);
    CHECK(api.key_value.round_trips == before + 1);
}

TEST_CASE("logout: the token is refused everywhere for the rest of its life, and no longer kept")
{
    ApiHarness api;
    const Answer account = api.registered("ada@example.com");
    const std::string token = account.data().at("token");
    const std::string other =
        api.post("/api/auth/refresh", {{"refreshToken", account.data().at("refreshToken")}})
            .data()
            .at("token");
    api.clock.advance(5min);
    CHECK(api.post("/api/auth/logout", json::object(), token).status == 200);
    CHECK(api.get("/api/users/me", token).code() == "TOKEN_REVOKED");
    CHECK(api.get("/api/users/me", other).code() == "TOKEN_REVOKED"); // of the same session
    REQUIRE(api.key_value.keys("blacklist:").size() == 1);
    CHECK(api.key_value.life_of(api.key_value.keys("blacklist:")[0]) == 10min);
    CHECK(api.key_value.keys("session:").empty());
    CHECK(api.post("/api/auth/refresh", {{"refreshToken", account.data().at("refreshToken")}})
              .code() == "TOKEN_INVALID");

    api.clock.advance(10min);
    CHECK(api.key_value.keys("blacklist:").empty());
    // Another log-in is another session.
    const Answer again =
        api.post("/api/auth/login", {{"email", "ada@example.com"}, {"password", "correct horse"}});
    CHECK(api.get("/api/users/me", again.data().at("token")).status == 200);
}

TEST_CASE("logout: takes the session of a refresh token along, if it is the caller's")
{
    ApiHarness api;
    const json credentials = {{"email", "ada@example.com"}, {"password", "correct horse"}};
    api.registered("ada@example.com");
    const Answer here = api.post("/api/auth/login", credentials);
    const Answer there = api.post("/api/auth/login", credentials);
    const Answer stranger = api.registered("bob@example.com");
    const std::string token = here.data().at("token");
    CHECK(api.post("/api/auth/logout", {{"refreshToken", 5}}, token).code() == "VALIDATION");
    CHECK(api.post("/api/auth/logout", {{"refreshToken", stranger.data().at("refreshToken")}},
                   api.post("/api/auth/login", credentials).data().at("token"))
              .status == 200);
    CHECK(api.get("/api/users/me", stranger.data().at("token")).status == 200);
    CHECK(api.post("/api/auth/logout", {{"refreshToken", there.data().at("refreshToken")}}, token)
              .status == 200);
    CHECK(api.get("/api/users/me", there.data().at("token")).code() == "TOKEN_REVOKED");
}

TEST_CASE("refresh: each token once; a second time ends the session")
{
    ApiHarness api;
    const Answer first = api.registered("ada@example.com");
    const auto refresh = [&](const Answer& with) {
        return api.post("/api/auth/refresh", {{"refreshToken", with.data().at("refreshToken")}});
    };
    api.clock.advance(24h);
    CHECK(api.key_value.keys("session:").empty());
    const Answer second = refresh(first);
    CHECK(second.status == 200);
    CHECK(second.data().at("user") == first.data().at("user"));
    CHECK(second.data().at("refreshToken") != first.data().at("refreshToken"));
    CHECK(api.key_value.keys("session:").size() == 1); // lives on
    const Answer third = refresh(second);
    CHECK(third.status == 200);
    CHECK(api.get("/api/users/me", third.data().at("token")).status == 200);

    const Answer reused = refresh(first);
    CHECK(reused.status == 401);
    CHECK(reused.code() == "TOKEN_REUSED");
    CHECK(api.get("/api/users/me", third.data().at("token")).code() == "TOKEN_REVOKED");
    CHECK(refresh(third).code() == "TOKEN_INVALID");
    CHECK(api.key_value.keys("session:").empty());
    CHECK(api.metrics.host_text().contains("refresh_tokens_reused_total 1\n"));

    const Answer fresh = api.registered("bob@example.com");
    api.clock.advance(std::chrono::days{7});
    CHECK(refresh(fresh).code() == "TOKEN_EXPIRED");
    CHECK(api.post("/api/auth/refresh", {{"refreshToken", fresh.data().at("token")}}).code() ==
          "TOKEN_INVALID");
    CHECK(api.post("/api/auth/refresh", json::object()).code() == "VALIDATION");
}

TEST_CASE("the KeyValue is away: refused by default, allowed where that was chosen")
{
    for (const bool allow : {false, true}) {
        CAPTURE(allow);
        ApiHarness api{{.allow_unchecked = allow}};
        const Answer account = api.registered("ada@example.com");
        const std::string token = account.data().at("token");
        const std::string revoked = api.token_of("bob@example.com");
        api.post("/api/auth/logout", json::object(), revoked);
        api.key_value.away = true;
        const Answer me = api.get("/api/users/me", token);
        CHECK(me.status == (allow ? 200 : 503));
        if (!allow) CHECK(me.headers.contains("Retry-After"));
        CHECK(api.get("/api/users/me", revoked).status == (allow ? 200 : 503));
        const Answer login = api.post(
            "/api/auth/login", {{"email", "ada@example.com"}, {"password", "correct horse"}});
        CHECK(login.status == (allow ? 200 : 503));
        // What cannot be revoked is not said to be.
        CHECK(api.post("/api/auth/logout", json::object(), token).status == 503);

        api.key_value.away = false;
        CHECK(api.get("/api/users/me", revoked).code() == "TOKEN_REVOKED");
    }
}

TEST_CASE("who is told 503 at registering has no account yet")
{
    ApiHarness api;
    api.key_value.away = true;
    CHECK(api.registered("ada@example.com").status == 503);
    api.key_value.away = false;
    CHECK(api.registered("ada@example.com").status == 201);
    api.store.away = true;
    CHECK(api.registered("bob@example.com").status == 503);
    CHECK(api.post("/api/auth/login", {{"email", "ada@example.com"}, {"password", "correct horse"}})
              .status == 503);
}

TEST_CASE("a session that was removed refuses its tokens where that was chosen")
{
    for (const bool required : {false, true}) {
        ApiHarness api{{.session_required = required, .access_life = 48h}};
        const std::string token = api.token_of("ada@example.com");
        api.clock.advance(47h); // a session lives at least as long as an access token
        CHECK(api.get("/api/users/me", token).status == 200);
        const std::string key = api.key_value.keys("session:").at(0);
        boost::asio::co_spawn(api.io, api.key_value.remove(key), boost::asio::detached);
        api.io.restart();
        api.io.run();
        CHECK(api.get("/api/users/me", token).status == (required ? 401 : 200));
        CHECK(api.get("/api/auth/session", token).status == (required ? 401 : 404));
    }
}

TEST_CASE("replicas that lag: who has written reads what he wrote")
{
    ApiHarness api{{.replicas = true}};
    const std::string token = api.token_of("ada@example.com"); // no replica has it
    CHECK(api.key_value.keys("wrote:").size() == 1);
    CHECK(api.key_value.life_of(api.key_value.keys("wrote:")[0]) == 5s);
    CHECK(api.get("/api/users/me", token).status == 200);
    api.clock.advance(6s); // they lag longer than they should
    CHECK(api.key_value.keys("wrote:").empty());
    CHECK(api.get("/api/users/me", token).status == 200);

    ApiHarness alone;
    alone.token_of("ada@example.com");
    CHECK(alone.key_value.keys("wrote:").empty());
}
