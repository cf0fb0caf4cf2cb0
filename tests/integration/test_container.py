#!/usr/bin/env python3
"""`clusterctl run` as pid 1 of a pid namespace; examples/docker as far as it goes without Docker."""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import time
import unittest

from foreground import LINES, REFUSED, NamespaceTestCase, app, counting, once, until_told
from harness import BIN, ROOT, http_answer, wait_for

try:
    import yaml
except ImportError:
    yaml = None

DOCKER = ROOT / "examples/docker"


@unittest.skipIf(REFUSED, f"no pid namespaces: {REFUSED}")
class AsPid1(NamespaceTestCase):
    def test_exit_codes(self):
        for code, script in ((0, "exit 0"), (3, "exit 3"), (137, "kill -9 $$")):
            with self.subTest(script):
                self.assert_code(self.run_apps(once("a", script)), code)

    def test_it_is_pid_1_and_has_the_output(self):
        process = self.run_apps(app("a", "echo $PPID; cat /proc/1/cmdline | tr '\\0' ' '; echo;" +
                                    until_told()))
        self.await_text("up\n")
        self.assertRegex(self.out.read_text(), r"clusterctl run .*ecosystem.json")
        self.end(process)

    def test_sigterm_ends_in_order_within_the_grace_period(self):
        ends = self.dir / "ends"
        process = self.run_apps(
            app("db", until_told(f"echo db >> {ends}; exit 0")),
            app("api", until_told(f"echo api >> {ends}; exit 0"), depends_on=["db"]))
        self.await_text("up\n", 2)
        begin = time.monotonic()
        self.end(process)
        self.assertEqual(ends.read_text().split(), ["api", "db"])
        self.assertLess(time.monotonic() - begin, 10)

    @unittest.skipUnless(shutil.which("node"), "there is no node")
    def test_a_signal_while_the_file_is_being_read_is_not_lost(self):
        file = self.dir / "ecosystem.config.js"
        apps = json.dumps({"apps": [app("a", until_told())]})
        file.write_text(f"""const fs = require("fs"), here = {json.dumps(str(self.dir))};
            fs.writeFileSync(here + "/reading", "");
            while (!fs.existsSync(here + "/go")) ;
            module.exports = {apps};""")
        process = self.run_apps(target=file)
        wait_for((self.dir / "reading").exists, what="the reader")
        os.kill(self.init(process), signal.SIGTERM)
        (self.dir / "go").touch()
        self.assert_code(process, 0)

    @unittest.skipUnless(shutil.which("node"), "there is no node")
    def test_a_health_check_that_comes_early_waits_for_the_daemon(self):
        file = self.dir / "ecosystem.config.js"
        apps = json.dumps({"apps": [app("a", until_told())]})
        file.write_text(f"""const fs = require("fs"), here = {json.dumps(str(self.dir))};
            fs.writeFileSync(here + "/reading", "");
            while (!fs.existsSync(here + "/go")) ;
            module.exports = {apps};""")
        process = self.run_apps(target=file)
        wait_for((self.dir / "reading").exists, what="the reader")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            check = pool.submit(self.ctl_inside, process, "ping")
            wait_for(lambda: self.inside(process, "pgrep", "-fx", ".*clusterctl ping").stdout,
                     what="the question")
            (self.dir / "go").touch()
            self.assertIn("pong", check.result())
        self.await_text("up\n")
        self.end(process)

    def test_orphans_are_reaped(self):
        # A child that leaves session and tree, and ends: with the daemon as its next parent, and
        # once that is dead with us.
        orphans = "for i in 1 2 3 4 5; do (setsid sleep 0.7 &) ; done; " + until_told()
        process = self.run_apps(app("a", orphans))
        self.await_text("up\n")
        slept = lambda: not self.inside(process, "pgrep", "-fx", "sleep 0.7").stdout
        wait_for(slept, what="their ends")
        wait_for(lambda: not self.zombies(process), what="no zombies")
        # One whose parent dies when there is nobody else left than pid 1.
        done = self.inside(process, "sh", "-c", "unset CLUSTER_HOME; (sleep 0.7 &)")
        self.assertEqual(done.returncode, 0, done.stderr)
        wait_for(slept, what="its end")
        wait_for(lambda: not self.zombies(process), what="no zombies")
        self.end(process)

    def test_kill_9_of_manager_guardian_and_both(self):
        process = self.run_apps(app("a", until_told()))
        self.await_text("up\n")
        listed = lambda: json.loads(self.ctl_inside(process, "list", "--json"))["processes"]
        before = listed()
        def daemons():
            lines = self.inside(process, "pgrep", "-x", "clusterd").stdout.split()
            return len(lines) == 2 and lines
        for which in ([1], [0], [0, 1]):
            victims = [wait_for(daemons, what="two daemons")[at] for at in which]
            self.inside(process, "kill", "-9", *victims)
            def others():
                now = daemons()
                return now and not set(now) & set(victims)
            wait_for(others, what="other daemons")
            self.assertEqual([row["pid"] for row in listed()], [row["pid"] for row in before])
            wait_for(lambda: not self.zombies(process), what="no zombies")
        self.end(process)

    def test_commands_from_inside(self):
        process = self.run_apps(app("a", until_told(), instances=2))
        self.await_text("up\n", 2)
        self.assertIn("online", self.ctl_inside(process, "list"))
        self.ctl_inside(process, "reload", "a")
        self.await_text("up\n", 4)
        self.ctl_inside(process, "restart", "0")
        self.await_text("up\n", 5)
        self.ctl_inside(process, "ping")
        self.end(process)

    def test_start_no_daemon(self):
        process = self.run_apps(app("a", until_told()), command=("start", "--no-daemon"))
        self.await_text("up\n")
        self.end(process)

    def test_every_line_once(self):
        count = LINES // 5
        process = self.run_apps(counting("one", count), counting("two", count), options=["--json"])
        self.assert_code(process, 0)
        of = {"one": [], "two": []}
        for line in map(json.loads, self.out.read_text().splitlines()):
            of[line["app"]].append(line["message"])
        for name, lines in of.items():
            self.assertEqual(lines, [f"{name} {n} " + "x" * (n % 90) for n in range(count)])


