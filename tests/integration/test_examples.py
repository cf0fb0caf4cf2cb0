"""Each example does what it promises, with the files as they are shipped: only ports (free ones)
and the path of clusterapp (the build under test) are changed in a copy."""

import json
import re
import shutil
import time
import unittest

from harness import BIN, ROOT, ClusterTestCase, http_answer, http_get


class Examples(ClusterTestCase):
    def copy(self, example):
        """Copies an example into this test's directory; sets self.port."""
        self.example = self.dir / example
        shutil.copytree(ROOT / "examples" / example, self.example)
        self.port = self.free_port()
        for path in self.example.glob("ecosystem.*"):
            text = re.sub(r"\b31\d\d\b", str(self.port), path.read_text())
            path.write_text(text.replace("../../build/release/bin", str(BIN)))

    def start(self, *args):
        self.ctl("start", *args, cwd=self.example)

    def statuses(self):
        return {process["status"] for process in self.json("list")["processes"]}

    def answers(self):
        """The first answer over HTTP, as JSON. Online does not always mean listening yet."""
        self.wait_for(lambda: http_answer(self.port), what="an answer")
        status, body = http_get(self.port, "/hello")
        self.assertEqual(status, 200, body)
        return json.loads(body)

    def stops_in_good_time(self, file):
        """Well before the kill timeout of 5 s, so by its own choice."""
        begin = time.monotonic()
        self.ctl("stop", file, cwd=self.example)
        self.assertLess(time.monotonic() - begin, 3.0)
        self.assertEqual(self.statuses(), {"stopped"})

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
        self.stops_in_good_time("ecosystem.json")

    def test_python(self):
        for file in "ecosystem.json", "ecosystem.yaml":
            with self.subTest(file):
                self.copy("python")
                self.start(file)
                pids = {process["pid"] for process in self.json("list")["processes"]}
                self.assertEqual(len(pids), 2)
                self.assertIn(self.answers()["pid"], pids)
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
        self.stops_in_good_time("ecosystem.json")

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
        self.assertEqual(folders, {"node-http", "node-cluster", "python", "shell", "cpp-app"})


if __name__ == "__main__":
    unittest.main()
