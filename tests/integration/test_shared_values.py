"""app/kv and app/limits with several processes at once: on Redis, and embedded on one host."""

import pathlib
import shutil
import signal
import sqlite3
import stat
import tempfile
import unittest

from harness import wait_for
from redis_probe import Probe
from servers_redis import Single
from test_redis import RedisTestCase

SHARED_ALONE = "Rate limiter uses the embedded store: it counts for this host alone"


class Forms(RedisTestCase):
    """What both forms promise; each subclass says how one process of it is made."""

    form = None

    def another(self, **env):
        raise NotImplementedError

    def close(self, probe):
        if probe.process.poll() != -signal.SIGKILL:
            super().close(probe)
        else:
            probe.close()

    def values(self):
        one, two = self.another(), self.another()
        self.assertEqual(one("kv_get", keys=["a", "b"])["ok"], [None, None])
        self.assertTrue(one("kv_set", key="a", value="x", life=60_000)["ok"])
        self.assertTrue(two("kv_set", key="b", value="\u00fc\n\0\"", life=60_000)["ok"])
        # Across processes, in the order of the keys, the same one twice too.
        for probe in (one, two):
            self.assertEqual(probe("kv_get", keys=["b", "a", "none", "a"])["ok"],
                             ["\u00fc\n\0\"", "x", None, "x"])
        self.assertTrue(two("kv_set", key="a", value="y", life=60_000)["ok"])
        self.assertEqual(one("kv_get", keys=["a"])["ok"], ["y"])
        self.assertIs(one("kv_remove", key="a")["ok"], True)
        self.assertIs(two("kv_remove", key="a")["ok"], False)
        self.assertEqual(two("kv_get", keys=["a"])["ok"], [None])
        self.assertEqual(two("kv_get", keys=[])["ok"], [])
        self.assertTrue(one("kv_ping")["ok"])

    def lives(self):
        one, two = self.another(), self.another()
        one("kv_set", key="short", value="x", life=50)
        one("kv_set", key="none", value="x", life=0)
        one("kv_set", key="long", value="x", life=60_000)
        one("kv_set", key="renewed", value="x", life=50)
        one("kv_set", key="renewed", value="x", life=60_000)
        wait_for(lambda: two("kv_get", keys=["short"])["ok"] == [None])
        wait_for(lambda: two("kv_get", keys=["none"])["ok"] == [None])
        self.assertIs(two("kv_remove", key="short")["ok"], False)
        self.assertEqual(two("kv_get", keys=["long", "renewed"])["ok"], ["x", "x"])

    def one_limit_for_all(self):
        """However the requests are spread, exactly as many are let through as are allowed."""
        probes = [self.another(RATE_LIMIT_MAX_REQUESTS="100") for _ in range(3)]
        orders = [(probe, probe.begin("take", client="ip:10.0.0.1", count=20 + 30 * index))
                  for index, probe in enumerate(probes * 4)]
        answers = [probe.finish(order) for probe, order in orders]
        self.assertEqual(sum(answer["ok"] for answer in answers), 100)
        self.assertEqual({answer["limit"] for answer in answers}, {100})
        self.assertEqual(answers[0]["form"], self.form)
        last = probes[1]("take", client="ip:10.0.0.1")
        self.assertEqual((last["ok"], last["remaining"]), (0, 0))
        self.assertTrue(0 < last["reset"] <= 60_000, last)
        # Another client has its own.
        self.assertEqual(probes[2]("take", client="user:1")["remaining"], 99)
        self.assertEqual(probes[0]("take", client="user:1")["remaining"], 98)

    def one_limit_under_pressure(self):
        """All of them want the same count all the time."""
        probes = [self.another(RATE_LIMIT_MAX_REQUESTS="1000") for _ in range(4)]
        orders = [(probe, probe.begin("take", client="ip:10.0.0.1", count=20_000))
                  for probe in probes]
        self.assertEqual(sum(probe.finish(order)["ok"] for probe, order in orders), 1000)

    def a_window_ends(self):
        one, two = (self.another(RATE_LIMIT_MAX_REQUESTS="3", RATE_LIMIT_WINDOW_MS="3000")
                    for _ in range(2))
        for probe in (one, two):  # it has begun by then, which may take longer than the window
            probe("take", client="another")
        self.assertEqual(one("take", client="c", count=2)["ok"], 2)
        self.assertEqual(two("take", client="c", count=2)["ok"], 1)
        # Requests that are refused do not put the end off.
        wait_for(lambda: one("take", client="c")["ok"] == 1, deadline=20)
        self.assertEqual(two("take", client="c", count=5)["ok"], 2)

    def a_killed_process(self):
        one, two = self.another(), self.another()
        one.begin("take", client="busy", count=100_000)
        wait_for(lambda: two("take", client="busy")["remaining"] == 0)
        one.process.kill()
        one.process.wait()
        self.assertEqual(two("take", client="other", count=200)["ok"], 100)
        self.assertEqual(self.another()("take", client="busy")["ok"], 0)


