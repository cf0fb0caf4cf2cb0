#!/usr/bin/env python3
"""An application whose COMMIT is lost with the connection: done once or not at all, told truthfully,
and never done twice by who tries again."""

import unittest

from app_people import AccountsTestCase
from harness import wait_for
from postgres_proxy import Proxy
from servers_postgres import PostgresServer

MARKER = "the letter that is sent together with the COMMIT"


class LostCommit(AccountsTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.postgres = PostgresServer().start()
        cls.addClassCleanup(cls.postgres.__exit__)

    def setUp(self):
        super().setUp()
        self.proxy = Proxy(self.postgres.port, MARKER.encode())
        self.addCleanup(self.proxy.close)
        url = self.postgres.url.replace(f":{self.postgres.port}/", f":{self.proxy.port}/")
        [self.app] = self.instances(1, DATABASE_URL=url, JWT_SECRET="s" * 32,
                                    DATABASE_CONNECTION_LIMIT="2")
        name = self._testMethodName
        self.token = self.person(self.app, f"{name}@example.com")
        boss = self.person(self.app, f"boss.{name}@example.com")
        job = self.app.post("/api/jobs", {"title": "Cook", "company": "Inn"}, token=boss)
        self.job = self.granted(job, 201)["id"]

    def apply(self):
        return self.app.post(f"/api/jobs/{self.job}/apply", {"coverLetter": MARKER},
                             token=self.token)

    def count(self):
        """Past the proxy: (applications, what the job counts, what the history has)."""
        return tuple(self.postgres.number(query.format(self.job)) for query in (
            "SELECT count(*) FROM applications WHERE job_id = '{}'",
            "SELECT applications FROM jobs WHERE id = '{}'",
            "SELECT count(*) FROM application_history WHERE job_id = '{}'"))

    def lose(self, where, stays_away=False):
        """The answer to an application whose COMMIT is lost `where`."""
        self.proxy.stays_away = stays_away
        self.proxy.cut_at = where
        answer = self.apply()
        self.assertEqual(self.proxy.cuts, 1)
        return answer

    def tried_again(self, want):
        """The database is there again, and so is the applicant."""
        self.proxy.away = False
        wait_for(lambda: self.app.get("/health/ready").status == 200, what="the database")
        answer = self.apply()
        self.assertEqual(answer.status, want, answer)
        if want == 409:
            self.refused(answer, 409, "ALREADY_APPLIED")
        self.assertEqual(self.count(), (1, 1, 1))

    def test_going_out_and_the_database_is_there(self):
        self.assertEqual(self.lose("going out").status, 201)
        self.assertEqual(self.count(), (1, 1, 1))
        self.tried_again(409)

    def test_coming_back_and_the_database_is_there(self):
        # Done already: found by its id, and not done again.
        self.assertEqual(self.lose("coming back").status, 201)
        self.assertEqual(self.count(), (1, 1, 1))
        self.tried_again(409)

    def test_going_out_and_the_database_is_away(self):
        self.unknown(self.lose("going out", stays_away=True))
        wait_for(lambda: self.count() == (0, 0, 0), what="the transaction to be undone")
        self.tried_again(201)

    def test_coming_back_and_the_database_is_away(self):
        self.unknown(self.lose("coming back", stays_away=True))
        self.assertEqual(self.count(), (1, 1, 1))
        self.tried_again(409)

    def unknown(self, answer):
        self.assertEqual(answer.status, 503, answer)
        self.assertGreater(int(answer.headers["retry-after"]), 0)
        self.assertFalse(answer.json["success"])


if __name__ == "__main__":
    unittest.main()
