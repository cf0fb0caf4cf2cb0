#!/usr/bin/env python3
"""depends_on: who comes first, who waits for what, and who leaves first."""
import unittest

from harness import wait_for
from obedient import ObedientTestCase


class DependsOn(ObedientTestCase):
    def three(self, **of_db):
        """Declared in the wrong order: web needs api, which needs db."""
        return self.ecosystem(self.gated("web", {"GO": __file__}, depends_on="api"),
                              self.gated("api", {"GO": __file__}, depends_on=["db"]),
                              self.gated("db", **of_db))

    def test_each_starts_when_the_one_before_is_ready(self):
        start = self.begin("start", self.three())
        wait_for(lambda: self.events() == ["started db"], what="the first one's start")
        self.stays(lambda: self.events() == ["started db"], start, "the first one alone")
        self.assertEqual([self.row(name)["pid"] for name in ("web", "api")], [0, 0])
        self.assertEqual([self.row(name)["status"] for name in ("web", "api", "db")],
                         ["stopped", "stopped", "launching"])
        self.assertEqual(self.describe("web")["waits_for"], "waits for api (ready)")
        self.assertEqual(self.describe("api")["waits_for"], "waits for db (ready)")
        self.go.touch()
        self.finish(start)
        self.assertEqual(self.events(), ["started db", "ready db", "started api", "ready api",
                                         "started web", "ready web"])
        self.assertEqual(set(self.statuses()), {"online"})
        self.assertEqual(self.describe("web")["waits_for"], "")

    def test_started_does_not_wait_for_readiness(self):
        start = self.begin("start", self.ecosystem(
            self.obedient("web", depends_on={"db": "started"}), self.gated("db")))
        wait_for(lambda: "ready web" in self.events(), what="the other one")
        self.assertEqual(self.row("web")["status"], "online")
        self.assertEqual(self.row("db")["status"], "launching")
        log = self.log.read_text()
        self.assertLess(log.index("db:1 stopped -- start_asked"),
                        log.index("web:0 stopped -- start_asked"))
        self.go.touch()
        self.finish(start)

    def test_completed_waits_for_the_end_of_a_job(self):
        start = self.begin("start", self.ecosystem(
            self.obedient("web", depends_on={"job": "completed"}),
            self.obedient("job", {"GO": str(self.go), "EXIT": "0"}, autorestart=False)))
        wait_for(lambda: self.events() == ["started job"], what="the job's start")
        wait_for(lambda: self.row("job")["status"] == "online", what="the job")
        self.stays(lambda: self.row("web")["pid"] == 0, start, "the job alone")
        self.assertEqual(self.describe("web")["waits_for"], "waits for job (completed)")
        self.go.touch()
        self.finish(start)
        wait_for(lambda: self.events()[:3] == ["started job", "ready job", "started web"],
                 what="the order")
        self.assertEqual((self.row("job")["status"], self.row("web")["status"]),
                         ("stopped", "online"))

    def test_a_job_that_fails_fails_those_that_depend_on_it(self):
        done = self.ctl("start", self.ecosystem(
            self.obedient("late", depends_on="web"),
            self.obedient("web", depends_on={"job": "completed"}),
            self.obedient("job", {"EXIT": "3"}, autorestart=False, min_uptime="60s")), check=False)
        self.assertEqual(done.code, 1)
        self.assertIn("exited with code 3", done.err)
        self.assertIn("depends on job (completed), which is down", done.err)
        self.assertIn("depends on web (ready), which is down", done.err)
        self.assertEqual(self.events(), ["started job", "ready job"])
        self.assertEqual(self.statuses(), ["stopped"] * 3)

    def test_one_that_is_errored_fails_those_that_depend_on_it(self):
        done = self.ctl("start", self.ecosystem(
            self.obedient("web", depends_on="db"),
            self.gated("db", {"CRASH": "0"}, max_restarts=2, min_uptime="60s")), check=False)
        self.assertEqual(done.code, 1)
        self.assertIn("about to end with 7", done.err)
        self.assertIn("depends on db (ready), which is down", done.err)
        self.assertNotIn("started web", self.events())
        self.assertEqual((self.row("web")["status"], self.row("db")["status"]),
                         ("stopped", "errored"))

    def test_what_was_stopped_starts_in_order_again(self):
        self.go.touch()
        file = self.three()
        self.ctl("start", file)
        self.ctl("stop", "all")
        self.journal_file.unlink()
        self.ctl("start", file)
        self.assertEqual(self.events(), ["started db", "ready db", "started api", "ready api",
                                         "started web", "ready web"])

    def test_they_end_in_reverse_order(self):
        self.go.touch()
        # Whoever has to wait for another that takes its time would be the first to end otherwise.
        file = self.ecosystem(
            self.gated("db"), self.gated("api", depends_on="db", env={"LINGER": "0.1"}),
            self.gated("web", depends_on="api", env={"LINGER": "0.2"}))
        for command in (["delete", "all"], ["stop", "all"], ["kill"]):
            with self.subTest(command):
                self.ctl("start", file)
                self.journal_file.unlink()
                self.ctl(*command)
                self.assertEqual(self.events(), ["ended web", "ended api", "ended db"])
                if command[0] == "stop":
                    self.ctl("delete", "all")

    def test_a_cycle_is_named_and_nothing_starts(self):
        file = self.ecosystem(self.obedient("a", depends_on="b"),
                              self.obedient("b", depends_on="c"),
                              self.obedient("c", depends_on="a"), self.obedient("d"))
        for command in ("validate", "start"):
            with self.subTest(command):
                done = self.ctl(command, file, check=False)
                self.assertEqual(done.code, 1)
                self.assertRegex(done.err, r"cycle.*\ba\b.*\bb\b.*\bc\b.*\ba\b")
        self.assertEqual(self.rows(), [])

    def test_an_app_that_is_not_there_is_named(self):
        file = self.ecosystem(self.obedient("web", depends_on="nowhere"))
        self.ctl("validate", file)  # it may run already
        done = self.ctl("start", file, check=False)
        self.assertEqual(done.code, 1)
        self.assertIn("depends on nowhere (ready), which is not declared", done.err)
        self.assertEqual((self.events(), self.statuses()), ([], ["stopped"]))

    def test_an_app_of_another_file_that_runs_already_will_do(self):
        self.ctl("start", self.ecosystem(self.obedient("db")))
        self.ctl("start", self.ecosystem(self.obedient("web", depends_on="db")))
        self.assertEqual(self.statuses(), ["online", "online"])

    def test_a_stop_of_one_that_is_held_back_is_the_last_word(self):
        start = self.begin("start", self.three())
        wait_for(lambda: self.events() == ["started db"], what="the first one's start")
        self.ctl("stop", "api")
        self.go.touch()
        self.assertIn("api", self.finish(start, 1))
        self.assertEqual(self.events(), ["started db", "ready db"])
        self.assertEqual([self.row(name)["status"] for name in ("web", "api", "db")],
                         ["stopped", "stopped", "online"])


if __name__ == "__main__":
    unittest.main()
