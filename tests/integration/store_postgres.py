"""What the suites about the store in PostgreSQL share."""

import time

from servers_postgres import PostgresServer
from store_probe import INVARIANTS, Probe, StoreTestCase, make_jobs

# Kinds that a caller may see of a server that goes away: "not done" and "nobody knows".
AWAY = {"unavailable", "unknown_outcome"}


def now_ms():
    return int(time.time() * 1000)


class PostgresTestCase(StoreTestCase):
    def server(self, **settings):
        server = PostgresServer(**settings)
        self.addCleanup(server.__exit__)
        return server.start()

    def load(self, server, workers=16, jobs=2, most=1_000_000, **env):
        """A load on `server` that has begun to work; self.jobs are what it applies for."""
        self.jobs = make_jobs(self, jobs, most, DATABASE_URL=server.url)
        probe = Probe(self, "load", workers, *self.jobs, **{"DATABASE_URL": server.url} | env)
        probe.wait_for_work(50)
        return probe

    def check(self, server, *probes):
        """Everything acknowledged is there and nothing is half done."""
        users = set(server.sql("SELECT id FROM users"))
        applications = set(server.sql("SELECT id FROM applications"))
        for probe in probes:
            self.assertEqual(set(probe.acknowledged("user")) - users, set())
            self.assertEqual(set(probe.acknowledged("apply-done")) - applications, set())
            self.assertEqual(probe.missing(), [])
            # "Not done" is a promise too.
            not_done = {one.id for one in probe.failures("unavailable")
                        if one.what in ("user", "apply")}
            self.assertEqual(not_done & (users | applications), set())
        for name, query in INVARIANTS.items():
            self.assertEqual(server.sql(query), [], name)

    def check_failures(self, probe, since, until, kinds=AWAY):
        """Nothing failed but in the time in which the server was away."""
        for one in probe.failures():
            self.assertIn(one.kind, kinds, one)
            self.assertTrue(since <= one.at_ms <= until, (since, one, until))
