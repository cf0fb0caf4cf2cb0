// Jobs and projects: the rules above the store.
#include "tests/support/api_harness.hpp"

#include <doctest/doctest.h>

using namespace cluster::app;
using namespace cluster::tests;
using namespace std::chrono_literals;

namespace {

constexpr const char* kNobody = "0193545e-1111-7222-8333-444444444444";

std::string created_job(ApiHarness& api, const std::string& token,
                        const json& more = json::object())
{
    json body = {{"title", "Cook"}, {"company", "Inn"}};
    body.update(more);
    const Answer answer = api.post("/api/jobs", body, token);
    REQUIRE(answer.status == 201);
    return answer.data().at("id");
}

/// A project with an owner, an editor, a viewer and an outsider.
struct Shared {
    ApiHarness api;
    std::string owner = api.token_of("owner@example.com");
    Answer editor_account = api.registered("editor@example.com");
    std::string editor = editor_account.data().at("token");
    std::string viewer = api.token_of("viewer@example.com");
    std::string outsider = api.token_of("outsider@example.com");
    std::string path;

    explicit Shared(ApiHarness::Setup setup) : api{setup}
    {
        const Answer made = api.post(
            "/api/projects", {{"title", "Plan"}, {"content", {{"pages", {1, "ä"}}}}}, owner);
        REQUIRE(made.status == 201);
        path = "/api/projects/" + made.data().at("id").get<std::string>();
        CHECK(made.headers.at("Location") == path);
        CHECK(invite("editor@example.com", "editor").status == 201);
        CHECK(invite("viewer@example.com", "viewer").status == 201);
    }
    Shared() : Shared{ApiHarness::Setup{}} {}

    Answer invite(const std::string& email, const std::string& role)
    {
        return api.post(path + "/collaborators", {{"email", email}, {"role", role}}, owner);
    }
    Answer put(const json& body, const std::string& token, const std::string& if_match = "")
    {
        return api.call(http::verb::put, path, body.dump(), token, if_match);
    }
    Answer remove(const std::string& target, const std::string& token)
    {
        return api.call(http::verb::delete_, target, "", token);
    }
    std::string id_of(const std::string& token)
    {
        return api.get("/api/users/me", token).data().at("id");
    }
};

} // namespace

TEST_CASE("jobs: offered, shown, listed")
{
    ApiHarness api;
    const std::string token = api.token_of("ada@example.com");
    CHECK(api.post("/api/jobs", {{"title", "Cook"}}).code() == "UNAUTHORIZED");
    const std::string id = created_job(
        api, token, {{"location", "Ulm"}, {"description", "Early\nshift"}, {"maxApplications", 2}});
    const Answer shown = api.get("/api/jobs/" + id);
    CHECK(shown.status == 200);
    CHECK(shown.data().at("title") == "Cook");
    CHECK(shown.data().at("description") == "Early\nshift");
    CHECK(shown.data().at("status") == "open");
    CHECK(shown.data().at("maxApplications") == 2);
    CHECK(shown.data().at("applications") == 0);
    const Answer list = api.get("/api/jobs?search=cook&status=open&page=3&limit=7");
    CHECK(list.status == 200);
    CHECK(api.store.last_query.search == "cook");
    CHECK(api.store.last_query.status == "open");
    CHECK(list.data().at("page") == 3);
    CHECK(list.data().at("limit") == 7);
    CHECK(list.data().at("total") == 1);
    CHECK(list.data().at("pages") == 1);
    CHECK(list.data().at("items").at(0) == shown.data());
}

