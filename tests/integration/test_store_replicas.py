"""Reads of clusterapp's store on replicas of PostgreSQL: where they go, and that nobody notices when
a replica stops, stands still, lags, loses its primary or is promoted."""

import signal
import unittest

from harness import wait_for
from store_postgres import PostgresTestCase, now_ms
from store_probe import Probe, make_jobs


class Replicas(PostgresTestCase):
    def setUp(self):
        super().setUp()
        self.primary = self.server()
        make_jobs(self, 1, DATABASE_URL=self.primary.url)
        self.replica = self.primary.replica()
        self.addCleanup(self.replica.__exit__)
        self.replica.start()

    def begin(self, **env):
        return self.load(self.primary, DATABASE_REPLICA_URLS=self.replica.url, **env)

    def reads_of(self, server):
        """How often the list of jobs was read there."""
        return server.number("SELECT coalesce(sum(seq_scan + idx_scan), 0) FROM pg_stat_user_tables "
                             "WHERE relname = 'jobs'")

    def reads_grow(self, server, by=50):
        before = self.reads_of(server)
        wait_for(lambda: self.reads_of(server) > before + by, what="reads on this server")

    def test_reads_go_to_a_replica_and_no_write_does(self):
        probe = self.begin()
        self.reads_grow(self.replica)
        states = probe.end()["states"]
        self.assertEqual(probe.failures(), [])
        # The load is over, but how far the replica is behind may be asked of both just now.
        self.assertRegex(states[0], r"^primary up \d+ [01] 0$")
        self.assertRegex(states[1], rf"^replica 127.0.0.1:{self.replica.port} up [1-9]\d* [01] 0$")
        self.check(self.primary, probe)

    def test_a_replica_that_goes_and_comes_costs_nobody_an_error(self):
        probe = self.begin()
        for how in (signal.SIGINT, signal.SIGKILL):
            self.reads_grow(self.replica)
            if how == signal.SIGKILL:
                self.replica.kill()
            else:
                self.replica.stop()
            away = now_ms()
            probe.wait_for_work(100, "list", after_ms=away)
            self.replica.start()
        self.reads_grow(self.replica)
        probe.end()
        self.assertEqual(probe.failures(), [])
        self.check(self.primary, probe)

    def test_a_replica_that_stands_still_costs_a_moment_and_no_error(self):
        probe = self.begin(DATABASE_QUERY_TIMEOUT_MS="3000", DATABASE_CONNECT_TIMEOUT_MS="2000")
        self.reads_grow(self.replica)
        self.replica.pause()
        probe.wait_for_work(200, "list", after_ms=now_ms() + 5000)
        self.replica.resume()
        self.reads_grow(self.replica)
        probe.end()
        self.assertEqual(probe.failures(), [])

    def test_a_replica_that_lags_is_left_out_until_it_has_caught_up(self):
        probe = self.begin(DATABASE_REPLICA_MAX_LAG_MS="1500")
        self.reads_grow(self.replica)
        self.replica.pause_replay()
        wait_for(lambda: "a replica is not used" in probe.logged(), what="the replica to be left out")
        self.assert_quiet(probe)
        self.replica.sql("SELECT pg_wal_replay_resume()")
        self.reads_grow(self.replica)
        probe.end()
        self.assertEqual(probe.failures(), [])
        self.assertIn("a replica is used again", probe.logged())

    def assert_quiet(self, probe):
        def none_while_others_work():
            before = self.reads_of(self.replica)
            probe.wait_for_work(100, "list", after_ms=now_ms())
            return self.reads_of(self.replica) == before
        wait_for(none_while_others_work, what="no more reads on the replica")

    def test_a_replica_that_lost_its_primary_is_not_believed(self):
        # It has replayed all that it received, and thinks that it is up to date.
        probe = self.begin(DATABASE_REPLICA_MAX_LAG_MS="1500")
        self.reads_grow(self.replica)
        self.replica.sql("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'")
        self.replica.sql("SELECT pg_reload_conf()")
        wait_for(lambda: "a replica is not used" in probe.logged(), what="the replica to be left out")
        self.assert_quiet(probe)
        probe.end()
        self.assertEqual(probe.failures(), [])

    def test_a_replica_that_was_promoted_is_left_out(self):
        probe = self.begin()
        self.reads_grow(self.replica)
        self.replica.sql("SELECT pg_promote()")
        wait_for(lambda: "a replica is not used" in probe.logged(), what="the replica to be left out")
        self.assert_quiet(probe)
        probe.end()
        self.assertEqual(probe.failures(), [])

    def test_a_replica_that_takes_over_is_found_among_the_hosts(self):
        login = self.primary.url.partition("@")[0]
        url = (f"{login}@127.0.0.1:{self.primary.port},127.0.0.1:{self.replica.port}/postgres")
        probe = self.load(self.primary, DATABASE_URL=url)
        since = now_ms()
        self.primary.stop()  # sends all that it has before it ends
        self.replica.sql("SELECT pg_promote()")
        probe.wait_for_work(50, after_ms=now_ms())
        until = now_ms()
        probe.wait_for_work(50, after_ms=until)
        probe.end()
        self.check_failures(probe, since, until)
        self.check(self.replica, probe)

    def test_reads_go_on_while_the_primary_is_away(self):
        probe = Probe(self, "lists", 4, DATABASE_URL=self.primary.url,
                      DATABASE_REPLICA_URLS=self.replica.url, DATABASE_REPLICA_MAX_LAG_MS="1500")
        self.reads_grow(self.replica)
        self.primary.stop()
        since = now_ms()
        probe.wait_for_work(500, "list", after_ms=since + 4000)  # longer than any figure holds
        self.primary.start()
        probe.wait_for_work(100, "list", after_ms=now_ms())
        probe.end()
        self.assertEqual(probe.failures(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
