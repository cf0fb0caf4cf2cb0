"""app/redis behind Sentinel and as a Cluster: masters that go, come back and change places, under
load. INCR counts by hand what was done twice, or lost."""

import contextlib
import signal
import unittest

from harness import wait_for
from servers_redis import Cluster, RedisError, Sentinels, answers, ask
from test_redis import RedisTestCase

PASSWORD = "of the servers"


class Failover(RedisTestCase):
    def setUp(self):
        self.servers = self.start(Sentinels(PASSWORD))

    def value(self, name, key):
        return ask(self.servers.ports[name], "GET", key, password=PASSWORD)

    def role(self, name):
        reply = answers(self.servers.ports[name], "ROLE", password=PASSWORD)
        return reply and reply[0]

    def test_a_master_killed_under_load(self):
        env = self.servers.environment()
        # The first sentinel that is asked does not exist, the second one hangs.
        sentinels = env["REDIS_SENTINEL_HOSTS"].split(",")
        env["REDIS_SENTINEL_HOSTS"] = ",".join(["127.0.0.1:1", *sentinels])
        redis = self.probe(env).wait_up()
        self.assertEqual(redis("up")["form"], "redis-sentinel")
        redis("subscribe", name="s", channels=["c"])
        wait_for(lambda: redis.connected == ["s"])
        blocked = redis.begin("blocking", command=["BLPOP", "q", "30"], limit=30_000)
        redis("load", workers=16, pace=2)
        redis.wait_ok(5000)
        self.assertEqual(redis("seen")["errors"], {})

        self.servers.kill("one")
        self.assertEqual(redis.finish(blocked)["error"], "unknown_outcome")
        redis.wait_ok(1000)
        self.assertEqual((self.servers.master(), self.role("two")), ("two", "master"))
        errors = redis("seen")["errors"]
        redis.wait_ok(10_000)
        seen = redis("stop")
        self.assertEqual(seen["errors"], errors, "errors though there is a master")
        self.assertGreater(errors["unavailable"], 0)
        wait_for(lambda: len(redis.connected) == 2)
        self.assertEqual(ask(self.servers.ports["two"], "PUBLISH", "c", "x", password=PASSWORD), 1)

        # The old master comes back as one, until the sentinels have told it; nothing goes there.
        self.servers.again("one")
        wait_for(lambda: self.role("one") == "slave", 40)
        self.assertEqual(redis.call("INCR", "after"), 1)
        self.assertEqual(self.value("two", "after"), "1")

    def test_a_planned_change_of_masters(self):
        redis = self.probe(self.servers.environment()).wait_up()
        redis("load", workers=16, pace=2)
        redis.wait_ok(2000)
        ask(self.servers.sentinels[1], "SENTINEL", "FAILOVER", "mymaster")
        wait_for(lambda: self.role("two") == "master" and self.role("one") == "slave", 40)
        redis.wait_ok(2000)
        errors = redis("seen")["errors"]
        redis.wait_ok(2000)
        self.assertEqual(redis("stop")["errors"], errors)
        port = redis.call("CONFIG", "GET", "port", key_at=0)[1]
        self.assertEqual(int(port), self.servers.ports["two"])

    def test_a_master_that_has_become_a_replica_unnoticed(self):
        """No sentinel tells of it: the refusal of a write does."""
        redis = self.probe(self.servers.environment()).wait_up()
        for index in range(3):
            self.servers.signal(f"sentinel{index}", signal.SIGSTOP)
        one, two = self.servers.ports["one"], self.servers.ports["two"]
        ask(two, "REPLICAOF", "NO", "ONE", password=PASSWORD)
        ask(one, "REPLICAOF", "127.0.0.1", two, password=PASSWORD)
        self.assertRegex(redis.call("SET", "k", "v"), "^unavailable: READONLY")
        # Once it has been good for a second, a wrong one is left.
        wait_for(lambda: redis.call("SET", "k", "v") and not redis("up")["ok"])
        ask(one, "REPLICAOF", "NO", "ONE", password=PASSWORD)
        ask(two, "REPLICAOF", "127.0.0.1", one, password=PASSWORD)
        for index in range(3):
            self.servers.signal(f"sentinel{index}", signal.SIGCONT)
        redis.wait_up()
        wait_for(lambda: redis.call("SET", "k", "v") == "OK")

    def test_one_sentinel_is_enough_and_an_unknown_master_is_told(self):
        for index in range(2):
            self.servers.kill(f"sentinel{index}")
        redis = self.probe(self.servers.environment()).wait_up()
        self.assertEqual(redis.call("SET", "k", "v"), "OK")
        other = self.probe(self.servers.environment() | {"REDIS_SENTINEL_MASTER": "nobody"})
        wait_for(lambda: any('does not know the master \\"nobody\\"' in line for line in other.log))
        self.assertFalse(other("up")["ok"])


