"""The store of clusterapp: the same answers from SQLite and from PostgreSQL, and SQLite's own
trials: several processes on one file, one of them killed, a full disk."""

import concurrent.futures
import contextlib
import os
import sqlite3
import stat
import subprocess
import time
import unittest

from harness import wait_for
from servers_postgres import PostgresServer
from store_probe import INVARIANTS, Probe, StoreTestCase, make_jobs, run_probe


class Behaviour(StoreTestCase):
    def behaves(self, **env):
        for _ in range(2):  # the second time on a database that is there
            code, _, text = run_probe(self, **env)
            self.assertEqual(code, 0, text)
            self.assertIn("0 failed", text)

    def test_sqlite(self):
        self.behaves()

    def test_postgresql(self):
        with PostgresServer() as server:
            self.behaves(DATABASE_URL=server.url)
            with self.subTest("one connection for everybody"):
                self.behaves(DATABASE_URL=server.url, DATABASE_CONNECTION_LIMIT="1")


class Sqlite(StoreTestCase):
    def setUp(self):
        super().setUp()
        self.file = self.dir / "data/app.db"

    def sql(self, query):
        with contextlib.closing(sqlite3.connect(self.file)) as database:
            return [row[0] for row in database.execute(query)]

    def check_invariants(self):
        for name, query in INVARIANTS.items():
            self.assertEqual(self.sql(query), [], name)
        self.assertEqual(self.sql("PRAGMA integrity_check"), ["ok"])

    def check_kept(self, *probes):
        users, applications = set(self.sql("SELECT id FROM users")), set(
            self.sql("SELECT id FROM applications"))
        for probe in probes:
            self.assertEqual(set(probe.acknowledged("user")) - users, set())
            self.assertEqual(set(probe.acknowledged("apply-done")) - applications, set())
            self.assertEqual(probe.missing(), [])

    def test_many_that_begin_together_make_the_tables_once(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda _: run_probe(self, "ping"), range(8)))
        for code, out, text in outcomes:
            self.assertEqual((code, out), (0, "ok"), text)
        self.assertEqual(self.sql("PRAGMA user_version"), [1])
        self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.file.parent).st_mode), 0o700)

    def test_a_file_of_a_newer_version_is_left_alone(self):
        run_probe(self, "ping")
        with contextlib.closing(sqlite3.connect(self.file)) as database:
            database.execute("PRAGMA user_version = 99")
        code, _, text = run_probe(self, "ping")
        self.assertEqual(code, 1)
        self.assertIn("version 99", text)
        self.assertIn("newer clusterapp", text)
        self.assertIn(str(self.file), text)

    def test_a_folder_that_cannot_be_made_is_named(self):
        (self.dir / "data").write_text("a file")
        code, _, text = run_probe(self, "ping")
        self.assertEqual(code, 1)
        self.assertIn(str(self.dir / "data"), text)

    def test_processes_that_write_together_lose_nothing_also_when_one_is_killed(self):
        jobs = make_jobs(self, 2)
        probes = [Probe(self, "load", 8, *jobs) for _ in range(3)]
        for probe in probes:
            probe.wait_for_work(300)
        probes[0].kill()
        after = max(int(line.split()[3]) for line in probes[1].lines() if line.startswith("ok"))
        for probe in probes[1:]:
            probe.wait_for_work(300, after_ms=after)
            probe.end()
            self.assertEqual(probe.failures(), [])
        self.check_kept(*probes)
        self.check_invariants()

    def test_places_are_given_once_by_all_processes_together(self):
        jobs = make_jobs(self, 3, 50)
        probes = [Probe(self, "load", 8, *jobs) for _ in range(2)]
        for probe in probes:
            probe.wait_for_work(100, "apply-closed")
            probe.end()
        self.assertEqual(sum(len(probe.acknowledged("apply-done")) for probe in probes), 150)
        self.check_invariants()

    def test_who_holds_the_file_for_long_costs_others_an_error_and_no_reader_waits(self):
        jobs = make_jobs(self, 1)
        writer = Probe(self, "load", 12, *jobs)
        reader = Probe(self, "lists", 2)
        writer.wait_for_work(20)
        with contextlib.closing(sqlite3.connect(self.file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            since = int(time.time() * 1000)
            reader.wait_for_work(200, "list", after_ms=since + 1000)
            wait_for(lambda: len(writer.failures()) >= 12, what="writes that fail")
            other.execute("ROLLBACK")
        writer.wait_for_work(20, after_ms=int(time.time() * 1000))
        for probe in (writer, reader):
            probe.end()
        self.assertEqual(reader.failures(), [])
        self.assertEqual({one.kind for one in writer.failures()}, {"overloaded"})
        # Those in the queue do not wait one after the other, five seconds each.
        self.assertLess(max(one.took_ms for one in writer.failures()), 11_000)
        self.check_kept(writer)

    @unittest.skipUnless(os.geteuid() == 0, "mounting a small file system takes root")
    def test_a_full_disk_is_said_and_everything_goes_on_when_there_is_room_again(self):
        folder = self.dir / "data"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)
        jobs = make_jobs(self, 1)
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(1024 * 1024))
        probe = Probe(self, "load", 4, *jobs)
        failed = wait_for(lambda: probe.failures("unavailable"), 60, "a full disk")
        self.assertIn("full", failed[0].text)
        ballast.unlink()
        probe.wait_for_work(20, after_ms=failed[0].at_ms)
        probe.end()
        self.assertEqual({one.kind for one in probe.failures()}, {"unavailable"})
        self.check_kept(probe)
        self.check_invariants()


if __name__ == "__main__":
    unittest.main(verbosity=2)
