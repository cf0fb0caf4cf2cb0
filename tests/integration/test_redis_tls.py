"""app/redis by TLS behind Sentinel and as a Cluster: all servers speak TLS alone, also among
themselves, and the connections come back after a failover."""

import unittest

from harness import wait_for
from servers_redis import Cluster, Sentinels, ask, self_signed
from test_redis import RedisTestCase

PASSWORD = "of the servers"


class ByTls:
    def is_refused_with_another_authority(self):
        folder = self.servers.dir / "other"
        folder.mkdir()
        cert, _ = self_signed(folder)
        other = self.probe(self.servers.environment() | {"REDIS_TLS_CA": str(cert)})
        # While the servers are there: what is refused is not them, but who vouches for them.
        wait_for(lambda: any("certificate" in line for line in other.log), what="a refusal")
        self.assertFalse(other("up")["ok"])
        self.assertRegex(other.call("GET", "k"), "^unavailable: ")


class SentinelByTls(ByTls, RedisTestCase):
    def test_a_master_killed_under_load(self):
        self.servers = self.start(Sentinels(PASSWORD, tls=True))
        redis = self.probe(self.servers.environment()).wait_up()
        self.assertEqual(redis("up")["form"], "redis-sentinel")
        self.is_refused_with_another_authority()
        redis("load", workers=8, pace=2)
        redis.wait_ok(500)
        self.assertEqual(redis("seen")["errors"], {})
        self.servers.kill("one")
        redis.wait_up(30)
        redis.wait_ok(500)
        errors = redis("seen")["errors"]
        redis.wait_ok(500)
        self.assertEqual(redis("stop")["errors"], errors, "errors though there is a master")
        self.assertEqual(redis.call("SET", "k", "v"), "OK")
        self.assertEqual(ask(self.servers.ports["two"], "GET", "k", password=PASSWORD,
                             ca=self.servers.ca), "v")


class ClusterByTls(ByTls, RedisTestCase):
    def test_a_master_killed_under_load(self):
        self.servers = self.start(Cluster(PASSWORD, tls=True))
        redis = self.probe(self.servers.environment()).wait_up()
        self.assertEqual(redis("up")["form"], "redis-cluster")
        keys = [f"key:{i}" for i in range(100)]
        done = redis("pipeline", commands=[["SET", key, key] for key in keys])["ok"]
        self.assertEqual([one.get("ok") for one in done], ["OK"] * 100)
        self.assertEqual(redis("kv_get", keys=keys)["ok"], keys)
        redis("subscribe", name="s", channels=["c"])
        wait_for(lambda: redis.connected)
        for port in self.servers.ports[:3]:
            self.servers.ask(port, "PUBLISH", "c", str(port))
        wait_for(lambda: sorted(text for *_, text in redis.heard) ==
                 sorted(map(str, self.servers.ports[:3])))
        self.is_refused_with_another_authority()
        redis("load", workers=8, keys=100, pace=2)
        redis.wait_ok(500)
        lost = self.servers.owner(0)
        self.servers.kill(str(lost))
        wait_for(lambda: not redis("up")["ok"])
        redis.wait_up(30)
        wait_for(self.servers.is_served, what="all servers to know of the new master")
        errors = redis("seen")["errors"]
        redis.wait_ok(500)
        self.assertEqual({name: count for name, count in redis("stop")["errors"].items()
                          if not name.startswith("maybe")},
                         {name: count for name, count in errors.items()
                          if not name.startswith("maybe")}, "errors though all slots have a master")
        self.assertNotEqual(self.servers.owner(0), lost)


if __name__ == "__main__":
    unittest.main()