class Container(NamespaceTestCase):
    """examples/docker, as far as it goes without Docker."""

    def dockerfile(self):
        """(instruction, rest) of its last stage."""
        text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
        lines = [line.split(None, 1) for line in text.splitlines()
                 if line.strip() and not line.startswith("#")]
        last = max(at for at, (word, _) in enumerate(lines) if word == "FROM")
        return lines, lines[last:]

    def test_the_dockerfile_copies_what_is_there(self):
        lines, last = self.dockerfile()
        known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "EXPOSE", "HEALTHCHECK",
                 "ENTRYPOINT", "CMD"}
        self.assertLessEqual({word for word, _ in lines}, known)
        for word, rest in lines:
            if word == "COPY" and not rest.startswith("--from"):
                self.assertTrue((ROOT / rest.split()[0]).exists(), rest)
        for word, rest in last:
            if word in ("ENTRYPOINT", "CMD"):
                self.assertIsInstance(json.loads(rest), list)  # no shell between us and the signals

    @unittest.skipIf(yaml is None, "there is no python3-yaml")
    def test_the_compose_file(self):
        services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
        hits = services["hits"]
        self.assertTrue((DOCKER / hits["build"]["context"] / hits["build"]["dockerfile"]).exists())
        self.assertNotIn("privileged", str(services))
        grace = hits["command"][hits["command"].index("--grace") + 1]
        self.assertGreater(int(hits["stop_grace_period"][:-1]), int(grace[:-1]))
        self.assertIn("/run/clusterctl", hits["tmpfs"][0])

    @unittest.skipIf(REFUSED, f"no pid namespaces: {REFUSED}")
    def test_its_entry_point_as_pid_1(self):
        folder = self.dir / "app"
        shutil.copytree(DOCKER / "app", folder)
        port = self.free_port()
        file = folder / "ecosystem.json"
        file.write_text(file.read_text().replace("3111", str(port)))
        words = dict(self.dockerfile()[1])
        program, *command = json.loads(words["ENTRYPOINT"]) + json.loads(words["CMD"])
        self.assertEqual(program, "clusterctl")
        process = self.run_apps(command=command[:-1], target=command[-1], cwd=folder)
        def online():
            return [row["status"] for row in self.rows() or []] == ["online"] * 2
        wait_for(online, what="both online")
        self.assertGreater(json.loads(http_answer(port)[1])["hits"], 0)
        health = json.loads(words["HEALTHCHECK"].partition("CMD ")[2])
        self.assertEqual(health[0], "clusterctl")
        self.ctl_inside(process, *health[1:])
        self.ctl_inside(process, "reload", "hits")
        self.assertTrue(http_answer(port))
        self.end(process)


if __name__ == "__main__":
    unittest.main()
