"""The background queue of the app, in each of its forms: what it must do, and what it must not lose
while workers are killed and Redis is restarted under it."""

import collections
import json
import os
import random
import signal
import subprocess
import sys
import unittest

import servers_redis
from harness import BIN, SANITIZED, ClusterTestCase, free_port, wait_for

PROBE = BIN / "queue_probe"
SETTINGS = {"QUEUE_HOLD_MS": "1500", "QUEUE_MAX_LOSSES": "1"}


class RedisServer:
    """redis-server with a file that it can be restarted from, as one that serves a queue must be."""

    def __init__(self, test):
        self.test = test
        self.port = free_port()
        self.folder = test.dir / f"redis-{self.port}"
        self.folder.mkdir()
        self.process = None
        self.start()

    def start(self):
        self.process = self.test.begin(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir",
             self.folder, "--appendonly", "yes", "--save", "", "--daemonize", "no"],
            log=self.folder / "log")
        wait_for(lambda: self.cli("PING") == "PONG", what="redis-server")

    def cli(self, *command):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *map(str, command)],
                              capture_output=True, text=True, timeout=10)
        return done.stdout.strip()

    def stop(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(20)

    @property
    def environment(self):
        return {"REDIS_URL": f"redis://127.0.0.1:{self.port}"}


class QueueTestCase(ClusterTestCase):
    def setUp(self):
        super().setUp()
        self.begun = []

    def tearDown(self):
        for process in self.begun:
            process.kill()
            process.wait(20)
        super().tearDown()

    def begin(self, command, log, **options):
        """A program that ends with the test at the latest."""
        with open(log, "ab") as out:
            self.begun.append(subprocess.Popen([*map(str, command)], stdout=out,
                                               stderr=subprocess.STDOUT, **options))
        return self.begun[-1]

    def environment(self, **settings):
        """Of a probe: nothing of the caller's but what programs need."""
        inherited = {name: os.environ[name] for name in ("PATH", "TMPDIR", "ASAN_OPTIONS")
                     if name in os.environ}
        return inherited | {"DATA_DIR": str(self.dir)} | SETTINGS | settings

    def probe(self, *arguments, environment, timeout=120):
        done = subprocess.run([PROBE, *map(str, arguments)], env=environment, text=True,
                              capture_output=True, timeout=timeout, cwd=self.dir)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def counts(self, environment):
        return json.loads(self.probe("counts", "load", environment=environment))


class Behaviour(QueueTestCase):
    SCENES = ["priorities", "delays", "ends", "failures", "losses", "returns", "waiting", "workers"]

    def check(self, environment):
        said = self.probe("suite", environment=environment)
        self.assertEqual(said.split("\n")[:-1], [f"{name} ok" for name in self.SCENES])

    def test_of_the_embedded_form(self):
        self.check(self.environment())
        self.assertTrue((self.dir / "queue.db").exists())

    def test_of_the_form_on_redis(self):
        redis = RedisServer(self)
        self.check(self.environment(**redis.environment))
        self.assertFalse((self.dir / "queue.db").exists())
        self.assertIn("{queue:", redis.cli("--scan"))

    def test_of_the_form_on_a_cluster(self):
        with servers_redis.Cluster(replicas=False) as cluster:
            self.check(self.environment(**cluster.environment()))
            used = [port for port in cluster.ports if cluster.ask(port, "DBSIZE") > 0]
            self.assertGreater(len(used), 1, "the queues are spread over the masters")


class Losses(QueueTestCase):
    """Many jobs, four workers that are killed by chance: each job is done at least once, and twice
    only where a worker was killed between beginning and telling."""

    def setUp(self):
        super().setUp()
        self.diary = self.dir / "diary"
        self.workers = []
        self.killed = set()
        self.seed = random.randrange(1 << 30)
        self.chance = random.Random(self.seed)
        print(f"seed {self.seed}", file=sys.stderr)

    def start_worker(self, environment):
        worker = self.begin([PROBE, "work", "load", self.diary], log=self.dir / "worker.log",
                            env=environment, cwd=self.dir)
        self.workers.append(worker)
        return worker

    def kill_one(self, environment):
        worker = self.chance.choice(self.workers)
        self.workers.remove(worker)
        self.killed.add(worker.pid)
        worker.kill()
        worker.wait(20)
        self.start_worker(environment)

    def lines(self):
        """(what, id, pid) in the order in which it happened."""
        if not self.diary.exists():
            return []
        return [line.split() for line in self.diary.read_text().splitlines()]

    def told(self):
        return sum(what == "told" for what, _, _ in self.lines())

    def check_diary(self, count):
        begun, did, told = (collections.defaultdict(list) for _ in range(3))
        for what, job, pid in self.lines():
            {"begin": begun, "did": did, "told": told}[what][job].append(int(pid))
        self.assertEqual(set(did), {str(number) for number in range(count)}, "done at least once")
        again = 0
        for job, pids in did.items():
            # Whoever did it without being the last to do so was killed before it could tell.
            early = [pid for pid in pids if pid not in told[job]]
            self.assertLessEqual(len(told[job]), 1, f"job {job} was taken as done twice: {pids}")
            self.assertLessEqual(set(early), self.killed, f"job {job} was done by {pids}")
            again += len(pids) - 1
        for job, pids in begun.items():
            unfinished = collections.Counter(pids) - collections.Counter(did[job])
            self.assertLessEqual(set(unfinished), self.killed, f"job {job} was begun by {pids}")
        print(f"{count} jobs, {len(self.killed)} workers killed, {again} done twice",
              file=sys.stderr)
        self.assertLessEqual(again, 4 * len(self.killed), "no more than a worker holds at a time")

    def run_load(self, count, environment, disturb):
        environment |= {"WORKER_CONCURRENCY": "4", "QUEUE_MAX_LOSSES": "1000",
                        "QUEUE_HOLD_MS": "6000"}  # longer than Redis is away
        adding = self.begin([PROBE, "add", "load", count], log=self.dir / "add.log",
                            env=environment, cwd=self.dir)
        for _ in range(4):
            self.start_worker(environment)
        for at, happen in disturb:
            wait_for(lambda: self.told() >= at, 60, f"{at} jobs")
            happen(environment)
        wait_for(lambda: (counts := self.counts(environment))["done"] == count and
                 not counts["active"] and counts, 60, "all jobs")
        self.assertEqual(adding.wait(20), 0)
        self.assertEqual(self.counts(environment), {"waiting": 0, "delayed": 0, "active": 0,
                                                    "dead": 0, "done": count})
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            self.assertEqual(worker.wait(20), 0)
        self.check_diary(count)

    def kills(self, count, times):
        """`times` kills, spread over the load."""
        return [(count * (number + 1) // (times + 1), self.kill_one) for number in range(times)]

    def test_with_redis_that_is_killed_and_restarted(self):
        redis = RedisServer(self)
        count = 1500 if SANITIZED else 10_000

        def restart(number):
            def happen(_):
                redis.stop(number)
                redis.start()
            return happen

        disturb = self.kills(count, 20) + [(count // 3, restart(signal.SIGKILL)),
                                           (count * 2 // 3, restart(signal.SIGTERM))]
        self.run_load(count, self.environment(**redis.environment),
                      sorted(disturb, key=lambda row: row[0]))

    def test_embedded(self):
        count = 500 if SANITIZED else 2000
        self.run_load(count, self.environment(), self.kills(count, 10))

    def test_a_stop_leaves_nothing_half_owned(self):
        """Workers that are told to stop in the middle: what they hold is done or waits at once."""
        for form in "embedded", "redis":
            with self.subTest(form):
                redis = RedisServer(self) if form == "redis" else None
                environment = self.environment(**(redis.environment if redis else {}))
                environment |= {"QUEUE_HOLD_MS": "60000", "WORKER_CONCURRENCY": "4"}
                self.diary = self.dir / f"diary-{form}"
                self.workers = []
                count = 4000  # more than they do before we see that they have begun
                self.probe("add", "load", count, environment=environment)
                for _ in range(2):
                    self.start_worker(environment)
                wait_for(lambda: self.told() >= 50, 30, "some jobs")
                for worker in self.workers:
                    worker.terminate()
                for worker in self.workers:
                    self.assertEqual(worker.wait(20), 0)
                counts = self.counts(environment)
                self.assertEqual((counts["active"], counts["dead"]), (0, 0), counts)
                self.assertEqual(counts["waiting"] + counts["done"], count)
                self.assertEqual(counts["done"], self.told())
                self.assertGreater(counts["waiting"], 0, "they stopped in the middle")


if __name__ == "__main__":
    unittest.main()
