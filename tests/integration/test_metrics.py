#!/usr/bin/env python3
"""Figures for Prometheus: what is served, that promtool and a real Prometheus take it, that alerts
fire, that no scraper does harm, and that counters never go backwards."""

import contextlib
import http.client
import json
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import time
import unittest
import urllib.parse

from harness import ROOT, SANITIZED, ClusterTestCase, http_answer, http_get, wait_for
import client

EXAMPLES = ROOT / "examples/monitoring"
SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
NAME = re.compile(r"\bcluster_\w+\b")
HAS_PROMETHEUS = shutil.which("prometheus") and shutil.which("promtool")
HTTP_HEAD = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"


class Figures(dict):
    """(name, frozenset of labels) -> value, of one scrape."""

    def __init__(self, text):
        super().__init__()
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            name, labels, value = SAMPLE.match(line).groups()
            key = (name, frozenset(LABEL.findall(labels or "")))
            assert key not in self, f"twice: {line}"
            self[key] = float(value)

    def all(self, name, **labels):
        return {key: value for key, value in self.items()
                if key[0] == name and set(labels.items()) <= key[1]}

    def one(self, name, **labels):
        [value] = self.all(name, **labels).values()
        return value

    def names(self):
        return {name for name, _ in self}


class MetricsTestCase(ClusterTestCase):
    def setUp(self):
        super().setUp()
        self.port = self.free_port()

    def serve(self, *apps, **settings):
        if apps:
            self.ctl("start", self.ecosystem(*apps))
        for name, value in settings.items():  # beside the address
            self.ctl("set", "metrics." + name, value)
        self.ctl("set", "metrics.listen", self.port)

    def text(self):
        status, text = http_get(self.port, "/metrics")
        self.assertEqual(status, 200, text)
        return text

    def figures(self):
        return Figures(self.text())

    def figures_then(self):
        """None while nobody answers."""
        answer = http_answer(self.port, "/metrics")
        return Figures(answer[1]) if answer and answer[0] == 200 else None

    def wait_for_figures(self, condition, what="the figures"):
        return wait_for(lambda: (now := self.figures_then()) is not None and condition(now) and now,
                        what=what)


