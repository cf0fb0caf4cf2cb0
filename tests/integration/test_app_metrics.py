"""/metrics of clusterapp: any instance answers for all of its host."""

import concurrent.futures
import contextlib
import http.client
import os
import random
import re
import signal
import socket
import subprocess
import threading
import unittest

from app_server import AppTestCase

KILLS = 8
LINE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$')


def figures(text):
    """{"name{labels}": value} of an exposition."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels, value = LINE.match(line).groups()
            key = f"{name}{{{labels}}}" if labels else name
            assert key not in found, f"{key} stands twice"
            found[key] = float(value)
    return found


def answered(values, route="/", status="200"):
    return values.get(f'http_requests_total{{route="{route}",method="GET",status="{status}"}}', 0)


class MetricsTestCase(AppTestCase):
    def instance(self, number=0, sockets=(), **env):
        settings = {"RATE_LIMIT_MAX_REQUESTS": "1000000", "ACCESS_LOG": "false",
                    "NODE_APP_INSTANCE": str(number)}
        app = self.start(sockets, **(settings | env))
        app.listens()
        return app

    def scrape(self, app, query="", **options):
        answer = app.get("/metrics" + query, **options)
        self.assertEqual(answer.status, 200, answer)
        return figures(answer.text)

    def counted(self, app, requests):
        """The figures once they hold so many answers of "/": a request is counted after its answer
        has left, so another instance may be a moment behind what a client knows."""
        return self.wait_for(
            lambda: (lambda values: answered(values) == requests and values)(self.scrape(app)),
            what=f"{requests} counted requests")

    def kill(self, app):
        os.kill(app.pid, signal.SIGKILL)
        app.process.wait()


class Sums(MetricsTestCase):
    def test_each_instance_tells_the_sum_and_on_demand_its_own_figures(self):
        apps = [self.instance(number) for number in range(3)]
        for app, requests in zip(apps, (1, 2, 4)):
            for _ in range(requests):
                self.assertEqual(app.get("/").status, 200)
        for app in apps:
            values = self.counted(app, 7)
            self.assertEqual(values["clusterapp_instances"], 3)
            self.assertEqual(values['http_request_duration_seconds_count{route="/"}'], 7)
            self.assertEqual(
                values['http_request_duration_seconds_bucket{route="/",le="+Inf"}'], 7)
            self.assertGreater(values["process_resident_memory_bytes"], 3e6)
        for number, (app, requests) in enumerate(zip(apps, (1, 2, 4))):
            alone = self.scrape(app, "?scope=instance")
            key = f'http_requests_total{{route="/",method="GET",status="200",instance="{number}"}}'
            self.assertEqual(alone[key], requests)
            self.assertTrue(all(f'instance="{number}"' in name for name in alone))
        self.assertEqual(apps[0].get("/metrics?scope=all").status, 400)

    def test_what_was_counted_outlives_who_counted_it(self):
        one, two = self.instance(0), self.instance(1)
        for app in one, one, two:
            app.get("/")
        self.counted(two, 3)
        self.kill(one)
        for _ in range(2):  # the second scrape finds the sums of the ended
            values = self.scrape(two)
            self.assertEqual(answered(values), 3)
            self.assertEqual(values["clusterapp_instances"], 1)
        two.terminate().ended()
        self.assertEqual(list(self.folder().glob("*.new")), [])
        three = self.instance(0)
        self.assertEqual(answered(self.scrape(three)), 3)
        three.get("/")
        self.assertEqual(answered(self.scrape(three)), 4)
        self.assertLessEqual(len(list(self.folder().iterdir())), 3)

    def folder(self):
        return self.dir / "data" / "metrics"

    def test_random_kills_lose_and_double_nothing(self):
        """Clients count what they were answered; the figures must agree, up to the requests that
        were under way when their instance was killed."""
        seed = random.randrange(10**9)
        chance = random.Random(seed)
        keeper = self.instance(9)
        # One socket of the host, which all workers share, as under the supervisor.
        shared = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(shared.close)
        port = shared.getsockname()[1]
        workers = [self.instance(number, [shared]) for number in range(3)]
        stop, got, broken = threading.Event(), [0] * 4, [0] * 4

        def client(index):
            while not stop.is_set():
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                with contextlib.closing(connection):
                    try:
                        for _ in range(20):
                            connection.request("GET", "/")
                            answer = connection.getresponse()
                            answer.read()
                            got[index] += answer.status == 200
                    except (OSError, http.client.HTTPException):
                        broken[index] += 1
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(client, index) for index in range(4)]
            try:
                last = 0
                for _ in range(KILLS):
                    victim = chance.randrange(3)
                    before = sum(got)
                    self.wait_for(lambda: sum(got) > before + 20, what="some load")
                    self.kill(workers[victim])
                    now = answered(self.scrape(keeper))
                    self.assertGreaterEqual(now, last, f"seed {seed}")
                    last = now
                    workers[victim] = self.instance(victim, [shared])
            finally:
                stop.set()
            for one in clients:
                one.result()
        counted = answered(self.scrape(keeper))
        # An answer may have left whose client was cut off, or be lost between socket and count.
        self.assertLessEqual(abs(counted - sum(got)), sum(broken) + KILLS * 4, f"seed {seed}")
        self.assertGreater(sum(got), 20 * KILLS)
        self.assertEqual(self.scrape(keeper)["clusterapp_instances"], 4)

    def test_an_instance_that_hangs_or_strange_files_hold_no_scrape_up(self):
        one, two = self.instance(0), self.instance(1)
        two.get("/")
        self.counted(one, 1)
        os.kill(two.pid, signal.SIGSTOP)
        (self.folder() / "1-x.figures").write_bytes(b"\xff" * 9999)
        (self.folder() / "2-x.figures").write_bytes(b"")
        own = next(self.folder().glob(f"{one.pid}-*.figures")).read_bytes()
        (self.folder() / "3-x.figures").write_bytes(own[:len(own) // 2])
        (self.folder() / "ended.figures").write_bytes(own[:40])
        os.mkfifo(self.folder() / "4-x.figures")
        self.assertEqual(answered(self.scrape(one)), 1)

    def test_a_folder_that_cannot_be_used_leaves_each_instance_its_own_figures(self):
        (self.dir / "file").write_text("")
        app = self.instance(0, METRICS_DIR=str(self.dir / "file"))
        self.assertEqual([entry["message"] for entry in app.complaints()
                          if entry["message"].startswith("metrics")],
                         ["metrics: this process counts for itself alone"])
        app.get("/")
        self.assertEqual(answered(self.scrape(app)), 1)


class Http(MetricsTestCase):
    def test_prometheus_finds_nothing_to_complain_of(self):
        app = self.instance()
        app.get("/")
        app.get("/nothing")
        app.post("/api/auth/login", {})
        answer = app.get("/metrics")
        self.assertEqual(answer.headers["content-type"],
                         "text/plain; version=0.0.4; charset=utf-8")
        checked = subprocess.run(["promtool", "check", "metrics"], input=answer.text, text=True,
                                 capture_output=True, timeout=30)
        self.assertEqual((checked.returncode, checked.stdout), (0, ""), checked.stderr)

    def test_what_the_guide_promises_is_there(self):
        app = self.instance()
        app.get("/nothing")
        app.post("/api/auth/login", {})
        values = self.scrape(app)
        names = {key.partition("{")[0] for key in values}
        for name in ("http_request_duration_seconds_bucket", "http_requests_total",
                     "http_errors_total", "http_connections_active", "http_requests_in_flight",
                     "rate_limited_total", "process_cpu_seconds_total", "process_open_fds",
                     "process_start_time_seconds", "clusterapp_build_info"):
            self.assertIn(name, names)
        self.assertEqual(values['http_errors_total{class="4xx"}'], 2)
        self.assertEqual(answered(values, "(none)", "404"), 0)
        self.assertEqual(
            values['http_requests_total{route="(none)",method="(other)",status="404"}'], 1)
        self.assertEqual(values[
            'http_requests_total{route="/api/auth/login",method="POST",status="400"}'], 1)

    def test_routes_are_patterns_so_strangers_add_no_series(self):
        app = self.instance()
        before = len(self.scrape(app))
        for number in range(50):
            app.get(f"/api/jobs/{number}")
            app.get(f"/x{number}")
        after = self.scrape(app)
        self.assertEqual(answered(after, "/api/jobs/{id}", "404"), 50)
        self.assertLessEqual(len(after) - before, 4)

    def test_who_is_turned_away_is_counted(self):
        app = self.instance(RATE_LIMIT_MAX_REQUESTS="3")
        statuses = [app.get("/api/jobs").status for _ in range(5)]
        self.assertEqual(statuses, [200] * 3 + [429] * 2)
        values = self.scrape(app)
        self.assertEqual(values["rate_limited_total"], 2)
        self.assertEqual(answered(values, "/api/jobs", "429"), 2)

    def test_connections_and_requests_under_way_are_gauges(self):
        app = self.instance()
        self.port = app.port
        idle = [self.client().get("/") for _ in range(3)]
        for client in idle:
            client.answer()
        busy = self.client().get("/slow?ms=2000")
        def figures():
            values = self.scrape(app)
            return values["http_requests_in_flight"], values["http_connections_active"]
        self.wait_for(lambda: figures() == (2, 5), what="the slow request")  # and the scrape itself
        for client in [*idle, busy]:
            client.close()
        self.wait_for(lambda: self.scrape(app)["http_connections_active"] == 1,
                      what="the end of the connections")

    def test_a_token_can_be_demanded(self):
        app = self.instance(METRICS_TOKEN="tell me")
        for headers in {}, {"Authorization": "Bearer tell m"}, {"Authorization": "Basic tell me"}:
            self.assertEqual(app.get("/metrics", headers=headers).status, 401)
        self.scrape(app, headers={"Authorization": "Bearer tell me"})


if __name__ == "__main__":
    unittest.main()
