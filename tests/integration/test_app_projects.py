"""Projects of clusterapp: who may do what, and that nobody's work is lost, over several instances."""

import concurrent.futures
import unittest

from app_people import AccountsTestCase, OnServers

NOBODY = "0193545e-1111-7222-8333-444444444444"


class Projects(AccountsTestCase):
    def setUp(self):
        super().setUp()
        self.one, self.two, self.three = self.apps_ = self.instances(3)
        self.people = {name: self.person(self.one, f"{name}@example.com")
                       for name in ("owner", "editor", "viewer", "stranger")}
        made = self.one.post("/api/projects", {"title": "Plan", "content": {"pages": [1, "ä"]}},
                             token=self.people["owner"])
        self.project = self.granted(made, 201)
        self.path = made.headers["location"]
        for role in "editor", "viewer":
            self.granted(self.invite(f"{role}@example.com", role), 201)

    def invite(self, email, role, by="owner"):
        return self.two.post(self.path + "/collaborators", {"email": email, "role": role},
                             token=self.people[by])

    def show(self, app, who):
        return app.get(self.path, token=self.people[who])

    def put(self, app, who, body, **options):
        return app.request("PUT", self.path, body, token=self.people[who], **options)

    def id_of(self, who):
        return self.one.get("/api/users/me", token=self.people[who]).json["data"]["id"]

    def test_all_instances_know_who_may_do_what(self):
        for app in self.apps_:
            for who, see, change, choose in (("stranger", 404, 404, 404), ("viewer", 200, 403, 403),
                                             ("editor", 200, 200, 403), ("owner", 200, 200, 201)):
                with self.subTest(who=who, port=app.port):
                    self.assertEqual(self.show(app, who).status, see)
                    self.assertEqual(self.put(app, who, {"title": who}).status, change)
                    self.assertEqual(self.invite("viewer@example.com", "viewer", who).status,
                                     choose)
        self.assertEqual(self.one.request("DELETE", self.path, token=self.people["editor"]).status,
                         403)
        for path in self.path, self.path + "/collaborators":
            self.assertEqual(self.one.get(path).status, 401)
        missing = self.one.get(f"/api/projects/{NOBODY}", token=self.people["stranger"])
        self.assertEqual(missing.text, self.show(self.one, "stranger").text)

    def test_a_project_from_its_beginning_to_its_end(self):
        shown = self.show(self.two, "viewer")
        self.assertEqual(shown.headers["etag"], '"1"')
        self.assertEqual(shown.json["data"] | {"access": "owner"}, self.project)
        content = {"pages": [{"text": "é\n\u2028" * 1000, "n": 1.5e10, "deep": [[[[{}]]]]}]}
        changed = self.granted(self.put(self.three, "editor", {"content": content}))
        self.assertEqual((changed["version"], changed["title"]), (2, "Plan"))
        self.assertEqual(self.show(self.one, "owner").json["data"]["content"], content)
        lists = [app.get("/api/projects", token=self.people[who]).json["data"]["total"]
                 for app in self.apps_ for who in ("owner", "viewer", "stranger")]
        self.assertEqual(lists, [1, 1, 0] * 3)
        self.granted(self.one.request("DELETE", self.path, token=self.people["owner"]))
        for app in self.apps_:
            self.refused(self.show(app, "owner"), 404, "PROJECT_NOT_FOUND")

    def test_collaborators_come_change_and_go(self):
        path = self.path + "/collaborators"
        listed = self.three.get(path, token=self.people["viewer"]).json["data"]["items"]
        self.assertEqual({entry["user"]["email"]: entry["role"] for entry in listed},
                         {"editor@example.com": "editor", "viewer@example.com": "viewer"})
        self.refused(self.invite("nobody@example.com", "viewer"), 404, "USER_NOT_FOUND")
        self.refused(self.invite("owner@example.com", "viewer"), 409, "IS_OWNER")
        self.refused(self.invite("viewer@example.com", "king"), 400, "VALIDATION")
        self.granted(self.invite("viewer@example.com", "editor"), 201)
        self.granted(self.put(self.three, "viewer", {"title": "Mine too"}))
        editor = f"{path}/{self.id_of('editor')}"
        self.refused(self.one.request("DELETE", editor, token=self.people["viewer"]), 403,
                     "FORBIDDEN")
        self.granted(self.one.request("DELETE", editor, token=self.people["editor"]))  # leaves
        self.assertEqual(self.show(self.two, "editor").status, 404)

    def test_of_changes_meant_for_the_same_version_one_is_done(self):
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(
                lambda n: self.put(self.apps_[n % 3], "editor",
                                   {"title": f"title {n}", "version": 1}), range(12)))
        self.assertEqual(sorted(answer.status for answer in answers), [200] + [409] * 11)
        winner = next(answer for answer in answers if answer.status == 200)
        shown = self.show(self.two, "owner").json["data"]
        self.assertEqual((shown["title"], shown["version"]), (winner.json["data"]["title"], 2))
        self.refused(self.put(self.one, "owner", {"title": "late"}, headers={"If-Match": '"1"'}),
                     409, "VERSION_CONFLICT")
        self.granted(self.put(self.one, "owner", {"title": "x"}, headers={"If-Match": '"2"'}))

    def test_changes_that_name_their_version_all_get_in_when_they_try_again(self):
        """Each adds itself to the document; what any of them wrote must be there at the end."""
        def add(number):
            app = self.apps_[number % 3]
            while True:
                seen = self.show(app, "editor").json["data"]
                pages = seen["content"]["pages"] + [f"page {number}"]
                answer = self.put(app, "editor", {"content": {"pages": pages}},
                                  headers={"If-Match": f'"{seen["version"]}"'})
                if answer.status != 409:
                    return answer.status
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            self.assertEqual(set(pool.map(add, range(12))), {200})
        shown = self.show(self.one, "owner").json["data"]
        self.assertEqual(sorted(shown["content"]["pages"][2:]),
                         sorted(f"page {n}" for n in range(12)))
        self.assertEqual(shown["version"], 13)

    def test_a_document_may_be_as_large_as_a_body(self):
        content = ["x" * 1000] * 900
        self.granted(self.put(self.one, "owner", {"content": content}))
        self.assertEqual(self.show(self.two, "viewer").json["data"]["content"], content)
        self.assertEqual(self.put(self.one, "owner", {"content": content * 2}).status, 413)
        deep = "[" * 100 + "]" * 100
        self.assertEqual(self.put(self.one, "owner", '{"content":' + deep + "}",
                                  headers={"Content-Type": "application/json"}).status, 400)