class What(MetricsTestCase):
    def test_off_until_it_is_set_and_off_again(self):
        self.ctl("ping")
        self.assertIsNone(http_answer(self.port, "/metrics"))
        said = self.ctl("set", "metrics.listen", self.port).out
        self.assertIn(f"http://127.0.0.1:{self.port}/metrics", said)
        self.assertIn("cluster_build_info", self.text())
        self.ctl("unset", "metrics.listen")
        self.assertIsNone(http_answer(self.port, "/metrics"))

    def test_what_is_served_of_a_worker_and_its_app(self):
        port = self.free_port()
        self.serve({"name": "api", "namespace": "shop", "instances": 2, "script": "sleep 1000",
                    "listen": [f"127.0.0.1:{port}"], "max_memory_restart": "200M"})
        now = self.figures()
        for slot in "0", "1":
            of = {"app": "api", "namespace": "shop", "slot": slot}
            self.assertEqual(now.one("cluster_worker_up", **of), 1)
            self.assertEqual(now.one("cluster_worker_ready", **of), 1)
            self.assertEqual(now.one("cluster_worker_state", state="online", **of), 1)
            self.assertEqual(sum(now.all("cluster_worker_state", **of).values()), 1)
            self.assertEqual(now.one("cluster_worker_memory_limit_bytes", **of), 200 << 20)
            self.assertGreater(now.one("cluster_worker_resident_memory_bytes", **of), 1 << 20)
            self.assertGreaterEqual(now.one("cluster_worker_cpu_seconds_total", **of), 0)
            self.assertGreaterEqual(now.one("cluster_worker_tasks", **of), 1)
            age = time.time() - now.one("cluster_worker_start_time_seconds", **of)
            self.assertTrue(0 <= age < 120, age)
        self.assertEqual(now.one("cluster_app_instances_desired", app="api"), 2)
        self.assertEqual(now.one("cluster_app_instances_ready", app="api"), 2)
        self.assertEqual(now.one("cluster_app_reloads_total", app="api", outcome="done"), 0)
        self.assertGreaterEqual(now.one("cluster_app_accept_queue_limit", app="api"), 128)

        # sleep accepts nothing, so connections stay where the kernel puts them.
        with socket.create_connection(("127.0.0.1", port)), \
                socket.create_connection(("127.0.0.1", port)):
            now = self.figures()
        self.assertEqual(now.one("cluster_app_accept_queue_length", app="api",
                                 address=f"127.0.0.1:{port}"), 2)
        self.assertEqual(now.one("cluster_app_open_connections", app="api"), 2)

        self.ctl("reload", "api")
        now = self.figures()
        self.assertEqual(now.one("cluster_app_reloads_total", app="api", outcome="done"), 1)
        self.assertEqual(now.one("cluster_worker_restarts_total", app="api", slot="0"), 1)

        self.ctl("stop", "api")
        now = self.figures()
        self.assertEqual(now.one("cluster_worker_up", app="api", slot="0"), 0)
        self.assertEqual(now.one("cluster_app_instances_desired", app="api"), 0)
        self.assertEqual(now.all("cluster_worker_start_time_seconds"), {})
        self.assertEqual(
            now.one("cluster_worker_exits_total", app="api", slot="0", reason="asked"), 1)

    def test_the_daemon_itself(self):
        self.serve()
        now = self.figures()
        self.assertEqual(now.one("cluster_build_info", version=self.about()["version"]), 1)
        for process in "manager", "guardian":
            self.assertGreater(
                now.one("cluster_daemon_resident_memory_bytes", process=process), 1 << 19)
            age = time.time() - now.one("cluster_daemon_start_time_seconds", process=process)
            self.assertTrue(-2 < age < 120, age)
        self.assertTrue(5 < now.one("cluster_daemon_open_fds") < now.one("cluster_daemon_max_fds"))
        self.assertTrue(0 <= now.one("cluster_daemon_loop_lag_seconds") < 5)
        with client.Client(self.home):
            self.assertEqual(self.figures().one("cluster_daemon_clients"), 1)
        self.wait_for_figures(lambda now: now.one("cluster_daemon_clients") == 0)

    def test_ends_are_counted_by_their_reason(self):
        fails = {"name": "fails", "script": "exit 3", "max_restarts": 2, "restart_delay": 10}
        self.serve()
        self.ctl("start", self.ecosystem(fails), check=False)
        now = self.wait_for_figures(
            lambda now: now.one("cluster_worker_state", app="fails", state="errored") == 1)
        self.assertEqual(now.one("cluster_worker_exits_total", app="fails", reason="failure"), 2)
        self.assertEqual(now.one("cluster_app_instances_desired", app="fails"), 1)
        self.assertEqual(now.one("cluster_app_instances_ready", app="fails"), 0)
        [described] = self.json("describe", "fails")["processes"]
        self.assertEqual(described["restarts_last_hour"], described["restarts"])

    def test_describe_tells_memory_with_its_part_of_what_is_shared(self):
        self.ctl("start", "sleep 1000 & sleep 1000", "--name", "two")
        [described] = self.json("describe", "two")["processes"]
        self.assertTrue(0 < described["memory_pss"] < described["memory"], described)
        self.assertIn("with its part of what is shared", self.ctl("describe", "two").out)

    @unittest.skipUnless(shutil.which("node"), "node is not there")
    def test_the_lag_of_nodes_event_loop_without_code_in_the_app(self):
        script = self.dir / "app.js"
        script.write_text("""
            process.on('message', message => console.log('seen:', message));
            process.on('SIGUSR2', () => { // stands still for two seconds
                const end = Date.now() + 2000;
                while (Date.now() < end);
            });
            require('http').createServer((q, a) => a.end()).listen(process.env.PORT);
            """)
        ports = {mode: self.free_port() for mode in ("cluster", "fork")}
        self.serve(*({"name": mode, "script": str(script), "exec_mode": mode, "min_uptime": 100,
                      "env": {"PORT": str(port)}} for mode, port in ports.items()))
        for mode, port in ports.items():
            wait_for(lambda: http_answer(port), what=f"{mode} to serve")
            name = "cluster_worker_event_loop_lag_seconds"
            self.wait_for_figures(lambda now: now.all(name, app=mode), f"a lag of {mode}")
            self.wait_for_figures(lambda now: now.one(name, app=mode) < 0.5, "a small lag")
            self.ctl("sendSignal", "SIGUSR2", mode)
            self.wait_for_figures(lambda now: now.one(name, app=mode) > 1, "a large lag")
            self.wait_for_figures(lambda now: now.one(name, app=mode) < 0.5, "a small lag again")
        self.ctl("reload", "cluster")
        for path in (self.home / "logs").glob("*-out*.log"):
            self.assertNotIn("seen:", path.read_text())

    def test_names_are_escaped(self):
        self.serve({"name": 'a "b" \\ c', "script": "sleep 1000"})
        self.assertIn(r'app="a \"b\" \\ c"', self.text())

    def test_every_metric_is_documented_and_every_documented_one_exists(self):
        page = (ROOT / "docs/metrics.md").read_text()
        documented = dict(re.findall(r"^\| `(cluster_\w+)` \| (\w+) \|", page, re.MULTILINE))
        self.serve({"name": "a", "script": "sleep 1000", "memory_max": "100M",
                    "listen": [f"127.0.0.1:{self.free_port()}"]})
        types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", self.text(), re.MULTILINE))
        optional = {"cluster_worker_cgroup_memory_bytes", "cluster_worker_event_loop_lag_seconds",
                    "cluster_log_sink_lines_total", "cluster_log_sink_lost_lines_total",
                    "cluster_log_sink_connected"}
        self.assertEqual({**documented, **types}, documented)
        self.assertLessEqual(set(documented) - set(types), optional)

    def test_rules_and_dashboard_use_what_exists(self):
        served = set(re.findall(r"^\| `(cluster_\w+)` \|", (ROOT / "docs/metrics.md").read_text(),
                                re.MULTILINE))
        json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
        for name in "alerts.yml", "grafana-dashboard.json":
            used = set(NAME.findall((EXAMPLES / name).read_text()))
            with self.subTest(name):
                self.assertGreater(len(used), 5)
                self.assertEqual(used - served, set())