class OnRedis(Forms):
    form = "redis"

    @classmethod
    def setUpClass(cls):
        cls.server = Single()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.server.ask("FLUSHALL")

    def another(self, **env):
        return self.probe(self.server.environment() | env).wait_up()

    test_values = Forms.values
    test_lives = Forms.lives
    test_one_limit_for_all = Forms.one_limit_for_all
    test_one_limit_under_pressure = Forms.one_limit_under_pressure
    test_a_window_ends = Forms.a_window_ends
    test_a_killed_process = Forms.a_killed_process

    def test_keys_and_lives_as_a_person_sees_them(self):
        one = self.another(RATE_LIMIT_WINDOW_MS="30000")
        one("kv_set", key="blacklist:1", value="1", life=40_000)
        one("take", client="ip:::1", count=7)
        self.assertEqual(sorted(self.server.ask("KEYS", "*")), ["blacklist:1", "rl:ip:::1"])
        self.assertTrue(39_000 < self.server.ask("PTTL", "blacklist:1") <= 40_000)
        self.assertTrue(29_000 < self.server.ask("PTTL", "rl:ip:::1") <= 30_000)
        self.assertEqual(self.server.ask("GET", "rl:ip:::1"), "7")

    def test_a_count_without_a_life_does_not_lock_its_client_out_for_ever(self):
        one = self.another(RATE_LIMIT_WINDOW_MS="30000")
        self.server.ask("SET", "rl:c", "1000")
        self.assertEqual(one("take", client="c")["ok"], 0)
        self.assertTrue(0 < self.server.ask("PTTL", "rl:c") <= 30_000)


class RedisAway(RedisTestCase):
    """The stated policy, from the moment that Redis goes until it is back."""

    def allowed(self, policy):
        server = self.start(Single())
        env = server.environment() | {"RATE_LIMIT_MAX_REQUESTS": "10"}
        if policy:
            env["RATE_LIMIT_ON_ERROR"] = policy
        one, two = (self.probe(env).wait_up() for _ in range(2))
        self.assertEqual(one("take", client="c", count=4)["ok"], 4)
        server.kill("redis")
        found = [probe("take", client="c", count=50)["ok"] for probe in (one, two)]
        self.assertEqual(one("kv_get", keys=["k"])["error"], "unavailable")
        self.assertEqual(one("ping")["error"], "unavailable")
        server.again("redis")
        for probe in (one, two):
            probe.wait_up()
        # Together again: the new server knows nothing of what was counted.
        self.assertEqual(one("take", client="c", count=6)["ok"], 6)
        self.assertEqual(two("take", client="c", count=6)["ok"], 4)
        self.assertTrue(one("ping")["ok"])
        self.assertEqual(one.close(), 0)  # its log is whole now
        told = [line for line in one.log if "Rate limiter cannot count in Redis" in line]
        self.assertEqual(len(told), 1, one.log)
        return found

    def test_each_instance_counts_alone_by_default(self):
        self.assertEqual(self.allowed(None), [10, 10])

    def test_all_are_let_through(self):
        self.assertEqual(self.allowed("allow"), [50, 50])

    def test_all_are_refused(self):
        self.assertEqual(self.allowed("deny"), [0, 0])


class Embedded(Forms):
    form = "embedded"

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="values.", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.dir)

    def another(self, **env):
        return self.probe(env, self.dir)

    test_values = Forms.values
    test_lives = Forms.lives
    test_one_limit_for_all = Forms.one_limit_for_all
    test_one_limit_under_pressure = Forms.one_limit_under_pressure
    test_a_window_ends = Forms.a_window_ends
    test_a_killed_process = Forms.a_killed_process

    def test_the_log_says_once_that_it_counts_for_this_host_alone(self):
        one = self.another()
        one("take", client="c", count=10)
        self.assertEqual(one.close(), 0)  # its log is whole now
        self.assertEqual([line for line in one.log if "Rate limiter" in line],
                         [SHARED_ALONE + " {}\n"])

    def test_nobody_else_may_read_the_files(self):
        one = self.another()
        one("kv_set", key="a", value="b", life=1000)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.dir.iterdir()}
        self.assertEqual(set(modes.values()), {0o600}, modes)
        self.assertIn("limits.bin", modes)

    def test_what_has_expired_is_swept(self):
        one = self.another()
        one("kv_set", key="old", value="x", life=1)

        def rows():
            with sqlite3.connect(self.dir / "shared.db") as database:
                return {key for key, in database.execute("SELECT key FROM shared_values")}
        self.assertEqual(rows(), {"old"})
        wait_for(lambda: one("kv_get", keys=["old"])["ok"] == [None])
        self.another()("kv_set", key="new", value="x", life=60_000)  # the first of a process
        self.assertEqual(rows(), {"new"})

    def test_counts_outlive_a_restart_of_all(self):
        one = self.another()
        self.assertEqual(one("take", client="c", count=60)["ok"], 60)
        self.assertEqual(one.close(), 0)
        self.assertEqual(self.another()("take", client="c", count=60)["ok"], 40)

    def test_more_clients_than_there_is_room_for(self):
        one = self.another(RATE_LIMIT_MAX_REQUESTS="1")
        orders = [one.begin("take", client=f"c{i}") for i in range(70_000)]
        self.assertEqual(sum(one.finish(order)["ok"] for order in orders), 70_000)
        self.assertEqual(one("take", client="c69999")["ok"], 0)

    def test_a_file_of_something_else_is_refused(self):
        (self.dir / "limits.bin").write_bytes(b"precious" * 1000)
        one = Probe({}, self.dir)
        self.assertEqual(one.close(), 2)
        self.assertIn("limits.bin: it is no file of the rate limiter", "".join(one.log))
        self.assertEqual((self.dir / "limits.bin").read_bytes(), b"precious" * 1000)

    def test_a_process_that_is_stopped_does_not_hold_the_others(self):
        one, two = self.another(), self.another()
        self.assertEqual(one("take", client="c")["ok"], 1)  # both files are open by now
        for _ in range(20):
            one.begin("take", client="c", count=2000)
            one.process.send_signal(signal.SIGSTOP)
            self.assertLess(two("take", client="c", count=50)["seconds"], 2)
            one.process.send_signal(signal.SIGCONT)
        self.assertEqual(one("take", client="c")["ok"], 0)


if __name__ == "__main__":
    unittest.main()