class ProjectsOnServers(OnServers, Projects):
    pass


class Replicas(OnServers, AccountsTestCase):
    def replayed(self):
        """Waits until the replica has all that the primary has now."""
        [end] = self.postgres.sql("SELECT pg_current_wal_lsn()")
        self.wait_for(lambda: self.replica.sql(
            f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == ["t"], what="the replica")

    def jobs(self, app):
        return app.get("/api/jobs").json["data"]["total"]

    def stand_still(self, apps, token):
        """From now on the replica gets nothing new, and all of `apps` read from it: a new job is
        not in their public lists."""
        for number, app in enumerate(apps):
            self.has_measured(app, number)
        self.replayed()
        self.replica.pause_replay()
        self.addCleanup(self.replica.sql, "SELECT pg_wal_replay_resume()")
        apps[0].post("/api/jobs", {"title": "new", "company": "c"}, token=token)
        for app in apps:
            self.reads_from_the_replica(app)

    def has_measured(self, app, number):
        """It reads from the replica, so it knows a place in the primary's log that was replayed
        before it stood still: by that it tells later how far the replica is behind."""
        def has_read():
            self.jobs(app)
            [count] = self.replica.sql(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = "
                f"'{self.database}' AND application_name = 'instance{number}' "
                "AND query LIKE '%FROM jobs%'")
            return int(count) > 0
        self.wait_for(has_read, what="a read from the replica")

    def reads_from_the_replica(self, app):
        """Not at each moment: while how far it is behind is not known, the primary is asked."""
        self.wait_for(lambda: self.jobs(app) == 0, what="old data")

    def test_who_writes_finds_it_again_however_far_the_replica_is_behind(self):
        one, two = self.instances(2)
        reader = self.person(one, "reader@example.com")
        writer = self.person(one, "writer@example.com")
        path = one.post("/api/projects", {"title": "First"}, token=writer).headers["location"]
        self.stand_still([one, two], reader)

        for title in "Second", "Third":
            self.assertEqual(one.request("PUT", path, {"title": title}, token=writer).status, 200)
            self.assertEqual(two.get(path, token=writer).json["data"]["title"], title)
        made = one.post("/api/projects", {"title": "Another"}, token=writer).headers["location"]
        self.assertEqual(two.get("/api/projects", token=writer).json["data"]["total"], 2)
        self.assertEqual(len(self.redis.ask("KEYS", "wrote:*")), 2)
        self.reads_from_the_replica(two)

        # When that is forgotten, he sees what the replica has; and what it lacks is looked for in
        # the primary, for others as well.
        one.post(made + "/collaborators", {"email": "reader@example.com", "role": "viewer"},
                 token=writer)
        late = self.person(one, "late@example.com")
        self.redis.ask("FLUSHALL")
        self.wait_for(lambda: two.get(path, token=writer).json["data"]["title"] == "First",
                      what="what the replica has")
        self.assertEqual(two.get(made, token=reader).json["data"]["title"], "Another")
        self.assertEqual(two.get("/api/users/me", token=late).status, 200)
        self.reads_from_the_replica(two)


if __name__ == "__main__":
    unittest.main()
