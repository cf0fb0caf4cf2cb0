#!/usr/bin/env python3
"""Faulty ecosystem files: each gets exactly the messages that stand beside it, and nothing is
started. FILE.expected holds one line per message, {DIR} for the folder's absolute path."""
import pathlib
import shutil
import unittest

from harness import ClusterTestCase

FAULTY = pathlib.Path(__file__).resolve().parent / "faulty"
NAMES = sorted(path.name.removesuffix(".expected") for path in FAULTY.glob("*.expected"))


class FaultyFiles(ClusterTestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.dir / "faulty"
        shutil.copytree(FAULTY, self.folder)

    def expected(self, name):
        """What stderr must be, byte for byte: one line per message with the CLI's level."""
        text = (self.folder / f"{name}.expected").read_text().replace("{DIR}", str(self.folder))
        lines = []
        for line in text.splitlines():
            level = "WARN" if line.startswith(f"{name}: warning: ") else "ERROR"
            lines.append(f"[clusterctl][{level}] {line}\n")
        return "".join(lines)

    def check_all(self, command):
        self.assertGreaterEqual(len(NAMES), 20)
        for name in NAMES:
            with self.subTest(name):
                done = self.ctl(command, name, cwd=self.folder, check=False)
                self.assertEqual(done.err, self.expected(name))
                self.assertEqual(done.out, "")
                self.assertEqual(done.code, 1)

    def test_validate_says_exactly_what_is_wrong(self):
        self.check_all("validate")
        self.assertEqual(self.processes(), [])  # not even a daemon

    def test_start_says_the_same_and_starts_nothing(self):
        self.check_all("start")
        self.assertEqual(self.json("list")["processes"], [])

    def test_a_faulty_file_leaves_what_runs_alone(self):
        self.ctl("start", self.ecosystem({"name": "api", "script": self.worker("sleeps.sh")}))
        before = self.json("list")["processes"][0]
        done = self.ctl("start", "two-apps.json", cwd=self.folder, check=False)
        self.assertEqual(done.code, 1)
        after = self.json("list")["processes"]
        self.assertEqual([(row["name"], row["pid"], row["restarts"]) for row in after],
                         [("api", before["pid"], 0)])


if __name__ == "__main__":
    unittest.main()