# They begin again with the manager, as the figures of any process do.
OF_THE_MANAGER = {"cluster_app_reloads_total", "cluster_worker_log_bytes_total",
                  "cluster_worker_log_lost_bytes_total", "cluster_worker_log_lost_lines_total"}


class NeverBackwards(MetricsTestCase):
    """What Prometheus takes for a restart of the counter, and adds up wrongly."""

    def assert_grown(self, before, after, but=()):
        counters = [key for key in before if key[0].endswith("_total")
                    and not key[0].startswith("cluster_daemon_") and key[0] not in but]
        self.assertGreater(len(counters), 5)
        for key in counters:
            self.assertGreaterEqual(after[key], before[key], key)

    def cpu(self, figures):
        return figures.one("cluster_worker_cpu_seconds_total", app="busy")

    def serve_busy(self):
        # Children that use CPU and end: reaped by their parent, and as orphans by nobody we know.
        script = self.dir / "busy.sh"
        script.write_text("while :; do (i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done);\n"
                          "  sh -c '(i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done) &'; done\n")
        self.serve({"name": "busy", "script": f"sh {script}", "min_uptime": 50})
        return self.wait_for_figures(lambda now: self.cpu(now) > 0.3, "some use of CPU")

    def test_over_children_and_restarts(self):
        last = self.serve_busy()
        for _ in range(3):
            for _ in range(3):
                wait_for(lambda: self.cpu(self.figures()) > self.cpu(last))
                now = self.figures()
                self.assert_grown(last, now)
                last = now
            self.ctl("restart", "busy")
            now = self.figures()
            self.assert_grown(last, now)
            last = now
        self.ctl("reload", "busy")
        self.assert_grown(last, self.figures())

    def test_over_a_kill_of_the_manager(self):
        self.serve_busy()
        self.ctl("restart", "busy")
        last = self.figures()
        for _ in range(2):
            self.kill_manager()
            now = self.wait_for_figures(lambda now: True, "an answer of the next manager")
            self.assert_grown(last, now, but=OF_THE_MANAGER)
            last = now
        self.assertGreater(now.one("cluster_daemon_start_time_seconds", process="manager"),
                           now.one("cluster_daemon_start_time_seconds", process="guardian"))

    def test_no_scrape_is_refused_for_long_when_the_manager_changes(self):
        self.serve()
        self.ctl("daemon-reexec")
        wait_for(lambda: http_answer(self.port, "/metrics"), deadline=5, what="an answer")


