#!/usr/bin/env python3
"""Three instances of clusterapp on three ports behind nginx and HAProxy, with PostgreSQL, a replica
and Redis: the verification steps that people know from scaling guides, by curl, and what happens to
requests while one of the servers behind them goes away and comes back."""

import collections
import contextlib
import http.client
import json
import os
import subprocess
import threading
import unittest

import servers_redis
from app_people import PASSWORD, AccountsTestCase
from harness import wait_for
from servers_postgres import PostgresServer
from socketio import haproxy_program, nginx_program, start_haproxy, start_nginx

ANSWER = "%{http_code}\\n"


def curl(url, *options):
    """(status, text)"""
    done = subprocess.run(["curl", "-sS", "--max-time", "10", "-w", "\\n" + ANSWER, *options, url],
                          capture_output=True, text=True, timeout=20)
    if done.returncode != 0:
        raise AssertionError(f"curl {url}: {done.stderr}")
    text, status = done.stdout.rstrip("\n").rsplit("\n", 1)
    return int(status), text


class ScalingTestCase(AccountsTestCase):
    limit = "100000"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.postgres = PostgresServer().start()
        cls.addClassCleanup(cls.postgres.__exit__)

    def redis_servers(self):
        return servers_redis.Single()

    def setUp(self):
        super().setUp()
        self.redis = self.redis_servers()
        self.addCleanup(self.redis.stop)
        self.postgres.sql("DROP DATABASE IF EXISTS scaling WITH (FORCE)")
        self.postgres.sql("CREATE DATABASE scaling")

    def three(self, **env):
        """Three instances, each with a DATA_DIR of its own, as on three hosts."""
        settings = self.settings | self.redis.environment() | {
            "DATABASE_URL": self.url(self.postgres), "JWT_SECRET": "s" * 32,
            "RATE_LIMIT_MAX_REQUESTS": self.limit, "TRUST_PROXY": "1",
            "DATABASE_CONNECTION_LIMIT": "4", "REDIS_COMMAND_TIMEOUT_MS": "1000"} | env
        apps = [self.start(**settings | {"DATA_DIR": str(self.dir / f"data-{number}")})
                for number in range(3)]
        for app in apps:
            app.listens()
        for app in apps:
            wait_for(lambda app=app: app.get("/health/ready").status == 200,
                     what="readiness")
        return apps

    @staticmethod
    def url(server):
        return server.url.removesuffix("postgres") + "scaling"


