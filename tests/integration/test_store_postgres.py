"""What befalls a PostgreSQL server while clusterapp's store works with it: whatever was acknowledged
is there, nothing is half done, errors come only while the server is away, and nobody waits for one
that is."""

import concurrent.futures
import os
import signal
import unittest

from harness import free_port, wait_for
from servers_postgres import PASSWORD
from store_postgres import AWAY, PostgresTestCase, now_ms
from store_probe import Probe, make_jobs, run_probe


class Start(PostgresTestCase):
    def test_many_that_begin_together_make_the_tables_once(self):
        server = self.server()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(
                lambda _: run_probe(self, "ping", DATABASE_URL=server.url), range(8)))
        for code, out, text in outcomes:
            self.assertEqual((code, out), (0, "ok"), text)
        self.assertEqual(server.sql("SELECT version FROM schema_migrations"), ["1"])

    def test_tables_of_a_newer_version_are_left_alone(self):
        server = self.server()
        run_probe(self, "ping", DATABASE_URL=server.url)
        server.sql("INSERT INTO schema_migrations VALUES (99, 'of tomorrow')")
        code, out, text = run_probe(self, "ping", DATABASE_URL=server.url)
        self.assertEqual(code, 1)
        self.assertIn("version 99", out)
        self.assertIn("newer clusterapp", text)

    def test_a_migration_that_fails_leaves_nothing_and_is_made_later(self):
        server = self.server()
        server.sql("CREATE TABLE collaborators (a int)")  # in the way of the last one
        code, out, _ = run_probe(self, "ping", DATABASE_URL=server.url)
        self.assertEqual(code, 1)
        self.assertIn("migration 1", out)
        self.assertIn("already exists", out)
        self.assertEqual(server.sql("SELECT to_regclass('users') IS NULL"), ["t"])
        server.sql("DROP TABLE collaborators")
        self.assertEqual(run_probe(self, "ping", DATABASE_URL=server.url)[1], "ok")

    def test_a_server_that_is_away_at_first_is_found_later(self):
        server = self.server()
        jobs = make_jobs(self, 1, DATABASE_URL=server.url)
        server.stop()
        probe = Probe(self, "load", 4, *jobs, DATABASE_URL=server.url)
        wait_for(lambda: len(probe.failures("unavailable")) > 20, what="calls that fail")
        # All but those that came before the first log-in had failed were told at once.
        self.assertLess(max(one.took_ms for one in probe.failures()[4:]), 50)
        server.start()
        probe.wait_for_work(20)
        probe.end()
        self.check(server, probe)
        self.assertIn('"message":"the database is back"', probe.logged())

    def test_what_is_wrong_with_a_log_in_is_said_without_the_password(self):
        server = self.server()
        wrong = server.url.replace(PASSWORD.replace(" ", "%20"), "open-sesame")
        code, out, text = run_probe(self, "ping", DATABASE_URL=wrong)
        self.assertEqual(code, 1)
        self.assertIn('password authentication failed for user "postgres"', out)
        self.assertNotIn("open-sesame", text)

        code, out, text = run_probe(self, "ping", DATABASE_URL=server.url + "_none")
        self.assertIn('database "postgres_none" does not exist', out)
        code, out, text = run_probe(self, "ping",
                                    DATABASE_URL="postgresql://u:open-sesame@nowhere.invalid/d")
        self.assertIn("look up nowhere.invalid: ", out)
        self.assertNotIn("sesame", text)
        for url in ("postgresql://u:open-sesame%@h/d", "mysql://u:open-sesame@h/d",
                    "postgresql://u:open-sesame@[::1/d"):
            code, _, text = run_probe(self, "ping", DATABASE_URL=url)
            self.assertEqual(code, 2, text)
            self.assertIn("DATABASE_URL must be like postgresql://", text)
            self.assertNotIn("sesame", text)

    def test_pools_that_ask_for_more_than_the_server_has_are_told_the_sum(self):
        server = self.server(max_connections="8", superuser_reserved_connections="2",
                             max_wal_senders="0")
        jobs = make_jobs(self, 2, DATABASE_URL=server.url)
        server.sql("CREATE ROLE app LOGIN PASSWORD 'app'; GRANT ALL ON ALL TABLES IN SCHEMA public "
                   "TO app")  # no superuser: those have the reserved ones too
        url = server.url.replace("postgres:" + PASSWORD.replace(" ", "%20"), "app:app")
        probe = Probe(self, "load", 30, *jobs, DATABASE_URL=url, DATABASE_CONNECTION_LIMIT="20",
                      instances="3")
        probe.wait_for_work(500)
        states = probe.end()["states"]
        self.assertIn("20 connections each (DATABASE_CONNECTION_LIMIT) x 3 instances on this host "
                      "= 60, but the server has room for 6 (max_connections 8 - "
                      "superuser_reserved_connections 2)", probe.logged())
        self.assertIn("the database takes no more connections", probe.logged())
        # It works with those that it got.
        self.assertEqual(probe.failures(), [])
        self.assertRegex(states[0], r"^primary up [3-6] 0 0$")
        self.check(server, probe)

    def test_of_several_hosts_the_one_that_takes_writes_is_used(self):
        server = self.server()
        make_jobs(self, 1, DATABASE_URL=server.url)
        replica = server.replica()
        self.addCleanup(replica.__exit__)
        replica.start()
        login = server.url.partition("@")[0]
        url = (f"{login}@127.0.0.1:{free_port()},127.0.0.1:{replica.port},localhost:{server.port}"
               "/postgres")
        self.assertEqual(len(make_jobs(self, 1, DATABASE_URL=url)), 1)