class Settings(MetricsTestCase):
    def test_a_faulty_file_is_told_and_the_rest_holds(self):
        self.home.mkdir(mode=0o700)
        (self.home / "settings.json").write_text(json.dumps(
            {"metrics": {"listen": f"127.0.0.1:{self.port}", "tokn": "x"},
             "logs": {"max_total": "many"}}))
        self.ctl("ping")
        self.assertEqual(http_answer(self.port, "/metrics")[0], 200)
        shown = self.ctl("get")
        self.assertIn("there is no setting metrics.tokn", shown.err)
        self.assertIn('logs.max_total must be bytes, such as "10G"', shown.err)
        findings = self.json("doctor", check=False)["findings"]
        self.assertEqual([one["verdict"] for one in findings if one["check"] == "settings"],
                         ["warning", "warning"])
        self.assertIn("there is no setting metrics.tokn", self.log.read_text())

    def test_no_json_at_all(self):
        self.home.mkdir(mode=0o700)
        (self.home / "settings.json").write_text("{")
        self.assertIn("is no JSON object", self.ctl("get").err)
        refused = self.ctl("set", "metrics.listen", self.port, check=False)
        self.assertEqual(refused.code, 1)
        self.assertIn("repair or remove it first", refused.err)

    def test_what_cannot_be_set_says_what_could(self):
        for name, value, words in (("metrics.lsten", "1", "known are metrics.listen"),
                                   ("metrics.listen", "everywhere", "must be a port"),
                                   ("metrics.token", "a b", "must be 1 to 512 visible"),
                                   ("metrics.tls_cert", "cert.pem", "must be the absolute path"),
                                   ("logs.max_total", "-1", "must be bytes")):
            with self.subTest(name):
                answer = self.ctl("set", name, value, check=False)
                self.assertEqual(answer.code, 1)
                self.assertIn(words, answer.err)
        self.assertFalse((self.home / "settings.json").exists())

    def test_get_set_unset_as_in_pm2(self):
        self.ctl("set", "logs:max_total", "5G")
        self.assertEqual(self.ctl("get", "logs.max_total").out.split()[-1], "5G")
        self.assertEqual(self.json("get", "logs:max_total"), "5G")
        self.ctl("set", "metrics.token", "geheim")
        self.assertNotIn("geheim", self.ctl("get").out)
        self.assertEqual(self.json("get", "metrics.token"), "geheim")
        mode = (self.home / "settings.json").stat().st_mode & 0o777
        self.assertEqual(mode, 0o600)
        self.ctl("unset", "logs.max_total")
        self.assertEqual(self.json("get", "logs.max_total"), "10G")
        self.assertEqual(self.ctl("unset", "logs.max_total", check=False).code, 1)
        self.ctl("unset", "all")
        self.assertEqual(self.ctl("get", "metrics.token", check=False).code, 1)
        self.assertEqual(self.ctl("get", "nothing", check=False).code, 1)

    def test_the_environment_wins(self):
        self.ctl("ping", env={"CLUSTER_METRICS_LISTEN": str(self.port)})
        self.assertEqual(http_answer(self.port, "/metrics")[0], 200)
        other = self.free_port()
        said = self.ctl("set", "metrics.listen", other)
        self.assertIn("CLUSTER_METRICS_LISTEN, which wins", said.err)
        self.assertIsNone(http_answer(other, "/metrics"))

    def test_a_taken_port_is_told_once_and_tried_again(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.port = taken.getsockname()[1]
            answer = self.ctl("set", "metrics.listen", self.port, check=False)
            self.assertEqual(answer.code, 1)
            self.assertIn("address already in use", answer.err)
            [found] = [one for one in self.json("doctor", check=False)["findings"]
                       if one["check"] == "metrics"]
            self.assertEqual(found["verdict"], "problem")
        wait_for(lambda: http_answer(self.port, "/metrics"), what="the listener")
        complaints = re.findall("listen at .* for metrics", self.log.read_text())
        self.assertEqual(len(complaints), 1)

    def test_open_to_the_network_without_a_token_is_warned_of(self):
        self.ctl("set", "metrics.listen", f"0.0.0.0:{self.port}")
        self.assertIn("may read them", self.log.read_text())
        self.assertIn("whoever reaches the address", self.ctl("doctor", check=False).out)
        self.ctl("set", "metrics.token", "x")
        self.assertNotIn("whoever reaches the address", self.ctl("doctor", check=False).out)


class Guarded(MetricsTestCase):
    def request(self, path="/metrics", method="GET", context=None, **headers):
        if context:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10,
                                                     context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def test_a_token(self):
        self.serve(token="geheim")
        for header, status in ((None, 401), ("geheim", 401), ("Basic geheim", 401),
                               ("Bearer gehein", 401), ("Bearer geheimer", 401), ("Bearer ", 401),
                               ("Bearer geheim", 200), ("bearer geheim", 200)):
            with self.subTest(header):
                given = {"Authorization": header} if header else {}
                answer = self.request(**given)
                self.assertEqual(answer[0], status)
        self.assertEqual(self.request("/nothing")[0], 401)
        self.assertIn("Bearer", self.request()[1]["WWW-Authenticate"])

    def test_nothing_but_get_metrics(self):
        self.serve()
        self.assertEqual(self.request("/")[0], 404)
        self.assertEqual(self.request("/metrics?x=1")[0], 200)
        self.assertEqual(self.request("/metrics/")[0], 404)
        for method in "POST", "HEAD", "DELETE":
            status, headers, _ = self.request(method=method)
            self.assertEqual((status, headers["Allow"]), (405, "GET"))
        self.assertEqual(self.raw(b"GET /metrics HTTP/1.0\r\n\r\n").partition(b"\r\n")[0],
                         b"HTTP/1.0 200 OK")

    def raw(self, request):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(request)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
            return answer

    def test_hostile_requests_leave_the_daemon_well(self):
        self.serve({"name": "a", "script": "sleep 1000"})
        self.assertIn(b" 431 ", self.raw(HTTP_HEAD + b"X: " + b"y" * 100_000 + b"\r\n\r\n"))
        self.assertIn(b" 400 ", self.raw(b"\x16\x03\x01\x02\x00\x01\x00" * 100))
        self.assertIn(b" 400 ", self.raw(b"GET /metrics\r\n\r\n"))
        self.assertEqual(self.raw(HTTP_HEAD)[:0], b"")
        # Forty that never end their question; each new one takes the place of the oldest.
        slow = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(40)]
        for connection in slow:
            with contextlib.suppress(OSError):
                connection.sendall(HTTP_HEAD)
        began = time.monotonic()
        self.assertIn("cluster_build_info", self.text())
        self.ctl("ping")
        self.assertLess(time.monotonic() - began, 3)
        # They are sent away after 5 s, whatever they send meanwhile.
        wait_for(lambda: self.open_sockets() <= 1, deadline=15, what="the end of the slow ones")
        for connection in slow:
            connection.close()
        self.assertGreater(self.figures().one("cluster_daemon_refused_scrapes_total"), 30)

    def open_sockets(self):
        """Connections that the daemon has on this port."""
        port = f":{self.port:04X}"
        rows = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
        return sum(row.split()[1].endswith(port) and row.split()[3] == "01" and
                   row.split()[9] != "0" for row in rows)

    def test_whoever_does_not_read_holds_nobody_up(self):
        self.serve({"name": "many", "script": "sleep 1000", "instances": 40})
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            lazy.connect(("127.0.0.1", self.port))
            lazy.sendall(HTTP_HEAD + b"\r\n")
            for _ in range(5):
                self.assertEqual(self.figures().one("cluster_app_instances_ready"), 40)
                self.ctl("ping")

    def certificate(self, name):
        key, cert = self.dir / f"{name}.key", self.dir / f"{name}.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", key,
                        "-out", cert, "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        return cert, key

    def maps(self):
        return pathlib.Path(f"/proc/{self.about()['pid']}/maps").read_text()

    @unittest.skipUnless(shutil.which("openssl"), "openssl is not there")
    def test_tls(self):
        cert, key = self.certificate("first")
        self.ctl("ping")
        self.assertNotIn("libssl", self.maps())  # paid for by those who use it
        self.ctl("set", "metrics.tls_cert", cert)
        incomplete = self.ctl("set", "metrics.listen", self.port)
        self.assertIsNone(http_answer(self.port, "/metrics"), incomplete)
        self.assertIn("belong together", self.ctl("get").err)
        self.assertIn("https://", self.ctl("set", "metrics.tls_key", key).out)
        trusting = ssl.create_default_context(cafile=cert)
        self.assertEqual(self.request(context=trusting)[0], 200)
        self.assertEqual(self.request(context=trusting, path="/")[0], 404)
        self.raw(b"GET /metrics HTTP/1.1\r\n\r\n")  # in the clear: refused, and no harm
        # A renewed certificate needs no command.
        newer, newer_key = self.certificate("second")
        shutil.copy(newer_key, key)
        shutil.copy(newer, cert)
        renewed = ssl.create_default_context(cafile=newer)
        self.assertEqual(self.request(context=renewed)[0], 200)
        self.kill_manager()
        wait_for(lambda: self.answers(renewed), what="an answer by TLS")

    def answers(self, context):
        with contextlib.suppress(OSError):
            return self.request(context=context)[0] == 200

    @unittest.skipUnless(shutil.which("openssl"), "openssl is not there")
    def test_a_certificate_that_is_none_is_never_served_in_the_clear(self):
        cert, key = self.certificate("one")
        cert.write_text("nothing")
        self.ctl("set", "metrics.tls_cert", cert)
        self.ctl("set", "metrics.tls_key", key)
        answer = self.ctl("set", "metrics.listen", self.port, check=False)
        self.assertEqual(answer.code, 1)
        self.assertIn(f"no certificate chain in {cert}", answer.err)
        self.assertIsNone(http_answer(self.port, "/metrics"))


