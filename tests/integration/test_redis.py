"""app/redis against one real server, and against servers that misbehave."""

import contextlib
import signal
import socket
import threading
import time
import unittest

from harness import wait_for
from redis_probe import Probe
from servers_redis import PASSWORD, Client, Single, self_signed


class RedisTestCase(unittest.TestCase):
    maxDiff = None

    def start(self, server):
        self.addCleanup(server.stop)
        return server

    def probe(self, env, *args):
        probe = Probe(env, *args)
        self.addCleanup(self.close, probe)
        return probe

    def close(self, probe):
        self.assertEqual(probe.close(), 0, "".join(probe.log))

    def check_counts(self, seen, value_of):
        """Each INCR that was answered was done, and none was done that could not have been."""
        for key, done in seen["done"].items():
            got = int(value_of(key) or 0)
            self.assertGreaterEqual(got, done, f"{key}: an answered INCR is lost")
            self.assertLessEqual(got, done + seen["errors"].get(f"maybe:{key}", 0),
                                 f"{key}: an INCR was done twice, or though it was refused")


class OneServer(RedisTestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Single(PASSWORD, unix=True)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.server.ask("FLUSHALL")
        self.redis = self.probe(self.server.environment()).wait_up()

    def test_commands_and_their_answers(self):
        self.assertEqual(self.redis.call("SET", "k", "a \u00fc\r\nb"), "OK")
        self.assertEqual(self.redis.call("GET", "k"), "a \u00fc\r\nb")
        self.assertIsNone(self.redis.call("GET", "none"))
        self.assertEqual(self.redis.call("RPUSH", "list", 1, 2), 2)
        self.assertEqual(self.redis.call("LRANGE", "list", 0, -1), ["1", "2"])
        self.assertEqual(self.redis.call("INCR", "list"),
                         "refused: WRONGTYPE Operation against a key holding the wrong kind of value")
        up = self.redis("up")
        self.assertEqual((up["ok"], up["form"]), (True, "redis"))
        names = [line for line in self.server.ask("CLIENT", "LIST").splitlines()
                 if " name=clusterapp " in line]
        self.assertEqual(len(names), 1)

    def test_a_pipeline_has_an_outcome_for_each(self):
        done = self.redis("pipeline", commands=[["SET", "a", "1"], ["LPUSH", "a", "x"],
                                                ["INCR", "a"], ["GET", "none"]])["ok"]
        self.assertEqual([one.get("ok") for one in done], ["OK", None, 2, None])
        self.assertEqual([one.get("error") for one in done], [None, "refused", None, None])
        self.assertEqual(self.redis("pipeline", commands=[])["ok"], [])

    def test_calls_of_one_turn_leave_in_one_write(self):
        def figure(name):
            rows = dict(line.split(":") for line in self.server.ask("INFO", "stats").splitlines()
                        if ":" in line)
            return int(rows[name])
        before = figure("total_commands_processed"), figure("total_reads_processed")
        self.redis("load", workers=64)
        self.redis.wait_ok(20_000)
        self.redis("stop")
        commands = figure("total_commands_processed") - before[0]
        reads = figure("total_reads_processed") - before[1]
        self.assertGreater(commands, 20 * reads, f"{commands} commands came in {reads} reads")

    def test_a_script_that_the_server_has_forgotten(self):
        order = {"lua": "return {KEYS[1], ARGV[1]}", "keys": ["k"], "args": ["v"]}
        for _ in range(2):
            self.assertEqual(self.redis("script", **order)["ok"], ["k", "v"])
            self.server.ask("SCRIPT", "FLUSH")
        failed = self.redis("script", lua="return redis.error_reply('NO way')", keys=[], args=[])
        self.assertEqual((failed["error"], failed["what"]), ("refused", "NO way"))

    def test_blocking_calls_wait_beside_the_others_and_keep_their_connection(self):
        for value in ("1", "2", "3"):
            order = self.redis.begin("blocking", command=["BLPOP", "q", "10"], limit=10_000)
            wait_for(lambda: " cmd=blpop" in self.server.ask("CLIENT", "LIST"))
            self.assertEqual(self.redis.call("RPUSH", "q", value), 1)  # not behind it
            self.assertEqual(self.redis.finish(order)["ok"], ["q", value])
        # One for commands, one kept for blocking calls, and the one that asks.
        self.assertEqual(len(self.server.ask("CLIENT", "LIST").splitlines()), 3)
        self.assertIsNone(self.redis("blocking", command=["BLPOP", "q", "0.1"], limit=100)["ok"])

    def test_a_caller_that_gives_up_leaves_nothing_behind(self):
        redis = self.probe(self.server.environment() | {"REDIS_COMMAND_TIMEOUT_MS": "30000"})
        redis.wait_up()
        self.server.signal("redis", signal.SIGSTOP)
        try:
            answers = [redis.begin("call", command=["GET", "k"], within=20) for _ in range(50)]
            for order in answers:
                self.assertEqual(redis.finish(order)["ok"], "given up")
        finally:
            self.server.signal("redis", signal.SIGCONT)
        # The answers that come late are dropped: those who come after get their own.
        self.assertEqual(redis.call("SET", "k", "own"), "OK")
        self.assertEqual(redis.call("GET", "k"), "own")

    def test_subscriptions(self):
        self.redis("subscribe", name="one", channels=["a", "b"], patterns=["p*"])
        wait_for(lambda: self.redis.connected == ["one"])
        self.assertEqual(self.server.ask("PUBLISH", "a", "x\r\ny"), 1)
        self.assertEqual(self.server.ask("PUBLISH", "pq", "z"), 1)
        self.assertEqual(self.server.ask("PUBLISH", "other", "z"), 0)
        wait_for(lambda: len(self.redis.heard) == 2)
        self.assertEqual(self.redis.heard, [("one", "", "a", "x\r\ny"), ("one", "p*", "pq", "z")])
        self.redis("listen", name="one", add="later", remove="b")
        wait_for(lambda: self.server.ask("PUBSUB", "NUMSUB", "later", "b") == ["later", 1, "b", 0])
        # After a break all of it holds again, and who listens is told.
        self.server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        wait_for(lambda: self.redis.connected == ["one", "one"])
        self.assertEqual(self.server.ask("PUBSUB", "NUMSUB", "a", "later", "b"),
                         ["a", 1, "later", 1, "b", 0])
        self.redis("unsubscribe", name="one")
        wait_for(lambda: self.server.ask("PUBSUB", "NUMSUB", "a") == ["a", 0])

    def test_an_idle_connection_that_the_server_closes_costs_no_error(self):
        def number():
            return [line.split()[0] for line in self.server.ask("CLIENT", "LIST").splitlines()
                    if " name=clusterapp " in line]
        for _ in range(20):
            before = number()
            self.server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            wait_for(lambda old=before: number() not in ([], old), what="the next connection")
            self.assertEqual(self.redis.call("SET", "k", "v"), "OK")

    def test_other_ways_to_the_same_server(self):
        for url in (f"unix://{self.server.path}", f"redis://localhost:{self.server.port}/3"):
            with self.subTest(url=url):
                other = self.probe({"REDIS_URL": url, "REDIS_PASSWORD": PASSWORD}).wait_up()
                other.call("SET", "here", url)
        self.assertEqual(self.redis.call("GET", "here"), f"unix://{self.server.path}")
        self.assertEqual(self.server.ask("SELECT", "3"), "OK")
        with Client(self.server.port, PASSWORD) as client:
            client("SELECT", "3")
            self.assertEqual(client("GET", "here"), f"redis://localhost:{self.server.port}/3")

    def test_an_acl_user(self):
        self.server.ask("ACL", "SETUSER", "app", "on", ">p@ss", "~app:*", "+@all", "-flushall")
        url = f"redis://app:p%40ss@127.0.0.1:{self.server.port}"
        other = self.probe({"REDIS_URL": url}).wait_up()
        self.assertEqual(other.call("SET", "app:x", "1"), "OK")
        self.assertRegex(other.call("SET", "x", "1"), "^refused: NOPERM ")


class Faults(RedisTestCase):
    def test_a_wrong_password_is_told_and_mended_without_a_restart(self):
        server = self.start(Single(PASSWORD))
        redis = self.probe(server.environment() | {"REDIS_PASSWORD": "hush"})
        wait_for(lambda: any("WRONGPASS" in line for line in redis.log))
        self.assertRegex(redis.call("GET", "k"), "^unavailable: .*WRONGPASS")
        self.assertFalse(redis("up")["ok"])
        self.assertNotIn("hush", "".join(redis.log))
        server.ask("CONFIG", "SET", "requirepass", "hush")
        redis.wait_up()
        self.assertEqual(redis.call("SET", "k", "v"), "OK")

    def test_a_server_that_is_not_there_is_found_when_it_comes(self):
        server = self.start(Single())
        server.kill("redis")
        redis = self.probe(server.environment())
        wait_for(lambda: redis.call("GET", "k").startswith("unavailable: "))
        wait_for(lambda: any("connection refused" in line for line in redis.log))
        begun = time.monotonic()
        self.assertRegex(redis.call("GET", "k"), "^unavailable: .*connection refused")
        self.assertLess(time.monotonic() - begun, 1)
        server.again("redis")
        redis.wait_up()
        # One line for each kind of trouble, not one for each try.
        self.assertLess(len([line for line in redis.log if "lost" in line]), 4, redis.log)

    def test_a_server_killed_under_load(self):
        server = self.start(Single())
        redis = self.probe(server.environment()).wait_up()
        redis("subscribe", name="s", channels=["c"])
        redis("load", workers=32)
        redis.wait_ok(5000)
        server.signal("redis", signal.SIGSTOP)
        server.kill("redis")
        wait_for(lambda: redis("seen")["errors"].get("unavailable", 0) > 100)
        server.again("redis")
        redis.wait_ok(5000)
        errors = redis("seen")["errors"]
        redis.wait_ok(20_000)
        seen = redis("stop")
        self.assertEqual(seen["errors"], errors, "errors though the server is back")
        wait_for(lambda: redis.connected == ["s", "s"])
        self.assertEqual(server.ask("PUBLISH", "c", "again"), 1)
        wait_for(lambda: redis.heard == [("s", "", "c", "again")])

    def test_a_server_that_hangs(self):
        server = self.start(Single())
        redis = self.probe(server.environment() | {"REDIS_COMMAND_TIMEOUT_MS": "300",
                                                   "REDIS_CONNECT_TIMEOUT_MS": "300"}).wait_up()
        redis("load", workers=16)
        redis.wait_ok(1000)
        server.signal("redis", signal.SIGSTOP)
        wait_for(lambda: redis("seen")["errors"].get("unknown_outcome", 0) >= 16)
        # From now on nobody waits, but for the first call after each try to connect.
        wait_for(lambda: redis("seen")["errors"].get("unavailable", 0) > 500)
        self.assertFalse(redis("up")["ok"])
        server.signal("redis", signal.SIGCONT)
        redis.wait_ok(2000)
        seen = redis("stop")
        self.check_counts(seen, lambda key: server.ask("GET", key))

    def test_more_calls_than_may_wait(self):
        server = self.start(Single())
        # The time in which the server stands still is in the limit.
        redis = self.probe(server.environment() | {"REDIS_COMMAND_TIMEOUT_MS": "30000"}).wait_up()
        server.signal("redis", signal.SIGSTOP)
        order = redis.begin("pipeline", commands=[["INCR", "n"]] * 10_500)
        wait_for(lambda: redis.call("GET", "n") == "overloaded: redis 127.0.0.1:"
                 f"{server.port}: too many calls are waiting")
        server.signal("redis", signal.SIGCONT)
        done = redis.finish(order)["ok"]
        kinds = [one.get("error") for one in done]
        self.assertEqual(kinds, [None] * 10_000 + ["overloaded"] * 500)
        self.assertEqual(redis.call("GET", "n"), "10000")


class Tls(RedisTestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Single(PASSWORD, tls=True)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def refused(self, why, **env):
        redis = self.probe(self.server.environment() | env)
        wait_for(lambda: any(why in line for line in redis.log), what=f"{why}: {redis.log}")
        self.assertFalse(redis("up")["ok"])
        self.assertRegex(redis.call("GET", "k"), "^unavailable: ")

    def test_with_the_right_authority(self):
        redis = self.probe(self.server.environment()).wait_up()
        redis.call("SET", "k", "v" * 100_000)
        self.assertEqual(redis.call("STRLEN", "k"), 100_000)
        self.assertEqual(len(redis.call("GET", "k")), 100_000)
        redis("load", workers=32)
        redis.wait_ok(5000)
        self.assertEqual(redis("stop")["errors"], {})

    def test_with_a_certificate_of_its_own(self):
        key = self.server.dir / "redis.key"
        redis = self.probe(self.server.environment() | {"REDIS_TLS_CERT": str(self.server.ca),
                                                        "REDIS_TLS_KEY": str(key)}).wait_up()
        self.assertEqual(redis.call("PING", key_at=0), "PONG")

    def test_another_authority_is_refused(self):
        folder = self.server.dir / "other"
        folder.mkdir()
        cert, _ = self_signed(folder)
        self.refused("certificate", REDIS_TLS_CA=str(cert))
        self.refused("certificate", REDIS_TLS_CA="")

    def test_another_name_is_refused(self):
        other = self.start(Single(tls=True, name="redis.example"))
        redis = self.probe(other.environment())
        wait_for(lambda: any("certificate" in line for line in redis.log), what="a refusal")
        self.assertFalse(redis("up")["ok"])

    def test_a_server_without_tls(self):
        plain = self.start(Single())
        redis = self.probe({"REDIS_URL": f"rediss://127.0.0.1:{plain.port}",
                            "REDIS_CONNECT_TIMEOUT_MS": "500"})
        wait_for(lambda: any("lost" in line for line in redis.log), what="a refusal")
        self.assertFalse(redis("up")["ok"])


class FakeServer:
    """Answers the greeting; what it does with the next command, `behave(connection, words)` says:
    bytes to send, or None to hang up."""

    def __init__(self, behave):
        self.behave = behave
        self.seen = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with connection, connection.makefile("rb") as file, contextlib.suppress(OSError):
            while line := file.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int(file.readline()[1:])
                    words.append(file.read(size + 2)[:-2].decode())
                if words[0] == "CLIENT":
                    connection.sendall(b"+OK\r\n")
                    continue
                self.seen.append(words)
                answer = self.behave(words)
                if answer is None:
                    return
                connection.sendall(answer)

    def stop(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(timeout=5)


class BadServers(RedisTestCase):
    def fake(self, behave, **env):
        server = self.start(FakeServer(behave))
        self.env = {"REDIS_URL": f"redis://127.0.0.1:{server.port}",
                    "REDIS_COMMAND_TIMEOUT_MS": "1000"} | env
        self.redis = self.probe(self.env).wait_up()
        return server

    def test_an_incr_without_an_answer_is_not_sent_again(self):
        server = self.fake(lambda words: None if words[0] == "INCR" else b"+PONG\r\n")
        self.assertRegex(self.redis.call("INCR", "n"), "^unknown_outcome: ")
        self.redis.wait_up()
        self.assertEqual(self.redis.call("PING", key_at=0), "PONG")
        self.assertEqual([words for words in server.seen if words[0] == "INCR"], [["INCR", "n"]])

    def test_reads_and_same_writes_of_shared_values_are_tried_again(self):
        lost = []

        def behave(words):
            if words[0] not in lost:
                lost.append(words[0])
                return None
            return {"GET": b"$1\r\nv\r\n", "SET": b"+OK\r\n", "DEL": b":1\r\n"}[words[0]]
        server = self.fake(behave)
        self.assertEqual(self.redis("kv_get", keys=["k"])["ok"], ["v"])
        self.assertTrue(self.redis("kv_set", key="k", value="v", life=1000)["ok"])
        self.assertEqual(self.redis("kv_remove", key="k")["error"], "unknown_outcome")
        self.assertEqual([words[0] for words in server.seen], ["GET", "GET", "SET", "SET", "DEL"])

    def test_garbage(self):
        for garbage in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*99999999999\r\n", b"*3000000\r\n",
                        b"$-7\r\n", b"\0\0\0\0", b"*1\r\n" * 50, b"+OK\r\n+OK\r\n+OK\r\n"):
            with self.subTest(garbage=garbage):
                self.fake(lambda words, answer=garbage: answer)
                answer = self.redis.call("GET", "k")
                if not garbage.startswith(b"+OK"):  # one answer for one call is fine; more is not
                    self.assertRegex(answer, "^unknown_outcome: ")
                wait_for(lambda: any("lost" in line for line in self.redis.log))
                self.redis.wait_up()

    def test_an_answer_that_never_ends(self):
        self.fake(lambda words: b"$1000000\r\nabc")
        begun = time.monotonic()
        self.assertRegex(self.redis.call("GET", "k"), "^unknown_outcome: .*no answer in time")
        self.assertLess(time.monotonic() - begun, 4)

    def test_a_server_that_hangs_up_at_once_is_not_called_without_a_pause(self):
        accepted = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()
                    accepted.append(time.monotonic())
        threading.Thread(target=serve, daemon=True).start()
        self.probe({"REDIS_URL": f"redis://127.0.0.1:{listener.getsockname()[1]}"})
        wait_for(lambda: len(accepted) >= 5)
        # The pauses are at least 25, 50, 100 and 200 ms.
        self.assertGreater(accepted[4] - accepted[0], 0.37)
        listener.shutdown(socket.SHUT_RDWR)


class Settings(RedisTestCase):
    def test_a_fault_is_told_without_the_secret(self):
        redis = Probe({"REDIS_URL": "redis://:hush@h:x", "REDIS_TLS": "maybe"})
        self.assertEqual(redis.close(), 2)
        log = "".join(redis.log)
        self.assertIn("REDIS_URL must be", log)
        self.assertIn("REDIS_TLS must be", log)
        self.assertNotIn("hush", log)


if __name__ == "__main__":
    unittest.main()