TEST_CASE("jobs: what is not valid")
{
    ApiHarness api;
    const std::string token = api.token_of("ada@example.com");
    for (const char* query : {"page=0", "page=x", "limit=101", "limit=0", "status=odd",
                              "page=1000001", "page=-1", "limit=1e1"}) {
        CAPTURE(query);
        CHECK(api.get(std::string{"/api/jobs?"} + query).code() == "VALIDATION");
    }
    CHECK(api.get("/api/jobs?page=0&limit=0").body.at("error").at("details").size() == 2);
    CHECK(api.get("/api/jobs?search=" + std::string(401, 'x')).code() == "VALIDATION");
    CHECK(api.get("/api/jobs?search=&status=&page=&limit=").status == 200);
    const json wrong = {{"title", ""},
                        {"company", 5},
                        {"location", std::string(201, 'x')},
                        {"description", std::string(20'001, 'x')},
                        {"maxApplications", 0}};
    CHECK(api.post("/api/jobs", wrong, token).body.at("error").at("details").size() == 5);
    for (const json& most : {json(1.5), json("3"), json(-1), json(18446744073709551615U)})
        CHECK(api.post("/api/jobs", {{"title", "a"}, {"company", "b"}, {"maxApplications", most}},
                       token)
                  .code() == "VALIDATION");
    CHECK(api.get("/api/jobs/1").code() == "JOB_NOT_FOUND");
    CHECK(api.get(std::string{"/api/jobs/"} + kNobody).status == 404);
}

TEST_CASE("jobs: applied for once, until it is closed")
{
    ApiHarness api;
    const std::string id =
        created_job(api, api.token_of("boss@example.com"), {{"maxApplications", 2}});
    const std::string path = "/api/jobs/" + id + "/apply";
    const std::string ada = api.token_of("ada@example.com");
    const Answer first = api.post(path, {{"coverLetter", "I cook.\nWell."}}, ada);
    CHECK(first.status == 201);
    CHECK(first.data().at("jobId") == id);
    CHECK(first.data().at("coverLetter") == "I cook.\nWell.");
    const Answer twice = api.post(path, json::object(), ada);
    CHECK(twice.status == 409);
    CHECK(twice.code() == "ALREADY_APPLIED");
    CHECK(api.call(http::verb::post, path, "", api.token_of("bob@example.com")).status == 201);
    const Answer late = api.post(path, json::object(), api.token_of("eve@example.com"));
    CHECK(late.status == 409);
    CHECK(late.code() == "JOB_CLOSED");
    CHECK(api.post(path, json::object()).status == 401);
    CHECK(api.post("/api/jobs/7/apply", json::object(), ada).status == 404);
    CHECK(api.post(std::string{"/api/jobs/"} + kNobody + "/apply", json::object(), ada).code() ==
          "JOB_NOT_FOUND");
    CHECK(api.post(path, {{"coverLetter", 5}}, ada).code() == "VALIDATION");
    const Answer own = api.get("/api/users/me/applications", ada);
    CHECK(own.data().at("items").size() == 1);
    CHECK(own.data().at("items").at(0) == first.data());
    CHECK(api.metrics.host_text().contains("job_applications_total 2\n"));
}

TEST_CASE("jobs: one that no replica has yet is found")
{
    ApiHarness api{{.replicas = true}};
    const std::string id = created_job(api, api.token_of("ada@example.com"));
    CHECK(api.get("/api/jobs/" + id).status == 200);
    api.store.away = true;
    CHECK(api.get("/api/jobs").status == 503);
}

TEST_CASE("projects: who may do what")
{
    Shared shared;
    const struct {
        const char* name;
        std::string token;
        unsigned see, change, invite, remove;
    } rows[] = {
        {"nobody", "", 401, 401, 401, 401},
        {"outsider", shared.outsider, 404, 404, 404, 404},
        {"viewer", shared.viewer, 200, 403, 403, 403},
        {"editor", shared.editor, 200, 200, 403, 403},
        {"owner", shared.owner, 200, 200, 201, 200},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(shared.api.get(shared.path, row.token).status == row.see);
        CHECK(shared.api.get(shared.path + "/collaborators", row.token).status == row.see);
        CHECK(shared.put({{"title", row.name}}, row.token).status == row.change);
        CHECK(shared.api
                  .post(shared.path + "/collaborators",
                        {{"email", "viewer@example.com"}, {"role", "viewer"}}, row.token)
                  .status == row.invite);
        CHECK(shared.remove(shared.path, row.token).status == row.remove);
    }
    // Gone, and in no way different from one that never was.
    CHECK(shared.api.get(shared.path, shared.owner).body ==
          shared.api.get(std::string{"/api/projects/"} + kNobody, shared.owner).body);
    CHECK(shared.api.get("/api/projects/1", shared.owner).code() == "PROJECT_NOT_FOUND");
}

TEST_CASE("projects: the document comes back as it was given")
{
    Shared shared;
    const Answer shown = shared.api.get(shared.path, shared.viewer);
    CHECK(shown.data().at("content") == json{{"pages", {1, "ä"}}});
    CHECK(shown.data().at("access") == "viewer");
    CHECK(shown.data().at("title") == "Plan");
    CHECK(shown.headers.at("ETag") == "\"1\"");
    for (const json& content : {json(nullptr), json(5), json("te\"xt"), json::array(),
                                json{{"a", {{"b", {1.5, true, nullptr}}}}}}) {
        CAPTURE(content.dump());
        CHECK(shared.put({{"content", content}}, shared.editor).data().at("content") == content);
        CHECK(shared.api.get(shared.path, shared.owner).data().at("content") == content);
    }
    const Answer list = shared.api.get("/api/projects", shared.viewer);
    CHECK(list.data().at("total") == 1);
    CHECK_FALSE(list.data().at("items").at(0).contains("content"));
    CHECK(shared.api.get("/api/projects", shared.outsider).data().at("total") == 0);
    CHECK(shared.api.get("/api/projects?limit=x", shared.outsider).code() == "VALIDATION");
    CHECK(shared.api.post("/api/projects", {{"title", ""}}, shared.owner).code() == "VALIDATION");
}

TEST_CASE("projects: a change that would undo another one is refused")
{
    Shared shared;
    CHECK(shared.put({{"title", "Two"}, {"version", 1}}, shared.editor).data().at("version") == 2);
    const Answer lost = shared.put({{"title", "Three"}, {"version", 1}}, shared.owner);
    CHECK(lost.status == 409);
    CHECK(lost.code() == "VERSION_CONFLICT");
    CHECK(shared.put({{"title", "Three"}}, shared.owner, "\"1\"").status == 409);
    CHECK(shared.put({{"title", "Three"}}, shared.owner, "W/\"2\"").status == 409);
    CHECK(shared.put({{"title", "Three"}}, shared.owner, "\"2\"").status == 200);
    CHECK(shared.put({{"title", "Four"}, {"version", 9}}, shared.owner, "\"3\"").status == 200);
    CHECK(shared.put({{"title", "Five"}}, shared.owner, "*").status == 200);
    CHECK(shared.put({{"title", "Six"}}, shared.owner).data().at("version") == 6);
    CHECK(shared.api.get(shared.path, shared.owner).data().at("title") == "Six");
    for (const json& body :
         {json::object(), json{{"title", 5}}, json{{"title", "a"}, {"version", 0}},
          json{{"title", "a"}, {"version", "1"}}, json{{"title", ""}}})
        CHECK(shared.put(body, shared.owner).code() == "VALIDATION");
}

TEST_CASE("projects: without a version the last change wins, also in a crowd")
{
    Shared shared;
    shared.api.store.before_update = 2;
    const Answer won = shared.put({{"title", "Mine"}}, shared.owner);
    CHECK(won.status == 200);
    CHECK(won.data().at("version") == 4);
    shared.api.store.before_update = 1;
    CHECK(shared.put({{"title", "Mine"}, {"version", 4}}, shared.owner).status == 409);
    shared.api.store.before_update = 100;
    CHECK(shared.put({{"title", "Mine"}}, shared.owner).status == 409);
}

TEST_CASE("projects: collaborators come, change and go")
{
    Shared shared;
    const std::string path = shared.path + "/collaborators";
    const Answer list = shared.api.get(path, shared.viewer);
    CHECK(list.data().at("items").size() == 2);
    CHECK(list.data().at("ownerId") == shared.id_of(shared.owner));
    CHECK(list.data().at("items").at(0).at("user").contains("email"));

    CHECK(shared.invite("nobody@example.com", "viewer").code() == "USER_NOT_FOUND");
    CHECK(shared.invite("no address", "viewer").code() == "USER_NOT_FOUND");
    CHECK(shared.invite("owner@example.com", "viewer").code() == "IS_OWNER");
    CHECK(shared.invite("viewer@example.com", "owner").code() == "VALIDATION");
    CHECK(shared.api.post(path, {{"role", "viewer"}}, shared.owner).code() == "VALIDATION");
    CHECK(shared.api.post(path, {{"role", "viewer"}, {"userId", kNobody}}, shared.owner).status ==
          404);
    CHECK(
        shared.api
            .post(path, {{"role", "editor"}, {"userId", shared.id_of(shared.viewer)}}, shared.owner)
            .data()
            .at("role") == "editor");
    CHECK(shared.put({{"title", "Now I may"}}, shared.viewer).status == 200);

    const std::string editor = path + "/" + shared.id_of(shared.editor);
    CHECK(shared.remove(editor, shared.viewer).status == 403);
    CHECK(shared.remove(editor, shared.outsider).status == 404);
    CHECK(shared.remove(editor, shared.editor).status == 200); // leaves
    CHECK(shared.api.get(shared.path, shared.editor).status == 404);
    CHECK(shared.remove(editor, shared.owner).code() == "USER_NOT_FOUND");
    CHECK(shared.remove(path + "/x", shared.owner).code() == "USER_NOT_FOUND");
    CHECK(shared.remove(path + "/" + shared.id_of(shared.viewer), shared.owner).status == 200);
    CHECK(shared.api.get(path, shared.owner).data().at("items").empty());
}

TEST_CASE("projects: every change is told, after it is certain")
{
    Shared shared;
    shared.api.events.all.clear();
    shared.put({{"title", "New"}}, shared.editor);
    shared.put({{"title", "Lost"}, {"version", 1}}, shared.editor);
    shared.put({{"title", "Forbidden"}}, shared.viewer);
    shared.invite("outsider@example.com", "viewer");
    shared.remove(shared.path, shared.owner);
    const auto& seen = shared.api.events.all;
    REQUIRE(seen.size() == 3);
    CHECK(seen[0].what == ProjectChange::What::updated);
    CHECK(seen[0].version == 2);
    CHECK(seen[0].title == "New");
    CHECK(seen[0].user_id == shared.id_of(shared.editor));
    CHECK(seen[1].what == ProjectChange::What::collaborators);
    CHECK(seen[2].what == ProjectChange::What::removed);
    CHECK(shared.path.ends_with(seen[2].project_id));
}

TEST_CASE("projects: replicas that lag hide nothing and undo nothing")
{
    Shared shared{{.replicas = true}}; // they have nothing of it
    CHECK(shared.api.get(shared.path, shared.viewer).status == 200);
    CHECK(shared.put({{"title", "New"}}, shared.editor).status == 200);
    CHECK(shared.api.get(shared.path, shared.editor).data().at("title") == "New");
}
