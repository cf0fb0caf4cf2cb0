"""Each example does what it promises, with the files as they are shipped: only ports (free ones)
and the path of clusterapp (the build under test) are changed in a copy."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import unittest

from harness import BIN, ROOT, ClusterTestCase, http_answer, http_get

# Examples that are compiled first: the command, as their files say it.
BUILDS = {"cpp": "c++ -std=c++17 -O2 -pthread -o server server.cpp",
          "go": "go build server.go",
          "rust": "rustc -O server.rs"}
# The code in the pages about languages, each block behind the name of the file it is from.
PAGES = sorted((ROOT / "docs/zero-downtime").glob("*.md"))
QUOTED = re.compile(r"^<!-- (examples/\S+) -->\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Asking(threading.Thread):
    """Asks for /health without a pause, with a connection for each request, until stopped."""

    def __init__(self, port):
        super().__init__()
        self.port = port
        self.statuses = []
        self.failures = []
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            try:
                self.statuses.append(http_get(self.port, "/health")[0])
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(error)

    def stop(self):
        self.over.set()
        self.join()


class Examples(ClusterTestCase):
    def copy(self, example):
        """Copies an example into this test's directory; sets self.port."""
        self.example = self.dir / example
        shutil.copytree(ROOT / "examples" / example, self.example)
        self.port = self.free_port()
        for path in self.example.glob("ecosystem.*"):
            text = re.sub(r"\b31\d\d\b", str(self.port), path.read_text())
            # However long a busy machine takes.
            text = text.replace('"wait_ready": true', '"wait_ready": true, "listen_timeout": "60s"')
            path.write_text(text.replace("../../build/release/bin", str(BIN)))

    def build(self, example):
        """Compiles the copy; skips the test where the compiler is not there."""
        command = BUILDS[example]
        self.assertIn(command, (self.example / "ecosystem.json").read_text())
        if not shutil.which(command.split()[0]):
            self.skipTest(f"no {command.split()[0]}")
        subprocess.run(command.split(), cwd=self.example, check=True, timeout=300,
                       env=os.environ | {"GO111MODULE": "off"})

    def start(self, *args):
        self.ctl("start", *args, cwd=self.example)

    def pids(self):
        return {process["pid"] for process in self.json("list")["processes"]}

    def reloads_while_it_answers(self, file="ecosystem.json"):
        """Other processes afterwards, and no request has failed."""
        before = self.pids()
        asking = Asking(self.port)
        self.addCleanup(asking.stop)
        asking.start()
        self.wait_for(lambda: asking.statuses, what="the first answer")
        self.ctl("reload", file, cwd=self.example)
        asked = len(asking.statuses)
        self.wait_for(lambda: len(asking.statuses) > asked + 10, what="answers of the new ones")
        asking.stop()
        self.assertEqual(asking.failures, [])
        self.assertEqual(set(asking.statuses), {200})
        after = self.pids()
        self.assertEqual(len(after), len(before))
        self.assertFalse(after & before)
        self.assertEqual(self.statuses(), {"online"})

    def serves_and_reloads(self):
        """For examples that are ready when they are online, as they have declared."""
        self.start("ecosystem.json")
        pids = self.pids()
        self.assertEqual(len(pids), 2)
        status, body = http_get(self.port, "/hello")
        self.assertEqual(status, 200, body)
        self.assertIn(json.loads(body)["pid"], pids)
        self.reloads_while_it_answers()

    def statuses(self):
        return {process["status"] for process in self.json("list")["processes"]}

    def answers(self):
        """The first answer over HTTP, as JSON. Online does not always mean listening yet."""
        self.wait_for(lambda: http_answer(self.port), what="an answer")
        status, body = http_get(self.port, "/hello")
        self.assertEqual(status, 200, body)
        return json.loads(body)

    def stops_in_good_time(self, file):
        """Before the kill timeout of 5 s, so by its own choice."""
        self.ctl("stop", file, cwd=self.example)
        self.assertEqual(self.statuses(), {"stopped"})
        for process in self.json("list")["processes"]:
            self.assertNotEqual(process["exit_signal"], signal.SIGKILL)

    def test_node_http(self):
        for file, options, env in (("ecosystem.json", [], None),
                                   ("ecosystem.config.js", ["--env", "production"], "production")):
            with self.subTest(file):
                self.copy("node-http")
                self.start(file, *options)
                self.assertEqual(self.answers()["from"], "node")
                [process] = self.json("list")["processes"]
                variables = self.json("env", process["id"])["env"]
                self.assertEqual(variables.get("NODE_ENV"), env)
                self.stops_in_good_time(file)
                self.ctl("delete", file, cwd=self.example)
                shutil.rmtree(self.example)

    def test_node_cluster(self):
        self.copy("node-cluster")
        self.start("ecosystem.json")
        pids = {process["pid"] for process in self.json("list")["processes"]}
        self.assertEqual(len(pids), 2)
        seen = set()
        self.wait_for(lambda: seen.add(self.answers()["pid"]) or seen == pids, what="both")
        self.reloads_while_it_answers()
        self.stops_in_good_time("ecosystem.json")

    def test_python(self):
        for file in "ecosystem.json", "ecosystem.yaml":
            with self.subTest(file):
                self.copy("python")
                self.start(file)
                pids = {process["pid"] for process in self.json("list")["processes"]}
                self.assertEqual(len(pids), 2)
                self.assertIn(self.answers()["pid"], pids)
                self.reloads_while_it_answers(file)
                self.stops_in_good_time(file)
                self.ctl("delete", file, cwd=self.example)
                shutil.rmtree(self.example)

    def test_shell(self):
        self.copy("shell")
        self.start("ecosystem.json")
        out = self.home / "logs/shell-worker-out.log"
        self.wait_for(lambda: out.exists() and "job 2 done\n" in out.read_text(),
                      what="the second job")
        self.stops_in_good_time("ecosystem.json")
        self.wait_for(lambda: "stopping after job" in out.read_text(), what="the goodbye")

    @unittest.skipUnless(shutil.which("rsyslogd"), "there is no rsyslogd")
    def test_logging(self):
        self.example = self.dir / "logging"
        shutil.copytree(ROOT / "examples/logging", self.example)
        port = str(self.free_port())
        for name in ("ecosystem.json", "rsyslog.conf"):
            path = self.example / name
            path.write_text(path.read_text().replace("5514", port)
                            .replace("/tmp/app-logs", str(self.dir / "app-logs")))
        server = subprocess.Popen(["rsyslogd", "-n", "-f", "rsyslog.conf", "-i", "rsyslog.pid"],
                                  cwd=self.example, stderr=subprocess.DEVNULL)
        try:
            self.start("ecosystem.json")
            out = self.dir / "app-logs/chatter.log"
            self.wait_for(lambda: out.exists() and "order 0 has been paid" in out.read_text(),
                          what="a line in rsyslog's file")
            self.assertIn("info", out.read_text())
        finally:
            server.kill()
            server.wait()

    def test_cpp_app(self):
        self.copy("cpp-app")
        self.start("ecosystem.json")
        processes = self.json("list")["processes"]
        self.wait_for(lambda: http_answer(self.port), what="an answer")
        status, body = http_get(self.port, "/health")
        self.assertEqual(status, 200)
        health = json.loads(body)
        self.assertIn(health["pid"], {process["pid"] for process in processes})
        self.assertIn(health["instance"], range(len(processes)))
        self.reloads_while_it_answers()
        self.stops_in_good_time("ecosystem.json")

    def test_app_workers(self):
        self.copy("app-workers")
        self.start("ecosystem.json")
        self.assertEqual(self.statuses(), {"online"})

        def ask(method, path, body=None, token=None):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            headers = {"Content-Type": "application/json"}
            if token:
                headers["Authorization"] = f"Bearer {token}"
            connection.request(method, path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            self.assertIn(answer.status, (200, 201, 202), text)
            return json.loads(text)["data"]

        token = ask("POST", "/api/auth/register", {"email": "a@example.org", "name": "A",
                                                   "password": "correct horse"})["token"]
        project = ask("POST", "/api/projects", {"title": "T", "content": {"slides": [1, 2]}},
                      token)["id"]

        def export():
            made = ask("POST", f"/api/projects/{project}/export", token=token)["exportId"]
            self.wait_for(lambda: ask("GET", f"/api/exports/{made}", token=token)["status"] ==
                          "completed", what="the export")
        export()
        self.ctl("scale", "worker", "1")
        export()
        begin = time.monotonic()
        self.ctl("stop", "worker")
        self.assertLess(time.monotonic() - begin, 5.0)

    def test_node_esm(self):
        self.copy("node-esm")
        self.serves_and_reloads()
        for details in self.json("describe", "node-esm")["processes"]:
            self.assertEqual(details["health"], "passing")
        self.stops_in_good_time("ecosystem.json")

    def test_python_http(self):
        self.copy("python-http")
        self.serves_and_reloads()

    def test_compiled_ones(self):
        for example in BUILDS:
            with self.subTest(example):
                self.copy(example)
                self.build(example)
                self.serves_and_reloads()
                self.ctl("delete", "all")

    @unittest.skipUnless(shutil.which("javac"), "no compiler for Java")
    def test_java(self):
        self.copy("java")
        self.serves_and_reloads()

    def test_the_top_level_file(self):
        """ecosystem.json as scripts/run starts it."""
        text = (ROOT / "ecosystem.json").read_text().replace("./build/release/bin", str(BIN))
        port = self.free_port()
        (self.dir / "ecosystem.json").write_text(text.replace("127.0.0.1:3001", f"127.0.0.1:{port}"))
        self.ctl("start", "ecosystem.json")
        self.wait_for(lambda: http_answer(port), what="an answer")
        [details] = self.json("describe", "0")["processes"]
        self.assertEqual(details["max_memory_restart"], 1 << 30)
        self.assertEqual(details["kill_timeout_ms"], 5000)

    def test_each_example_is_tested(self):
        folders = {path.name for path in (ROOT / "examples").iterdir() if path.is_dir()}
        self.assertEqual(folders, {"node-http", "node-cluster", "node-esm", "python", "python-http",
                                   "shell", "cpp-app", "app-workers", "java", "logging", *BUILDS,
                                   "docker",      # that one in test_container.py
                                   "load-balancer",  # test_app_socketio_cluster.py
                                   "monitoring"})  # test_metrics.py

    def test_each_example_is_listed(self):
        listed = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "examples/README.md").read_text(),
                            re.MULTILINE)
        folders = {path.name for path in (ROOT / "examples").iterdir() if path.is_dir()}
        self.assertEqual(set(listed), folders)

    def test_the_pages_show_the_examples_as_they_are(self):
        quoted = [(page, *found) for page in PAGES for found in QUOTED.findall(page.read_text())]
        self.assertGreater(len(quoted), 8)
        for page, file, code in quoted:
            with self.subTest(f"{page.name}: {file}"):
                self.assertIn(code, (ROOT / file).read_text())


if __name__ == "__main__":
    unittest.main()