@unittest.skipUnless(HAS_PROMETHEUS, "the Debian package prometheus is not there")
class Prometheus(MetricsTestCase):
    server = None

    def tearDown(self):
        if self.server:
            self.server.kill()
            self.server.wait()
        super().tearDown()

    def promtool(self, *args, **options):
        done = subprocess.run(["promtool", *map(str, args)], capture_output=True, text=True,
                              timeout=60, **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_promtool_accepts_metrics_rules_and_config(self):
        self.serve({"name": "api", "script": "sleep 1000", "memory_max": "100M",
                    "listen": [f"127.0.0.1:{self.free_port()}"]})
        self.assertEqual(self.promtool("check", "metrics", input=self.text()), "")
        self.promtool("check", "rules", EXAMPLES / "alerts.yml")
        self.promtool("check", "config", EXAMPLES / "prometheus.yml")

    def start_prometheus(self):
        """With the configuration of the example, but for the times, the port and the token."""
        text = (EXAMPLES / "prometheus.yml").read_text()
        text = text.replace("15s", "500ms").replace("127.0.0.1:9209", f"127.0.0.1:{self.port}")
        text = text.replace("# authorization:", "authorization:")
        text = text.replace("#   credentials_file: /etc/prometheus/clusterctl.token",
                            f"  credentials_file: {self.dir}/token")
        (self.dir / "token").write_text("geheim")
        (self.dir / "prometheus.yml").write_text(text)
        shutil.copy(EXAMPLES / "alerts.yml", self.dir)
        web = self.free_port()
        with open(self.dir / "prometheus.log", "wb") as log:
            self.server = subprocess.Popen(
                ["prometheus", f"--config.file={self.dir}/prometheus.yml",
                 f"--storage.tsdb.path={self.dir}/tsdb", f"--web.listen-address=127.0.0.1:{web}"],
                stdout=log, stderr=log, cwd=self.dir)
        return web

    def query(self, web, expression):
        answer = http_answer(web, "/api/v1/query?query=" + urllib.parse.quote(expression))
        if not answer or answer[0] != 200:
            return []
        return [(row["metric"], float(row["value"][1]))
                for row in json.loads(answer[1])["data"]["result"]]

    def test_a_real_server_scrapes_queries_and_alerts(self):
        self.serve({"name": "api", "script": "sleep 1000", "instances": 2}, token="geheim")
        web = self.start_prometheus()
        deadline = 60
        wait_for(lambda: self.query(web, 'up{job="clusterctl"} == 1'), deadline, "a scrape")
        [(labels, value)] = wait_for(
            lambda: self.query(web, "sum by (app) (cluster_app_instances_ready)"), deadline)
        self.assertEqual((labels["app"], value), ("api", 2))
        [(labels, _)] = wait_for(lambda: self.query(web, 'cluster_worker_up{slot="1"}'), deadline)
        self.assertEqual(labels["instance"], f"127.0.0.1:{self.port}")
        self.assertEqual(self.query(web, 'ALERTS{alertstate="firing"}'), [])

        self.kill_manager()
        self.ctl("start", "exit 1", "--name", "bad", "--max-restarts", "1", check=False)
        firing = wait_for(lambda: self.query(
            web, 'ALERTS{alertname="ClusterWorkerErrored", alertstate="firing"}'), deadline)
        self.assertEqual([labels["app"] for labels, _ in firing], ["bad"])
        wait_for(lambda: self.query(web, 'up{job="clusterctl"} == 1'), deadline, "scrapes to go on")


class Cost(MetricsTestCase):
    """A listener that nobody asks costs nothing, and many workers do not stop the loop."""

    def test_many_workers_are_scraped_in_short_turns(self):
        count = 40 if SANITIZED else 200
        self.serve({"name": "many", "script": "sleep 1000", "instances": count})
        wait_for(lambda: self.figures().one("cluster_app_instances_ready") == count)
        began = time.monotonic()
        text = self.text()
        took = time.monotonic() - began
        print(f"{count} workers: {len(text)} bytes in {took * 1000:.0f} ms", flush=True)
        self.assertLess(took, 5)


if __name__ == "__main__":
    unittest.main()
