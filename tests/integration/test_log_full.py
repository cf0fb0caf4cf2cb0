#!/usr/bin/env python3
"""What becomes of output while the disk with its log is full (`log_on_full`). The disk is a tmpfs of
this program's own mount namespace: takes root."""
import contextlib
import ctypes
import os
import re
import subprocess
import unittest

from harness import wait_for
from test_logs import Printing

CLONE_NEWNS = 0x20000
NOTE = re.compile(r"\[clusterd\] (\d+) lines? \([^)]*\) were lost here: (.*)")
DATE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d: ")

# Numbered lines, and in `wrote` how many of them have been written. `stop` ends it.
PACED = """
import os, signal, struct, time
wrote = os.open("wrote", os.O_RDWR | os.O_CREAT)
n = 0
while not os.path.exists("stop"):
    os.write(1, b"".join(b"line %d\\n" % number for number in range(n, n + 100)))
    n += 100
    os.pwrite(wrote, struct.pack("Q", n), 0)
    time.sleep(0.004)
open("stopped", "w").close()
signal.pause()
"""


def setUpModule():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise unittest.SkipTest(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


class Paced(Printing):
    """A worker that says how many lines it has written, with its log on a disk of its own."""
    trouble = ""  # what is wrong with the disk, as it is told

    def setUp(self):
        super().setUp()
        self.disk = self.dir / "disk"
        self.disk.mkdir()
        self.work = self.dir / "work"
        self.work.mkdir()
        self.mount()
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)
        self.out = self.disk / "out.log"

    def start_paced(self, **attributes):
        self.start(PACED, cwd=str(self.work), out_file=str(self.out), error_file="/dev/null",
                   **attributes)
        wait_for(lambda: self.written() > 500, what="some lines")

    def written(self):
        file = self.work / "wrote"
        return int.from_bytes(file.read_bytes(), "little") if file.exists() else 0

    def wait_for_more(self, lines):
        at = self.written()
        wait_for(lambda: self.written() > at + lines, what="the worker to go on")

    def wait_for_a_stop(self):
        before = -1
        def waits():
            nonlocal before
            before, now = self.written(), before
            return now == before
        wait_for(waits, what="the worker to wait")

    def logs(self):
        return self.json("describe", "api")["processes"][0]["logs"]

    def clean(self):
        """For the next worker."""
        self.ctl("delete", "api")
        for file in (*self.work.iterdir(), self.out):
            file.unlink()

    def stop(self):
        """Ends the writing; returns how many lines were written."""
        (self.work / "stop").write_text("")
        wait_for((self.work / "stopped").exists, what="the worker's last line")
        return self.written()

    def lines(self):
        return [DATE.sub("", line) for line in self.out.read_text().splitlines()]

    def wait_for_last(self, count):
        wait_for(lambda: self.lines()[-1] == f"line {count - 1}", what="the last line")

    def check_all(self, count):
        self.wait_for_last(count)
        self.assertEqual(self.lines(), [f"line {number}" for number in range(count)])

    def check_gaps(self, count):
        """Every line is whole, and where one is missing a note says so."""
        next_one, lost = 0, 0
        for line in self.lines():
            if note := NOTE.fullmatch(line):
                self.assertTrue(note[2].endswith(self.trouble), line)
                next_one += int(note[1])
                lost += int(note[1])
                continue
            self.assertEqual(line, f"line {next_one}")
            next_one += 1
        self.assertEqual(next_one, count)
        self.assertEqual(lost, self.logs()["lost_lines"])


class Full(Paced):
    trouble = "no space left on device"

    def mount(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", self.disk], check=True)

    def fill(self):
        with contextlib.suppress(OSError), open(self.disk / "ballast", "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)

    def make_room(self):
        (self.disk / "ballast").unlink()

    def test_drop_stops_nobody_and_says_what_is_missing_where_it_is_missing(self):
        for dated in (False, True):
            with self.subTest(dated=dated):
                self.start_paced(time=dated)
                self.fill()
                wait_for(lambda: self.logs()["lost_lines"] > 1000, what="losses")
                self.assertIn("no space left on device", self.logs()["trouble"])
                told = self.ctl("describe", "api").out
                self.assertIn("log lines lost", told)
                self.assertIn("no space left on device", told)
                self.make_room()
                wait_for(lambda: self.logs()["trouble"] == "", what="recovery")
                count = self.stop()
                self.wait_for_last(count)
                self.check_gaps(count)
                self.clean()

    def test_losses_are_told_also_when_the_manager_is_killed_meanwhile(self):
        self.start_paced()
        self.fill()
        wait_for(lambda: self.logs()["lost_lines"] > 1000, what="losses")
        self.kill_manager()
        wait_for(lambda: self.logs()["lost_lines"] > 1000, what="those losses, known again")
        self.make_room()
        wait_for(lambda: self.logs()["trouble"] == "", what="recovery")
        count = self.stop()
        self.wait_for_last(count)
        notes = [NOTE.fullmatch(line) for line in self.lines() if line.startswith("[clusterd]")]
        self.assertIn("the daemon was killed meanwhile", notes[0][2])
        lost = sum(int(note[1]) for note in notes)
        numbers = [int(line.removeprefix("line ")) for line in self.lines()
                   if not line.startswith("[clusterd]")]
        self.assertEqual(numbers, sorted(set(numbers)))
        # What it had taken when it died, and had not counted yet: a pipe full at most.
        self.assertLessEqual(0, count - len(numbers) - lost)
        self.assertLess(count - len(numbers) - lost, 65536 / len("line 1\n"))

    def test_block_loses_nothing_and_the_worker_waits(self):
        for dated in (False, True):
            with self.subTest(dated=dated):
                self.start_paced(time=dated, log_on_full="block")
                self.fill()
                wait_for(lambda: self.logs()["trouble"], what="a full disk")
                self.wait_for_a_stop()
                self.assertEqual(self.logs()["lost_lines"], 0)
                self.make_room()
                self.wait_for_more(1000)
                self.check_all(self.stop())
                self.assertEqual(self.logs()["trouble"], "")
                self.clean()

    def test_spill_loses_nothing_and_nobody_waits_also_over_deaths_of_the_manager(self):
        for dated in (False, True):
            with self.subTest(dated=dated):
                self.start_paced(time=dated, log_on_full="spill")
                self.fill()
                wait_for(lambda: list((self.home / "spill").glob("*")), what="a spill file")
                self.wait_for_more(2000)
                self.kill_manager()
                self.wait_for_more(2000)
                self.make_room()
                wait_for(lambda: not list((self.home / "spill").glob("*")), what="recovery")
                self.check_all(self.stop())
                self.assertEqual(self.logs()["lost_lines"], 0)
                self.clean()


if __name__ == "__main__":
    unittest.main()