class ClusterTests(RedisTestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers = Cluster(PASSWORD)

    @classmethod
    def tearDownClass(cls):
        cls.servers.stop()

    def setUp(self):
        wait_for(self.servers.is_ready, 30, "the Cluster to be whole")
        self.redis = self.probe(self.servers.environment()).wait_up()
        self.assertEqual(self.redis("up")["form"], "redis-cluster")

    def value(self, key):
        """Of its master, whoever that is."""
        for port in self.servers.ports:
            with contextlib.suppress(OSError, RedisError):
                return self.servers.ask(port, "GET", key)
        return None

    def slot(self, key):
        return next(answer for port in self.servers.ports
                    if (answer := answers(port, "CLUSTER", "KEYSLOT", key, password=PASSWORD))
                    is not None)

    def test_keys_of_all_servers(self):
        keys = [f"key:{i}" for i in range(200)]
        done = self.redis("pipeline", commands=[["SET", key, key] for key in keys])["ok"]
        self.assertEqual([one.get("ok") for one in done], ["OK"] * 200)
        done = self.redis("pipeline", commands=[["GET", key] for key in keys])["ok"]
        self.assertEqual([one.get("ok") for one in done], keys)
        self.assertEqual(self.redis("kv_get", keys=keys)["ok"], keys)
        # The script is loaded on each server at its first use there.
        for key in keys[:20]:
            self.assertEqual(self.redis("script", lua="return redis.call('GET', KEYS[1])",
                                        keys=[key], args=[])["ok"], key)
        failed = self.redis("script", lua="return 1", keys=["a", "b"], args=[])
        self.assertRegex(failed["what"], "^CROSSSLOT ")
        order = self.redis.begin("blocking", command=["XREAD", "BLOCK", "5000", "STREAMS", "st",
                                                      "0"], limit=5000, key_at=4)
        self.redis.call("XADD", "st", "1-1", "f", "v")
        self.assertEqual(self.redis.finish(order)["ok"], [["st", [["1-1", ["f", "v"]]]]])

    def test_messages_cross_servers(self):
        other = self.probe(self.servers.environment()).wait_up()
        self.redis("subscribe", name="s", channels=["c"])
        wait_for(lambda: self.redis.connected)
        for port in self.servers.ports[:3]:
            self.servers.ask(port, "PUBLISH", "c", str(port))
        other.call("PUBLISH", "c", "own")
        wait_for(lambda: sorted(text for *_, text in self.redis.heard) ==
                 sorted([*map(str, self.servers.ports[:3]), "own"]))

    def test_a_slot_that_moves_under_load(self):
        key = "{moving}"
        slot = self.slot(key)
        source = self.servers.owner(slot)
        masters = [port for port in self.servers.ports
                   if "master" in self.servers.ask(port, "ROLE")]
        target = next(port for port in masters if port != source)
        identity = {port: self.servers.ask(port, "CLUSTER", "MYID") for port in masters}
        names = [f"{key}:{i}" for i in range(50)]
        self.redis("pipeline", commands=[["SET", name, "v"] for name in names])
        self.redis.call("SET", f"{key}:count", "0")

        def redirected(kind):
            """How often the servers sent somebody elsewhere: INFO errorstats."""
            total = 0
            for port in masters:
                for line in self.servers.ask(port, "INFO", "errorstats").splitlines():
                    if line.startswith(f"errorstat_{kind}:count="):
                        total += int(line.split("=")[1])
            return total
        asked, moved = redirected("ASK"), redirected("MOVED")
        self.servers.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", identity[source])
        self.servers.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", identity[target])
        # In between: what has gone answers ASK, what is half gone TRYAGAIN.
        for name in names[:25]:
            self.servers.ask(source, "MIGRATE", "127.0.0.1", target, name, 0, 5000,
                             "AUTH", PASSWORD)
        done = self.redis("pipeline", commands=[["GET", name] for name in names])["ok"]
        self.assertEqual([one.get("ok") for one in done], ["v"] * 50)
        self.assertEqual(self.redis.call("SET", f"{key}:new", "n"), "OK")
        self.assertGreater(redirected("ASK"), asked)
        self.assertEqual(self.redis.call("BLPOP", f"{key}:list", "0.1"), None)
        half = self.redis.begin("call", command=["MGET", names[0], names[30]])
        for name in [*names[25:], f"{key}:count"]:
            self.servers.ask(source, "MIGRATE", "127.0.0.1", target, name, 0, 5000,
                             "AUTH", PASSWORD)
        answer = self.redis.finish(half)
        self.assertTrue(answer.get("ok") == ["v", "v"] or "TRYAGAIN" in answer["what"], answer)
        for port in [target, source, *masters]:
            self.servers.ask(port, "CLUSTER", "SETSLOT", slot, "NODE", identity[target])
        done = self.redis("pipeline", commands=[["GET", name] for name in names])["ok"]
        self.assertEqual([one.get("ok") for one in done], ["v"] * 50)
        self.assertGreater(redirected("MOVED"), moved)
        # The map knows by now: no detours any more.
        wait_for(lambda: self.goes_straight(names[0], lambda: redirected("MOVED")))

    def goes_straight(self, name, detours):
        before = detours()
        self.redis.call("GET", name)
        return detours() == before

    def test_many_keys_of_a_moving_slot_are_tried_again(self):
        """TRYAGAIN passes when the other half has followed."""
        slot = self.slot("{half}")
        source = self.servers.owner(slot)
        masters = [port for port in self.servers.ports
                   if "master" in self.servers.ask(port, "ROLE")]
        target = next(port for port in masters if port != source)
        identity = {port: self.servers.ask(port, "CLUSTER", "MYID") for port in masters}
        self.redis.call("SET", "{half}:1", "a")
        self.redis.call("SET", "{half}:2", "b")
        self.servers.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", identity[source])
        self.servers.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", identity[target])

        def move(name):
            self.servers.ask(source, "MIGRATE", "127.0.0.1", target, name, 0, 5000,
                             "AUTH", PASSWORD)
        move("{half}:1")
        answer = self.redis("call", command=["MGET", "{half}:1", "{half}:2"])
        self.assertEqual(answer.get("error"), "unavailable", answer)
        self.assertRegex(answer["what"], "^TRYAGAIN ")
        move("{half}:2")
        self.assertEqual(self.redis.call("MGET", "{half}:1", "{half}:2"), ["a", "b"])
        for port in [target, source, *masters]:
            self.servers.ask(port, "CLUSTER", "SETSLOT", slot, "NODE", identity[target])

    def test_a_master_killed_under_load(self):
        redis = self.redis
        redis("subscribe", name="s", channels=["c"])
        redis("load", workers=16, keys=300, pace=2)
        redis.wait_ok(5000)
        lost = self.servers.owner(self.slot("load:1"))
        self.servers.kill(str(lost))
        wait_for(lambda: not redis("up")["ok"])
        # The other two thirds go on all the time.
        redis.wait_ok(500)
        redis.wait_up(30)
        wait_for(self.servers.is_served, what="all servers to know of the new master")
        errors = redis("seen")["errors"]
        redis.wait_ok(10_000)
        seen = redis("stop")
        self.assertEqual({name: count for name, count in seen["errors"].items()
                          if not name.startswith("maybe")},
                         {name: count for name, count in errors.items()
                          if not name.startswith("maybe")}, "errors though all slots have a master")
        self.assertNotIn(lost, [self.servers.owner(self.slot(f"load:{i}")) for i in range(9)])
        self.assertEqual(redis("pipeline", commands=[["SET", f"x{i}", "1"] for i in range(50)])
                         ["ok"], [{"ok": "OK"}] * 50)
        wait_for(lambda: redis.connected)
        wait_for(lambda: redis.call("PUBLISH", "c", "x") is not None and redis.heard)
        self.servers.again(str(lost))
        wait_for(self.servers.is_ready, 30, "the Cluster to be whole")
        wait_for(lambda: redis("up")["ok"])

    def test_a_master_that_hangs(self):
        redis = self.probe(self.servers.environment() | {"REDIS_COMMAND_TIMEOUT_MS": "1500",
                                                         "REDIS_CONNECT_TIMEOUT_MS": "1500"})
        redis.wait_up()
        redis("load", workers=16, keys=300, pace=2)
        redis.wait_ok(2000)
        hung = self.servers.owner(self.slot("load:2"))
        self.servers.signal(str(hung), signal.SIGSTOP)
        self.addCleanup(self.servers.signal, str(hung), signal.SIGCONT)
        wait_for(lambda: redis("seen")["errors"].get("unknown_outcome", 0) > 0)
        redis.wait_up(30)
        wait_for(self.servers.is_served, 30, "all servers to know of the new master")
        redis.wait_ok(2000)
        errors = redis("seen")["errors"]
        redis.wait_ok(2000)
        self.assertEqual(redis("stop")["errors"], errors)

    def test_any_one_of_the_named_servers_is_enough(self):
        env = self.servers.environment()
        nodes = env["REDIS_CLUSTER_NODES"].split(",")
        redis = self.probe(env | {"REDIS_CLUSTER_NODES": f"127.0.0.1:1,{nodes[2]}"}).wait_up()
        self.assertEqual(redis.call("SET", "k", "v"), "OK")


if __name__ == "__main__":
    unittest.main()
