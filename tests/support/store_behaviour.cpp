// What every form of the store does, as sentences: the same program runs against SQLite and against
// PostgreSQL (tests/integration/test_store.py). Each case makes what it needs and looks at nothing
// else, so that they can share one database and run twice.
#include "tests/support/store_harness.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

namespace cluster::app::test {
namespace {

StoreBench& bench()
{
    static StoreBench only;
    return only;
}

Store& store()
{
    return *bench().store;
}

/// The outcome of a call that must not fail.
template <class T>
T must(Task<T> call)
{
    auto outcome = bench().wait(std::move(call));
    if (!outcome) FAIL(outcome.error().text());
    if constexpr (!std::is_void_v<T>) return std::move(*outcome);
}

template <class T>
Trouble trouble_of(Task<T> call)
{
    const auto outcome = bench().wait(std::move(call));
    REQUIRE(!outcome);
    return kind_of(outcome.error());
}

User make_user(const std::string& email = bench().id() + "@example.org")
{
    User user{.id = bench().id(), .email = email, .name = "Ada", .created_ms = bench().now()};
    must(store().create_user({.user = user, .password_hash = "$argon2id$x"}));
    return user;
}

Job make_job(const std::string& title = "Engineer", std::optional<int> most = std::nullopt)
{
    Job job{.id = bench().id(),
            .owner_id = make_user().id,
            .title = title,
            .company = "Acme",
            .location = "Zürich",
            .description = "Builds things",
            .max_applications = most,
            .created_ms = bench().now()};
    must(store().create_job(job));
    return job;
}

Application application(const std::string& job_id, const std::string& user_id)
{
    return {.id = bench().id(),
            .job_id = job_id,
            .user_id = user_id,
            .cover_letter = "Please",
            .created_ms = bench().now()};
}

Project make_project(const std::string& owner_id, std::int64_t changed_ms)
{
    Project project{.id = bench().id(),
                    .owner_id = owner_id,
                    .title = "Deck",
                    .content = R"({"slides":[]})",
                    .created_ms = changed_ms,
                    .updated_ms = changed_ms};
    must(store().create_project(project));
    return project;
}

JobQuery wanted(std::string search)
{
    return {.search = std::move(search), .status = ""};
}

constexpr auto kPrimary = ReadFrom::primary;
constexpr std::int64_t kHour = 3'600'000;

} // namespace

TEST_CASE("an account comes back as it was given")
{
    const std::string email = "Ada." + bench().id() + "@Example.org";
    const User user = make_user(email);
    const auto found = must(store().user(user.id, kPrimary));
    REQUIRE(found);
    CHECK(found->email == email);
    CHECK(found->name == "Ada");
    CHECK(found->role == "user");
    CHECK(found->created_ms == user.created_ms);
    CHECK(!must(store().user(bench().id(), kPrimary)));
    CHECK(!must(store().user("no id at all", kPrimary)));
}

TEST_CASE("an address is one without regard to case, of any alphabet")
{
    const std::string id = bench().id();
    const User user = make_user("Jürgen.Ärmel." + id + "@example.org");
    const auto found = must(store().credentials("JÜRGEN.ärmel." + id + "@EXAMPLE.ORG"));
    REQUIRE(found);
    CHECK(found->user.id == user.id);
    CHECK(found->password_hash == "$argon2id$x");
    const User second{.id = bench().id(),
                      .email = "jürgen.ärmel." + id + "@example.org",
                      .name = "Other",
                      .created_ms = 1};
    CHECK(trouble_of(store().create_user({.user = second, .password_hash = "y"})) ==
          Trouble::conflict);
    CHECK(!must(store().user(second.id, kPrimary)));
    CHECK(!must(store().credentials("nobody." + id + "@example.org")));
}

TEST_CASE("of many who take an address at once one gets it")
{
    const std::string email = bench().id() + "@example.org";
    int done = 0;
    int conflicts = 0;
    for (int i = 0; i < 20; ++i) {
        User user{.id = bench().id(), .email = email, .name = "N", .created_ms = 1};
        auto call = store().create_user({.user = user, .password_hash = "h"});
        asio::co_spawn(bench().io, std::move(call),
                       [&](const std::exception_ptr&, const Result<void>& outcome) {
                           if (outcome)
                               ++done;
                           else if (kind_of(outcome.error()) == Trouble::conflict)
                               ++conflicts;
                       });
    }
    bench().run_until([&] { return done + conflicts == 20; });
    CHECK(done == 1);
}

TEST_CASE("text that no database could hold is made sound, and looks up nothing")
{
    using namespace std::string_literals;
    CHECK(!must(store().user("a\0b"s, kPrimary)));
    CHECK(!must(store().user("\xff\xfe"s, kPrimary)));
    CHECK(!must(store().job("\0"s, kPrimary)));
    CHECK(!must(store().project("'; DROP TABLE users; --", "\xc3"s, kPrimary)));
    const User user{.id = bench().id(),
                    .email = bench().id() + "@example.org",
                    .name = "a\0b\xff 😀 ' \" \\"s,
                    .created_ms = 1};
    must(store().create_user({.user = user, .password_hash = "h"}));
    CHECK(must(store().user(user.id, kPrimary))->name == "a\uFFFDb\uFFFD 😀 ' \" \\");
}

TEST_CASE("a refresh token is exchanged once; a second time ends its whole session")
{
    const User user = make_user();
    const std::string session = bench().id();
    const std::int64_t now = bench().now();
    const auto hash = [&](int n) { return "hash-" + session + std::to_string(n); };
    must(store().add_refresh_token({hash(1), user.id, session, now + kHour}));
    must(store().add_refresh_token({"other-" + session, user.id, bench().id(), now + kHour}));

    const auto first = must(store().rotate_refresh_token(hash(1), hash(2), now + kHour, now));
    REQUIRE(first.what == Rotation::What::rotated);
    CHECK(first.user_id == user.id);
    CHECK(first.session_id == session);
    REQUIRE(first.user);
    CHECK(first.user->email == user.email);
    const auto second = must(store().rotate_refresh_token(hash(2), hash(3), now + kHour, now));
    CHECK(second.what == Rotation::What::rotated);

    const auto stolen = must(store().rotate_refresh_token(hash(1), hash(4), now + kHour, now));
    CHECK(stolen.what == Rotation::What::reused);
    CHECK(stolen.session_id == session);
    CHECK(stolen.user_id == user.id);
    for (const int n : {1, 2, 3, 4}) {
        const auto after = must(store().rotate_refresh_token(hash(n), hash(9), now + kHour, now));
        CHECK(after.what == Rotation::What::unknown);
    }
    const auto other =
        must(store().rotate_refresh_token("other-" + session, hash(10), now + kHour, now));
    CHECK(other.what == Rotation::What::rotated); // another log-in of the same user goes on
}

TEST_CASE("a refresh token that is unknown, expired or of an ended session gives nothing")
{
    const User user = make_user();
    const std::string session = bench().id();
    const std::int64_t now = bench().now();
    const auto what = [&](const std::string& hash, std::int64_t at) {
        return must(store().rotate_refresh_token(hash, bench().id(), at + kHour, at)).what;
    };
    CHECK(what("never " + session, now) == Rotation::What::unknown);
    must(store().add_refresh_token({"e" + session, user.id, session, now + 1000}));
    CHECK(what("e" + session, now + 1000) == Rotation::What::unknown);
    CHECK(what("e" + session, now + 999) == Rotation::What::rotated);
    must(store().add_refresh_token({"f" + session, user.id, session, now + kHour}));
    must(store().end_session(session));
    must(store().end_session(session));
    must(store().end_session("unknown"));
    CHECK(what("f" + session, now) == Rotation::What::unknown);
    CHECK(trouble_of(store().add_refresh_token({"g" + session, "nobody", session, now})) ==
          Trouble::conflict);
}

TEST_CASE("of two who exchange one token at once one gets a new one, then nobody has any")
{
    const User user = make_user();
    for (int round = 0; round < 10; ++round) {
        const std::string session = bench().id();
        const std::int64_t now = bench().now();
        must(store().add_refresh_token({"t" + session, user.id, session, now + kHour}));
        std::map<Rotation::What, int> seen;
        for (int i = 0; i < 2; ++i) {
            auto call = store().rotate_refresh_token(
                "t" + session, "n" + std::to_string(i) + session, now + kHour, now);
            asio::co_spawn(bench().io, std::move(call),
                           [&](const std::exception_ptr&, const Result<Rotation>& outcome) {
                               REQUIRE(outcome);
                               ++seen[outcome->what];
                           });
        }
        bench().run_until([&] { return seen.size() == 2; });
        CHECK(seen[Rotation::What::rotated] == 1);
        CHECK(seen[Rotation::What::reused] == 1);
        for (int i = 0; i < 2; ++i) {
            const auto after = must(store().rotate_refresh_token("n" + std::to_string(i) + session,
                                                                 "z" + session, now + kHour, now));
            CHECK(after.what == Rotation::What::unknown);
        }
    }
}

TEST_CASE("a job comes back as it was given")
{
    const Job job = make_job("C++ developer", 3);
    const auto found = must(store().job(job.id, kPrimary));
    REQUIRE(found);
    CHECK(found->owner_id == job.owner_id);
    CHECK(found->title == "C++ developer");
    CHECK(found->company == "Acme");
    CHECK(found->location == "Zürich");
    CHECK(found->description == "Builds things");
    CHECK(found->status == "open");
    CHECK(found->max_applications == 3);
    CHECK(found->applications == 0);
    CHECK(found->created_ms == job.created_ms);
    CHECK(!must(store().job(make_job().id, kPrimary))->max_applications);
    CHECK(!must(store().job(bench().id(), kPrimary)));
    Job orphan = job;
    orphan.id = bench().id();
    orphan.owner_id = "nobody";
    CHECK(trouble_of(store().create_job(orphan)) == Trouble::conflict);
}

TEST_CASE("a search finds words in any order and case, and takes no character for a wildcard")
{
    std::string mark = bench().id(); // without digits, which are searched for
    for (char& letter : mark)
        if (letter >= '0' && letter <= '9') letter = static_cast<char>(letter - '0' + 'g');
    make_job("Überflieger 100% " + mark);
    make_job("plain 1000 " + mark);
    make_job("snake_case " + mark);
    make_job("snakexcase \\ " + mark);
    const auto count = [&](const std::string& words) {
        const auto page = must(store().jobs(wanted(words + " " + mark), kPrimary));
        CHECK(page.total == static_cast<std::int64_t>(page.items.size()));
        return page.total;
    };
    CHECK(count("") == 4);
    CHECK(count("ÜBERFLIEGER") == 1);
    CHECK(count("zürich ACME") == 4);
    CHECK(count("100%") == 1);
    CHECK(count("100") == 2);
    CHECK(count("snake_case") == 1);
    CHECK(count("\\") == 1);
    CHECK(count("%") == 1);
    CHECK(count("_") == 1);
    CHECK(count("plain überflieger") == 0);
    CHECK(count("{a,\"b\"}") == 0);
    CHECK(count("'") == 0);
    CHECK(count("a b c d e f g h i j k l m n") >= 0); // more words than are looked at
}

TEST_CASE("jobs come newest first, page by page, each once")
{
    const std::string mark = bench().id();
    std::vector<std::string> ids;
    const std::string owner = make_user().id;
    for (int i = 0; i < 25; ++i) {
        Job job;
        job.id = bench().id();
        job.owner_id = owner;
        job.title = mark;
        job.created_ms = 1000 + i / 2;
        if (i % 5 == 0) job.status = "closed";
        must(store().create_job(job));
        ids.push_back(job.id);
    }
    std::vector<Job> seen;
    for (int page = 1; page <= 4; ++page) {
        auto part =
            must(store().jobs({.search = mark, .status = "", .page = page, .limit = 7}, kPrimary));
        CHECK(part.total == 25);
        CHECK(part.items.size() == (page < 4 ? 7 : 4));
        std::ranges::move(part.items, std::back_inserter(seen));
    }
    CHECK(std::ranges::is_sorted(seen, std::greater{}, &Job::created_ms));
    std::set<std::string> distinct;
    for (const Job& job : seen)
        distinct.insert(job.id);
    CHECK(distinct == std::set<std::string>{ids.begin(), ids.end()});

    const auto beyond = must(store().jobs(
        {.search = mark, .status = "", .page = 2'000'000'000, .limit = 100}, kPrimary));
    CHECK(beyond.items.empty());
    CHECK(beyond.total == 25);
    CHECK(must(store().jobs({.search = mark, .status = "closed"}, kPrimary)).total == 5);
    CHECK(must(store().jobs({.search = mark, .status = "open"}, kPrimary)).total == 20);
    CHECK(must(store().jobs({.search = mark, .status = "strange"}, kPrimary)).total == 0);
}

TEST_CASE("an application counts once, and the last one closes the job")
{
    const Job job = make_job("Two places", 2);
    const std::string first = make_user().id;
    const Application once = application(job.id, first);
    CHECK(must(store().apply(once)) == Applied::done);
    CHECK(must(store().apply(once)) == Applied::done); // the same one again: it is in
    CHECK(must(store().apply(application(job.id, first))) == Applied::already);
    CHECK(must(store().job(job.id, kPrimary))->applications == 1);
    CHECK(must(store().job(job.id, kPrimary))->status == "open");

    CHECK(must(store().apply(application(job.id, make_user().id))) == Applied::done);
    CHECK(must(store().job(job.id, kPrimary))->status == "closed");
    CHECK(must(store().apply(application(job.id, make_user().id))) == Applied::closed);
    CHECK(must(store().apply(application(job.id, first))) == Applied::already);
    CHECK(must(store().job(job.id, kPrimary))->applications == 2);
    CHECK(must(store().apply(application(bench().id(), first))) == Applied::no_such_job);
    CHECK(trouble_of(store().apply(application(make_job().id, "nobody"))) == Trouble::conflict);
}

TEST_CASE("a user's applications come newest first")
{
    const std::string user = make_user().id;
    for (int i = 0; i < 3; ++i) {
        Application one = application(make_job().id, user);
        one.created_ms = 1000 + i;
        one.cover_letter = "letter " + std::to_string(i);
        REQUIRE(must(store().apply(one)) == Applied::done);
    }
    const auto found = must(store().applications_of(user, kPrimary));
    REQUIRE(found.size() == 3);
    CHECK(found[0].cover_letter == "letter 2");
    CHECK(found[2].created_ms == 1000);
    CHECK(found[1].user_id == user);
    CHECK(must(store().applications_of("nobody", kPrimary)).empty());
}

TEST_CASE("of fifty who apply at once for ten places ten get one")
{
    const Job job = make_job("Ten places", 10);
    std::vector<std::string> users;
    for (int i = 0; i < 50; ++i)
        users.push_back(make_user().id);
    std::map<Applied, int> seen;
    int failed = 0;
    for (const std::string& user : users)
        asio::co_spawn(bench().io, store().apply(application(job.id, user)),
                       [&](const std::exception_ptr&, const Result<Applied>& outcome) {
                           if (outcome)
                               ++seen[*outcome];
                           else
                               ++failed;
                       });
    bench().run_until([&] { return seen[Applied::done] + seen[Applied::closed] + failed == 50; });
    CHECK(seen[Applied::done] == 10);
    CHECK(seen[Applied::closed] == 40);
    const auto after = must(store().job(job.id, kPrimary));
    CHECK(after->applications == 10);
    CHECK(after->status == "closed");
    std::size_t kept = 0;
    for (const std::string& user : users)
        kept += must(store().applications_of(user, kPrimary)).size();
    CHECK(kept == 10);
}

TEST_CASE("a project is changed by the one who saw its last version")
{
    const std::string owner = make_user().id;
    Project project = make_project(owner, 1000);
    const auto found = must(store().project(project.id, owner, kPrimary));
    REQUIRE(found);
    CHECK(found->second == Access::owner);
    CHECK(found->first.content == project.content);
    CHECK(found->first.version == 1);

    project.title = "Better";
    project.updated_ms = 2000;
    CHECK(must(store().update_project(project)));
    CHECK(!must(store().update_project(project))); // its version is 2 by now
    const auto changed = must(store().project(project.id, owner, kPrimary));
    CHECK(changed->first.title == "Better");
    CHECK(changed->first.version == 2);
    CHECK(changed->first.updated_ms == 2000);
    CHECK(changed->first.created_ms == 1000);

    CHECK(must(store().remove_project(project.id)));
    CHECK(!must(store().remove_project(project.id)));
    CHECK(!must(store().project(project.id, owner, kPrimary)));
    CHECK(!must(store().update_project(project)));
}

TEST_CASE("who may do what with a project")
{
    const std::string owner = make_user().id;
    const User guest = make_user();
    const std::string id = make_project(owner, 1000).id;
    const auto access = [&](const std::string& user) {
        return must(store().project(id, user, kPrimary))->second;
    };
    CHECK(access(guest.id) == Access::none);
    CHECK(must(store().set_collaborator(id, guest.id, "viewer", 5)));
    CHECK(access(guest.id) == Access::viewer);
    CHECK(must(store().set_collaborator(id, guest.id, "editor", 6)));
    CHECK(access(guest.id) == Access::editor);
    CHECK(access("nobody") == Access::none);

    const auto all = must(store().collaborators(id, kPrimary));
    REQUIRE(all.size() == 1);
    CHECK(all[0].user.email == guest.email);
    CHECK(all[0].role == "editor");
    CHECK(all[0].added_ms == 5); // since when, whatever his role was
    CHECK(!must(store().set_collaborator(id, "nobody", "viewer", 1)));
    CHECK(!must(store().set_collaborator("nothing", guest.id, "viewer", 1)));
    CHECK(must(store().remove_collaborator(id, guest.id)));
    CHECK(!must(store().remove_collaborator(id, guest.id)));
    CHECK(access(guest.id) == Access::none);
    must(store().set_collaborator(id, guest.id, "viewer", 7));
    CHECK(must(store().remove_project(id)));
    CHECK(must(store().collaborators(id, kPrimary)).empty());
}

TEST_CASE("one's projects are the own and the shared, last changed first, each once")
{
    const std::string me = make_user().id;
    const std::string other = make_user().id;
    const Project old = make_project(me, 1000);
    const Project shared = make_project(other, 3000);
    const Project mine = make_project(me, 2000);
    make_project(other, 4000); // nobody's business
    must(store().set_collaborator(shared.id, me, "viewer", 1));
    must(store().set_collaborator(mine.id, me, "viewer", 1)); // his own: still once
    const auto all = must(store().projects(me, 1, 10, kPrimary));
    REQUIRE(all.items.size() == 3);
    CHECK(all.total == 3);
    CHECK(all.items[0].id == shared.id);
    CHECK(all.items[1].id == mine.id);
    CHECK(all.items[2].id == old.id);
    const auto second = must(store().projects(me, 2, 2, kPrimary));
    REQUIRE(second.items.size() == 1);
    CHECK(second.items[0].id == old.id);
    CHECK(second.total == 3);
    CHECK(must(store().projects("nobody", 1, 10, kPrimary)).items.empty());
}

TEST_CASE("much text goes in and comes back whole")
{
    const std::string owner = make_user().id;
    Project project = make_project(owner, 1000);
    project.content.assign(6'000'000, 'x'); // more than the buffers of a socket
    project.content += "ü";
    CHECK(must(store().update_project(project)));
    CHECK(must(store().project(project.id, owner, kPrimary))->first.content == project.content);
}

TEST_CASE("what is under way when it closes is finished")
{
    StoreBench other;
    other.wait(other.store->ping());
    const std::string user = make_user().id;
    int done = 0;
    int failed = 0;
    const auto count = [&](const std::exception_ptr&, const Result<void>& outcome) {
        ++(outcome ? done : failed);
    };
    for (int i = 0; i < 8; ++i) {
        RefreshToken token{bench().id(), user, bench().id(), bench().now() + kHour};
        asio::co_spawn(other.io, other.store->add_refresh_token(std::move(token)), count);
    }
    // They begin before `close` does: who has a connection finishes, who waits for one is told.
    other.wait(other.store->close());
    other.run_until([&] { return done + failed == 8; });
    CHECK(done > 0);
    CHECK(other.store->state()[0].busy == 0);
}

TEST_CASE("it says how it stands, and counts what it does")
{
    must(store().ping());
    const auto states = store().state();
    REQUIRE(!states.empty());
    CHECK(states[0].up);
    CHECK(states[0].connections >= 1);
    CHECK(states[0].busy == 0);
    CHECK(states[0].waiting == 0);
    auto& metrics = bench().metrics;
    const double before = metrics.value("db_query_seconds,operation=ping");
    must(store().ping());
    CHECK(metrics.value("db_query_seconds,operation=ping") == before + 1);
    const double conflicts = metrics.value("db_errors_total,kind=conflict");
    CHECK(trouble_of(store().add_refresh_token({bench().id(), "nobody", "s", 1})) ==
          Trouble::conflict);
    CHECK(metrics.value("db_errors_total,kind=conflict") == conflicts + 1);
    if (store().form() != "postgresql") return;
    CHECK(metrics.value("db_pool_connections,pool=primary,state=idle") >= 1);
    CHECK(metrics.value("db_pool_connections,pool=primary,state=busy") == 0);
    CHECK(metrics.value("db_pool_waiting,pool=primary") == 0);
}

} // namespace cluster::app::test