class Verification(ScalingTestCase):
    """Step by step, with the commands of the guides."""

    limit = "100"

    def setUp(self):
        super().setUp()
        self.endings = []  # of the balancers

    def tearDown(self):
        for end in self.endings:
            end()
        super().tearDown()

    def balancers(self, apps):
        ports = [app.port for app in apps]
        found = []
        if nginx_program():
            found.append(start_nginx(self, ports))
        if haproxy_program():
            found.append(start_haproxy(self, ports))
        if not found:
            self.skipTest("neither nginx nor HAProxy is here")
        return found

    def test_the_steps_of_the_guides(self):
        apps = self.three()
        ports = self.balancers(apps)
        for app in apps:  # 1. health
            self.assertEqual(curl(f"http://127.0.0.1:{app.port}/health/ready")[0], 200)
        for port in ports:  # 2. balancing
            pids = set()
            for _ in range(12):
                status, text = curl(f"http://127.0.0.1:{port}/health/live")
                self.assertEqual(status, 200, text)
                pids.add(json.loads(text)["pid"])
            self.assertGreater(len(pids), 1)
            self.assertLessEqual(pids, {app.pid for app in apps})

        # 4. the rate limit, over any mix of ways to any instance
        ways = [*ports, *(app.port for app in apps)]
        statuses = collections.Counter(
            curl(f"http://127.0.0.1:{ways[number % len(ways)]}/api/jobs")[0]
            for number in range(130))
        self.assertEqual(statuses, {200: 100, 429: 30})
        self.assertEqual(self.redis.ask("KEYS", "rl:*"), ["rl:ip:127.0.0.1"])
        self.redis.ask("FLUSHALL")

        # 5. the blacklist: log in on 1, log out on 2, refused on 3
        account = json.dumps({"email": "user@example.com", "password": PASSWORD, "name": "User"})
        json_body = ["-H", "Content-Type: application/json", "-d", account]
        first, second, third = (f"http://127.0.0.1:{app.port}" for app in apps)
        self.assertEqual(curl(f"{third}/api/auth/register", *json_body)[0], 201)
        status, text = curl(f"{first}/api/auth/login", *json_body)
        self.assertEqual(status, 200, text)
        bearer = ["-H", "Authorization: Bearer " + json.loads(text)["data"]["token"]]
        self.assertEqual(curl(f"{third}/api/users/me", *bearer)[0], 200)
        self.assertEqual(curl(f"{second}/api/auth/logout", "-X", "POST", *bearer)[0], 200)
        status, text = curl(f"{third}/api/users/me", *bearer)
        self.assertEqual((status, json.loads(text)["success"]), (401, False))
        self.assertEqual(len(self.redis.ask("KEYS", "blacklist:*")), 1)

    def test_an_outage_is_told_the_same_way_by_the_balancers(self):
        apps = self.three(RATE_LIMIT="off")
        ports = self.balancers(apps)

        def told(number):
            found = set()
            for port in ports * number:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                with contextlib.closing(connection):
                    connection.request("GET", "/api/jobs")
                    answer = connection.getresponse()
                    code = json.load(answer).get("error", {}).get("code")
                    found.add((port, answer.status, answer.headers["Retry-After"], code))
            return found

        self.assertEqual(told(1), {(port, 200, None, None) for port in ports})
        self.addCleanup(self.postgres.start)
        self.postgres.kill()
        wait_for(lambda: all(app.get("/health/ready").status == 503 for app in apps),
                 what="readiness to end")
        away = {(port, 503, "1", "UNAVAILABLE") for port in ports}
        self.assertEqual(told(100), away)
        for app in apps:
            app.kill()
        self.assertEqual(told(20), away)

    def test_a_file_passes_the_balancers_both_ways(self):
        apps = self.three(FILES_DIR=str(self.dir / "files"))
        token = self.person(apps[0], "ada@example.com")
        content = os.urandom(5_000_000)
        for port in self.balancers(apps):
            with self.subTest(port=port):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                with contextlib.closing(connection):
                    bearer = {"Authorization": f"Bearer {token}"}
                    connection.request("POST", "/api/files?name=x", content, bearer)
                    answer = connection.getresponse()
                    text = answer.read()
                    self.assertEqual(answer.status, 201, text)
                    path = f"/api/files/{json.loads(text)['data']['id']}"
                    connection.request("GET", path, headers=bearer)
                    self.assertEqual(connection.getresponse().read(), content)

    def test_of_a_burst_over_all_instances_at_once_no_more_than_the_limit_is_answered(self):
        apps = self.three()
        statuses = collections.Counter()

        def ask(app):
            for _ in range(60):
                statuses[app.get("/api/jobs").status] += 1

        threads = [threading.Thread(target=ask, args=(app,)) for app in apps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, {200: 100, 429: 80})


class Traffic:
    """People who use all instances all the time, each in a thread: they read the job list, ask who
    they are, offer a job and apply for it. Counts what they are told."""

    def __init__(self, case, apps):
        self.case, self.apps = case, apps
        self.ended = threading.Event()
        self.statuses = collections.Counter()
        self.odd = []
        self.applied = collections.Counter()
        self.unsure = collections.Counter()  # applications whose outcome nobody told
        self.lock = threading.Lock()
        tokens = [case.person(apps[0], f"person{number}@example.com") for number in range(3)]
        self.threads = [threading.Thread(target=self.use, args=(app, token))
                        for app, token in zip(apps, tokens)]
        for thread in self.threads:
            thread.start()

    def use(self, app, token):
        try:
            while not self.ended.is_set():
                self.note("list", app.get("/api/jobs?limit=5"))
                self.note("me", app.get("/api/users/me", token=token))
                job = {"title": "T", "company": "C", "location": "L", "description": "D"}
                offered = self.note("offer", app.post("/api/jobs", job, token=token))
                if offered.status != 201:
                    continue
                job_id = offered.json["data"]["id"]
                answer = self.note("apply", app.post(f"/api/jobs/{job_id}/apply",
                                                     {"coverLetter": "x"}, token=token))
                with self.lock:
                    if answer.status == 201:
                        self.applied[job_id] += 1
                    else:
                        self.unsure[job_id] += 1
        except Exception as failure:  # told by `stop`
            self.odd.append(repr(failure))

    def note(self, what, answer):
        with self.lock:
            self.statuses[what, answer.status] += 1
            good = answer.status in (200, 201)
            away = answer.status == 503 and answer.headers.get("retry-after", "").isdigit()
            if not good and not away:
                self.odd.append(f"{what}: {answer!r}")
        return answer

    def count(self, status, *whats):
        with self.lock:
            return sum(number for (what, got), number in self.statuses.items()
                       if got == status and (not whats or what in whats))

    def goes_well(self, number=20):
        """Waits until so many more requests of each kind went well."""
        for what, status in (("list", 200), ("me", 200), ("offer", 201), ("apply", 201)):
            wanted = self.count(status, what) + number
            wait_for(lambda: self.count(status, what) >= wanted, 60,
                     f"{what} that go well: {self.statuses} {self.odd[:3]}")

    def fails(self, number=3, *whats):
        wanted = self.count(503, *whats) + number
        wait_for(lambda: self.count(503, *whats) >= wanted, 60,
                 f"answers of 503: {self.statuses} {self.odd[:3]}")

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(60)
        self.case.assertEqual(self.odd, [])
        self.case.assertFalse([thread for thread in self.threads if thread.is_alive()])


