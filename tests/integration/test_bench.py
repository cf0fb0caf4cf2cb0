#!/usr/bin/env python3
"""bench/run measures, judges and writes what it says. How fast anything is, is not tested.

Nothing is fetched here: which peers are measured depends on no network. What stands in for them are
programs that do as the peer's own would."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

from harness import BIN, ROOT, ClusterTestCase

sys.path.insert(0, str(ROOT / "bench"))
from peers import Job  # noqa: E402
from report import Row, Samples, as_markdown, summary  # noqa: E402

ABOUT = {"command": "bench/run", "date": "2026-01-02", "cpus": 2, "cpu": "a CPU", "kernel": "6.1",
         "load": 0.5, "minutes": 3, "left_out": ["s6: no network"]}
# runsvdir and its runsv in one: a loop for each service. SIGHUP and the end of it end them.
RUNSVDIR = """#!/bin/sh
for service in "$1"/*; do
    (while :; do "$service/run" & wait $!; done) &
done
trap 'trap "" TERM; kill -TERM 0; exit' HUP TERM
while :; do sleep 1000 & wait $!; done
"""
SV = """#!/bin/sh
shift
for service; do echo "run: $service: (pid 1) 1s"; done
"""


def leftovers():
    return {path for folder in ("/tmp", "/dev/shm") for path in pathlib.Path(folder).glob("cb.*")}


class BenchRun(ClusterTestCase):
    def bench(self, *arguments, path=None):
        environment = self.environment() | ({"PATH": str(path)} if path else {})
        done = subprocess.run([sys.executable, ROOT / "bench/run", "--quick", "--bin", BIN,
                               "--scratch", self.dir / "cache", *arguments],
                              env=environment, capture_output=True, text=True, timeout=240)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def stand_in(self, name, text):
        path = self.dir / "cache/debian/runit/usr/bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def test_a_case_is_printed_and_written_and_leaves_nothing(self):
        before = leftovers()
        results, document = self.dir / "results.json", self.dir / "results.md"
        document.write_text("# Of last week\n\n## Notes\n\nby hand\n")
        self.stand_in("runsvdir", RUNSVDIR)
        self.stand_in("sv", SV)
        out = self.bench("--only", "respawn", "--peers", "runit", "--json", results,
                         "--markdown", document)
        self.assertIn("  crash to respawn: ", out)
        self.assertNotIn("left out", out)

        written = json.loads(results.read_text())
        self.assertEqual([case["case"] for case in written["cases"]], ["respawn"])
        row, in_time, quickest = written["cases"][0]["rows"]
        for side, runs in ((row["measured"], 40), (row["bound"], 40), (row["peers"]["runit"], 5)):
            self.assertEqual(side["runs"], runs)
            self.assertLess(0, side["min"])
            self.assertLessEqual(side["min"], side["median"])
            self.assertLessEqual(side["median"], side["max"])
        self.assertAlmostEqual(row["value"], row["measured"]["median"] / row["bound"]["median"])
        self.assertEqual((row["goal"], row["met"]), (2, row["value"] <= 2))
        self.assertEqual((in_time["goal"], in_time["met"]), (2, in_time["value"] <= 2))
        self.assertEqual((quickest["goal"], quickest["met"]), (None, None))

        text = document.read_text()
        self.assertIn("| what | ours | lower bound | runit | to the goal | to the best peer |", text)
        self.assertIn("\n| crash to respawn | ", text)
        self.assertTrue(text.endswith("\n## Notes\n\nby hand\n"), text)
        self.assertNotIn("last week", text)
        self.assertEqual(leftovers() - before, set())
        self.assertEqual(self.running("runsvdir"), [])

    def running(self, word):
        """Processes of this test's own folder with that word in their command line."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in line and os.fsencode(self.dir) in line:
                found.append(line)
        return found

    def test_peers_that_cannot_be_had_are_told_and_left_out(self):
        tools = self.dir / "tools"  # a machine with a compiler, and neither npm nor apt
        tools.mkdir()
        for name in ("clang++-19", "c++", "as", "ld", "sh", "env"):
            found = next((path for path in pathlib.Path("/usr/bin").glob(name)), None)
            if found:
                (tools / name).symlink_to(found)
        results = self.dir / "results.json"
        out = self.bench("--only", "killing", "--only", "starting", "--json", results, path=tools)
        for line in ("left out: PM2: it needs n", "left out: supervisor: its Debian package needs",
                     "left out: runit: its Debian package needs",
                     "left out: s6: its Debian package needs"):
            self.assertEqual(out.count(line), 1, out)
        written = json.loads(results.read_text())
        self.assertEqual(len(written["left_out"]), 4)
        rows = [row for case in written["cases"] for row in case["rows"]]
        self.assertEqual([row["title"] for row in rows],
                         ["start of 100, daemon included", "start of 500, daemon included",
                          "start of 1,000, daemon included", "`kill` of 100", "`kill` of 500",
                          "`kill` of 1,000"])
        self.assertEqual({len(row["peers"]) for row in rows}, {0})

    def test_what_is_not_there_is_refused_with_what_is(self):
        for arguments, told in ((["--only", "nothing"], ("memory", "reload", "many")),
                                (["--peers", "systemd"], ("pm2", "supervisor", "runit", "s6"))):
            done = subprocess.run([ROOT / "bench/run", *arguments], capture_output=True,
                                  text=True, timeout=60)
            self.assertEqual(done.returncode, 2)
            for name in told:
                self.assertIn(name, done.stderr)


class Rows(unittest.TestCase):
    def test_what_a_goal_is_about(self):
        ours, bound = Samples([4, 6, 11]), Samples([2, 3, 5])
        for compare, value, goal, met in (
                ("ratio", 2, 2, True), ("ratio", 2, 1.9, False),
                ("quickest", 2, 2, True), ("quickest", 2, 1, False),
                ("difference", 3, 3, True), ("difference", 3, 2, False),
                ("measured", 6, 6, True), ("measured", 6, 5, False),
                ("rate", 6, 6, True), ("rate", 6, 7, False),
                ("slowest", 11, 11, True), ("slowest", 11, 10, False),
                ("complete", 4, 4, True), ("complete", 4, 5, False),
                ("measured", 6, None, None)):
            with self.subTest(compare=compare, goal=goal):
                row = Row("it", "ms", ours, bound, "a loop", goal, compare)
                self.assertEqual((row.value, row.met()), (value, met))

    def test_without_a_goal_the_best_peer_is_the_goal(self):
        for compare, ours, peers, best, met, lead in (
                ("measured", 4, {"a": 8, "b": 6}, "b", True, "1.5 × b"),
                ("measured", 6, {"a": 8, "b": 4}, "b", False, "0.667 × b"),
                ("measured", 100, {"a": 96}, "a", True, "0.96 × a"),  # within what noise is
                ("measured", 0, {"a": 3}, "a", True, "better than a"),
                ("measured", 0, {"a": 0}, "a", True, "as a"),
                ("rate", 4, {"a": 8, "b": 6}, "a", False, "0.5 × a"),
                ("rate", 9, {"a": 6}, "a", True, "1.5 × a")):
            with self.subTest(compare=compare, ours=ours, peers=peers):
                row = Row("it", "ms", Samples([ours]), compare=compare,
                          peers={name: Samples([value]) for name, value in peers.items()})
                self.assertEqual((row.best_peer()[0], row.met(), row.lead()), (best, met, lead))
        row = Row("it", "/s", Samples([1]), peers={"a": Samples([0.5])}, contest=False)
        self.assertEqual((row.met(), row.lead(), row.goal_text()), (None, "", ""))

    def test_a_document_says_where_a_goal_was_missed_and_a_peer_is_better(self):
        rows = [Row("quick", "ms", Samples([4, 6, 11]), Samples([2, 3, 5]), "a loop", goal=2,
                    peers={"runit": Samples([5])}),
                Row("quiet", "", Samples([7]), goal=0)]
        text = as_markdown(ABOUT, [("speed", "How quick", rows)])
        self.assertIn("| quick | 6 (4..11) ms | 3 (2..5) ms, a loop | 5 ms | 2 × | 0.833 × runit "
                      "| ≤ 2 × | yes; runit is better |\n", text)
        self.assertIn("| quiet | 7 |  |  | 7 |  | ≤ 0 | NO |\n", text)
        self.assertIn("- Left out: s6: no network.\n", text)
        self.assertEqual(summary([("speed", "How quick", rows)]), [
            "1 of 2 rows with a goal or a peer are met; in 1 of these a peer is better than the "
            "goal asks for.", "", "Not met:", "", "- quiet (`speed`): 7, goal ≤ 0", "",
            "Met, and yet a peer is better:", "",
            "- quick (`speed`): 2 ×, goal ≤ 2 ×; 0.833 × runit"])


class Jobs(unittest.TestCase):
    def test_a_job_is_an_ecosystem_file_or_a_run_script(self):
        job = Job(["/bin/app", "x"], 2, env={"PORT": "1"}, logs="dated")
        apps = job.ecosystem()["apps"]
        self.assertEqual([app["name"] for app in apps], ["app-00000", "app-00001"])
        self.assertEqual((apps[0]["script"], apps[0]["args"], apps[0]["time"]),
                         ("/bin/app", ["x"], True))
        self.assertEqual(job.shell(), "exec env PORT='1' /bin/app x")
        (app,) = Job(["/bin/node", "app.js"], 2, cluster=True).ecosystem()["apps"]
        self.assertEqual((app["script"], app["instances"]), ("app.js", 2))


if __name__ == "__main__":
    unittest.main()
