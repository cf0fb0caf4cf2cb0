#!/usr/bin/env python3
"""bench/run measures, judges and writes what it says. How fast anything is, is not tested."""
import json
import pathlib
import subprocess
import sys
import unittest

from harness import BIN, ROOT, ClusterTestCase

sys.path.insert(0, str(ROOT / "bench"))
from report import Row, Samples, as_markdown  # noqa: E402

ABOUT = {"command": "bench/run", "date": "2026-01-02", "cpus": 2, "cpu": "a CPU", "kernel": "6.1",
         "load": 0.5}


def leftovers():
    return {path.name for path in pathlib.Path("/tmp").glob("cb.*")}


class BenchRun(ClusterTestCase):
    def bench(self, *arguments):
        done = subprocess.run([ROOT / "bench/run", "--quick", "--bin", BIN, *arguments],
                              env=self.environment(), capture_output=True, text=True, timeout=240)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_a_case_is_printed_and_written_and_leaves_nothing(self):
        before = leftovers()
        results, document = self.dir / "results.json", self.dir / "results.md"
        document.write_text("# Of last week\n\n## Notes\n\nby hand\n")
        out = self.bench("--only", "respawn", "--json", results, "--markdown", document)
        self.assertIn("  crash to respawn: ", out)

        written = json.loads(results.read_text())
        self.assertEqual([case["case"] for case in written["cases"]], ["respawn"])
        row, quickest = written["cases"][0]["rows"]
        for side in (row["measured"], row["bound"]):
            self.assertEqual(side["runs"], 50)
            self.assertLess(0, side["min"])
            self.assertLessEqual(side["min"], side["median"])
            self.assertLessEqual(side["median"], side["max"])
        self.assertAlmostEqual(row["value"], row["measured"]["median"] / row["bound"]["median"])
        self.assertEqual((row["goal"], row["met"]), (2, row["value"] <= 2))
        self.assertEqual((quickest["goal"], quickest["met"]), (None, None))

        text = document.read_text()
        self.assertIn("\n| crash to respawn | ", text)
        self.assertTrue(text.endswith("\n## Notes\n\nby hand\n"), text)
        self.assertNotIn("last week", text)
        self.assertEqual(leftovers() - before, set())

    def test_a_case_that_is_not_there_is_refused_with_the_ones_that_are(self):
        done = subprocess.run([ROOT / "bench/run", "--only", "nothing"], capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 2)
        for name in ("memory", "reading", "starting", "respawn", "rest", "storm", "killing"):
            self.assertIn(name, done.stderr)


class Rows(unittest.TestCase):
    def test_what_a_goal_is_about(self):
        ours, bound = Samples([4, 6, 11]), Samples([2, 3, 5])
        for compare, value, goal, met in (
                ("ratio", 2, 2, True), ("ratio", 2, 1.9, False),
                ("quickest", 2, 2, True), ("quickest", 2, 1, False),
                ("difference", 3, 3, True), ("difference", 3, 2, False),
                ("measured", 6, 6, True), ("measured", 6, 5, False),
                ("slowest", 11, 11, True), ("slowest", 11, 10, False),
                ("complete", 4, 4, True), ("complete", 4, 5, False),
                ("measured", 6, None, None)):
            with self.subTest(compare=compare, goal=goal):
                row = Row("it", "ms", ours, bound, "a loop", goal, compare)
                self.assertEqual((row.value, row.met()), (value, met))

    def test_a_document_says_where_a_goal_was_missed(self):
        rows = [Row("quick", "ms", Samples([4, 6, 11]), Samples([2, 3, 5]), "a loop", goal=2),
                Row("quiet", "", Samples([7]), goal=0)]
        text = as_markdown(ABOUT, [("speed", "How quick", rows)])
        self.assertIn("| quick | 6 (4..11) ms | 3 (2..5) ms, a loop | 2 × | ≤ 2 × | yes |\n", text)
        self.assertIn("| quiet | 7 |  | 7 | ≤ 0 | NO |\n", text)


if __name__ == "__main__":
    unittest.main()