class Outages(ScalingTestCase):
    def traffic(self, apps):
        traffic = Traffic(self, apps)
        self.addCleanup(traffic.ended.set)
        traffic.goes_well()
        return traffic

    def sql(self, query):
        return int(self.postgres.sql(query, database="scaling")[0])

    def assert_nothing_half_done(self, traffic):
        """Every application that was acknowledged is there, once, and the three tables that one
        transaction changes agree."""
        rows = self.sql("SELECT count(*) FROM applications")
        self.assertEqual(self.sql("SELECT sum(applications) FROM jobs"), rows)
        self.assertEqual(self.sql("SELECT count(*) FROM application_history"), rows)
        sure = sum(traffic.applied.values())
        self.assertLessEqual(sure, rows)
        self.assertLessEqual(rows, sure + sum(traffic.unsure.values()))
        listed = ", ".join(f"'{job}'" for job in traffic.applied)
        self.assertEqual(self.sql("SELECT count(*) FROM applications WHERE job_id IN "
                                  f"({listed})"), sure)

    def test_postgresql_restarted_and_killed_under_load(self):
        traffic = self.traffic(self.three())
        self.postgres.restart()
        traffic.goes_well()
        self.postgres.kill()
        traffic.fails(3, "list")
        self.assertEqual(curl(f"http://127.0.0.1:{traffic.apps[1].port}/health/ready")[0], 503)
        self.postgres.start()
        traffic.goes_well()
        traffic.stop()
        self.assert_nothing_half_done(traffic)

    def test_a_replica_that_stops_under_load_is_not_noticed(self):
        with self.postgres.replica() as replica:
            traffic = self.traffic(self.three(DATABASE_REPLICA_URLS=self.url(replica)))
            replica.stop()
            traffic.goes_well()
            replica.start()
            traffic.goes_well()
            traffic.stop()
        self.assertEqual(traffic.count(503), 0, traffic.statuses)
        self.assert_nothing_half_done(traffic)

    def test_without_redis_the_stated_policy_holds_until_it_is_back(self):
        """Requests are counted by each instance alone, and nobody's token is trusted."""
        traffic = self.traffic(self.three())
        self.redis.kill("redis")
        traffic.fails(6, "me")
        wanted = traffic.count(200, "list") + 20
        wait_for(lambda: traffic.count(200, "list") >= wanted, what="lists without Redis")
        app = traffic.apps[0]
        self.assertEqual(app.get("/api/jobs").headers["ratelimit-limit"], self.limit)
        wait_for(lambda: app.get("/health/ready").status == 503, what="not ready")
        self.assertEqual(app.get("/health/live").status, 200)
        self.redis.again("redis")
        traffic.goes_well()
        wait_for(lambda: app.get("/health/ready").status == 200, what="ready again")
        traffic.stop()
        self.assertEqual(traffic.count(503, "list"), 0, traffic.statuses)
        self.assert_nothing_half_done(traffic)


class SentinelFailover(Outages):
    def redis_servers(self):
        return servers_redis.Sentinels()

    test_postgresql_restarted_and_killed_under_load = None
    test_a_replica_that_stops_under_load_is_not_noticed = None
    test_without_redis_the_stated_policy_holds_until_it_is_back = None

    def test_the_master_killed_under_load_is_replaced(self):
        traffic = self.traffic(self.three())
        master = self.redis.master()
        self.redis.kill(master)
        traffic.fails(1, "me")
        wait_for(lambda: self.redis.master() not in (None, master), 60, "another master")
        traffic.goes_well()
        traffic.stop()
        self.assertEqual(traffic.count(503, "list"), 0, traffic.statuses)
        self.assert_nothing_half_done(traffic)


class ClusterFailover(Outages):
    def redis_servers(self):
        return servers_redis.Cluster()

    test_postgresql_restarted_and_killed_under_load = None
    test_a_replica_that_stops_under_load_is_not_noticed = None
    test_without_redis_the_stated_policy_holds_until_it_is_back = None

    def test_a_master_killed_under_load_is_replaced(self):
        traffic = self.traffic(self.three())
        self.redis.kill(next(iter(self.redis.processes)))
        wait_for(lambda: traffic.apps[0].get("/health/ready").status in (200, 503), what="health")
        traffic.goes_well(60)
        traffic.stop()
        self.assertEqual(traffic.count(503, "list"), 0, traffic.statuses)
        self.assert_nothing_half_done(traffic)


if __name__ == "__main__":
    unittest.main()