class Faults(PostgresTestCase):
    def test_who_waits_too_long_for_a_connection_is_told(self):
        server = self.server()
        probe = self.load(server, workers=8, DATABASE_CONNECTION_LIMIT="2",
                          DATABASE_POOL_TIMEOUT="1")
        server.sql("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3); COMMIT")
        probe.wait_for_work(20, after_ms=now_ms())
        probe.end()
        self.assertEqual({one.kind for one in probe.failures()}, {"overloaded"})
        for one in probe.failures():
            self.assertIn("primary: all 2 connections were busy for 1000 ms", one.text)
            self.assertLess(one.took_ms, 2000)
        self.check(server, probe)

    def test_transactions_that_meet_are_tried_again(self):
        server = self.server()
        self.jobs = make_jobs(self, 1, 200, DATABASE_URL=server.url)
        probes = [Probe(self, "load", 10, *self.jobs, DATABASE_URL=server.url) for _ in range(2)]
        for probe in probes:
            probe.wait_for_work(50, "apply-closed")
        retries = sum(probe.end()["retries"] for probe in probes)
        self.assertGreater(retries, 20)
        self.assertEqual([one for probe in probes for one in probe.failures()], [])
        self.assertEqual(sum(len(probe.acknowledged("apply-done")) for probe in probes), 200)
        self.check(server, *probes)

    def test_nobody_is_passed_by_for_ever_where_commits_are_slow(self):
        # 20 ms each, as on a slow disk: transactions overlap, also those of different jobs.
        server = self.server(fsync="on", commit_delay="20000", commit_siblings="0")
        probe = self.load(server)
        probe.wait_for_work(600, "apply-done")
        self.assertGreater(probe.end()["retries"], 20)
        self.assertEqual(probe.failures(), [])
        self.check(server, probe)

    def test_a_restart_costs_errors_only_while_it_lasts(self):
        server = self.server()
        probe = self.load(server)
        since = now_ms()
        server.stop()
        wait_for(lambda: probe.failures("unavailable"), what="calls that fail")
        time_away = now_ms()
        wait_for(lambda: len([one for one in probe.failures() if one.at_ms > time_away]) > 50,
                 what="more of them")
        # Who calls while it is away is told at once.
        slow = [one for one in probe.failures() if one.at_ms > time_away and one.took_ms > 100]
        self.assertEqual(slow, [])
        server.start()
        began = now_ms()
        probe.wait_for_work(50, after_ms=began)
        until = now_ms()
        probe.wait_for_work(200, after_ms=until)
        probe.end()
        self.check_failures(probe, since, until)
        # By the probe's clock: we ask seldom, and read long.
        worked = [int(line.split()[3]) for line in probe.lines() if line.startswith("ok ")]
        self.assertLess(min(at for at in worked if at > began) - began, 5000)
        self.check(server, probe)

    def test_a_crash_loses_nothing_that_was_acknowledged(self):
        server = self.server(fsync="on")
        probe = self.load(server)
        for _ in range(3):
            since = now_ms()
            server.kill()
            server.start()
            probe.wait_for_work(100, after_ms=now_ms())
        probe.end()
        self.assertLessEqual({one.kind for one in probe.failures()}, AWAY)
        self.check(server, probe)

    def test_a_connection_that_is_ended_is_replaced_and_nobody_notices(self):
        server = self.server()
        probe = self.load(server, jobs=100)  # few fight for one: that is told, as a conflict
        for _ in range(10):
            server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                       "WHERE application_name = 'clusterapp' LIMIT 4")
            probe.wait_for_work(20, after_ms=now_ms())
        probe.end()
        # A COMMIT that the end met cannot be told from one that was done: it is looked up.
        self.assertEqual(probe.failures(), [])
        self.check(server, probe)

    def test_a_backend_that_is_killed_takes_all_with_it_for_a_moment(self):
        server = self.server()
        probe = self.load(server)
        since = now_ms()
        pid = server.number("SELECT pid FROM pg_stat_activity "
                            "WHERE application_name = 'clusterapp' LIMIT 1")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: probe.failures(), what="calls that fail")
        wait_for(server.answers, what="recovery")
        probe.wait_for_work(50, after_ms=now_ms())
        until = now_ms()
        probe.wait_for_work(100, after_ms=until)
        probe.end()
        self.check_failures(probe, since, until)
        self.check(server, probe)

    def test_a_server_that_stands_still_holds_nobody_for_longer_than_the_limit(self):
        server = self.server()
        probe = self.load(server, DATABASE_QUERY_TIMEOUT_MS="700",
                          DATABASE_CONNECT_TIMEOUT_MS="2000", DATABASE_POOL_TIMEOUT="2")
        since = now_ms()
        server.pause()
        wait_for(lambda: len(probe.failures()) > 100, what="calls that fail")
        slowest = max(one.took_ms for one in probe.failures())
        self.assertLess(slowest, 5000)  # a query, and once more to find out what became of it
        later = now_ms() + 3000
        after = lambda: [one for one in probe.failures() if one.at_ms > later]
        wait_for(lambda: len(after()) > 50, what="calls that fail at once")
        self.assertLess(max(one.took_ms for one in after()), 700)
        server.resume()
        probe.wait_for_work(50, after_ms=now_ms())
        until = now_ms()
        probe.wait_for_work(100, after_ms=until)
        probe.end()
        self.check_failures(probe, since, until, AWAY | {"overloaded"})
        self.check_standing(server, probe)

    def check_standing(self, server, probe):
        """What was in flight when the server stood still is done after all, later."""
        wait_for(lambda: server.number("SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' "
                                       "AND application_name = 'clusterapp'") == 0)
        self.check(server, probe)

    def test_a_query_that_waits_for_a_lock_ends_at_its_limit(self):
        server = self.server()
        probe = self.load(server, workers=4, DATABASE_QUERY_TIMEOUT_MS="500")
        server.sql("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT")
        probe.wait_for_work(20, after_ms=now_ms())
        probe.end()
        self.assertNotEqual(probe.failures(), [])
        self.assertLessEqual({one.kind for one in probe.failures()}, AWAY | {"overloaded"})
        self.check(server, probe)

if __name__ == "__main__":
    unittest.main(verbosity=2)
