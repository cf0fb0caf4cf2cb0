#!/usr/bin/env python3
"""A disk with logs that does not answer for a while: a frozen file system (man 8 fsfreeze), where
every write waits and no signal ends it. It is an image of this program's own mount namespace: takes
root."""
import os
import signal
import subprocess
import unittest

from harness import wait_for
from test_log_full import Paced, setUpModule  # noqa: F401


class Held(Paced):
    trouble = "the disk does not answer"
    frost = None

    def mount(self):
        image = self.dir / "disk.img"
        with open(image, "wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        mounted = subprocess.run(["mount", "-o", "loop", image, self.disk], text=True,
                                 stderr=subprocess.PIPE)
        if mounted.returncode != 0:
            self.skipTest(f"no loop device: {mounted.stderr}")

    def freeze(self):
        """Until `thaw`, or our own end, whatever that is."""
        self.frost = subprocess.Popen(
            ["sh", "-c", 'fsfreeze -f "$0" && echo frozen; read _; fsfreeze -u "$0"', self.disk],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(self.frost.stdout.readline(), "frozen\n")

    def thaw(self):
        if not self.frost or self.frost.stdin.closed:
            return
        self.frost.stdin.close()
        self.frost.stdout.close()
        self.assertEqual(self.frost.wait(10), 0)

    def tearDown(self):
        self.thaw()
        super().tearDown()

    def test_nobody_waits_and_what_is_missing_is_told_where_it_is_missing(self):
        for dated in (False, True):
            with self.subTest(dated=dated):
                self.start_paced(time=dated)
                self.freeze()
                wait_for(lambda: self.logs()["lost_lines"] > 1000, what="losses")
                self.wait_for_more(5000)
                self.assertTrue(self.logs()["trouble"].endswith(self.trouble))
                self.assertIn(self.trouble, self.ctl("describe", "api").out)
                self.thaw()
                wait_for(lambda: self.logs()["trouble"] == "", what="recovery")
                count = self.stop()
                self.wait_for_last(count)
                self.check_gaps(count)
                self.clean()

    def test_a_short_while_loses_nothing_and_nobody_waits(self):
        """Of 200 kB, which is more than a pipe has room for."""
        for dated in (False, True):
            with self.subTest(dated=dated):
                self.start_paced(time=dated)
                self.freeze()
                self.wait_for_more(20_000)
                self.thaw()
                self.check_all(self.stop())
                self.assertEqual(self.logs()["lost_lines"], 0)
                self.clean()

    def test_block_loses_nothing_and_the_worker_waits(self):
        for dated in (False, True):
            with self.subTest(dated=dated):
                self.start_paced(time=dated, log_on_full="block")
                self.freeze()
                wait_for(lambda: self.logs()["trouble"], what="a disk that does not answer")
                self.wait_for_a_stop()
                self.assertEqual(self.logs()["lost_lines"], 0)
                self.thaw()
                self.wait_for_more(1000)
                self.check_all(self.stop())
                self.assertEqual(self.logs()["trouble"], "")
                self.clean()

    def test_spill_loses_nothing_and_nobody_waits(self):
        for dated in (False, True):
            with self.subTest(dated=dated):
                self.start_paced(time=dated, log_on_full="spill")
                self.freeze()
                wait_for(lambda: list((self.home / "spill").glob("*")), what="a spill file")
                self.wait_for_more(5000)
                self.thaw()
                wait_for(lambda: not list((self.home / "spill").glob("*")), what="recovery")
                self.check_all(self.stop())
                self.assertEqual(self.logs()["lost_lines"], 0)
                self.clean()

    def test_a_manager_killed_meanwhile_is_followed_by_one_that_loses_and_doubles_nothing(self):
        self.start_paced(log_on_full="block")
        self.freeze()
        wait_for(lambda: self.logs()["trouble"], what="a disk that does not answer")
        os.kill(self.about()["pid"], signal.SIGKILL)  # has no effect before its call comes back
        self.thaw()
        self.wait_for_more(1000)
        self.check_all(self.stop())

    def test_other_disks_and_all_commands_go_on(self):
        self.start_paced()
        other = self.dir / "other.log"
        self.start(PRINTS, name="other", out_file=str(other), error_file="/dev/null")
        self.freeze()
        wait_for(lambda: self.logs()["trouble"], what="a disk that does not answer")
        size = other.stat().st_size
        wait_for(lambda: other.stat().st_size > size + 100, what="lines of the other one")
        self.ctl("restart", "api")
        self.ctl("restart", "other")
        self.ctl("reload", "other")
        refused = self.ctl("start", "true", "--name", "new", "--output", str(self.disk / "new.log"),
                           check=False)
        self.assertNotEqual(refused.code, 0)
        self.assertIn(self.trouble, refused.err)
        self.ctl("delete", "api")
        self.ctl("delete", "other")
        self.assertIsNone(self.frost.poll())  # it was frozen all the time
        self.thaw()

    def test_a_program_whose_last_words_find_it_out_is_started_again(self):
        self.start(CRASHES, name="api", out_file=str(self.disk / "api.log"), min_uptime=0)
        for crashes in range(1, 6):
            pid = self.row()["pid"]
            wait_for(lambda: f"{pid} begins\n" in self.log_text(), what="its first line")
            self.freeze()
            os.kill(pid, signal.SIGUSR1)
            wait_for(lambda: self.row()["restarts"] == crashes
                     and self.row()["status"] == "online", what="the next process")
            self.assertIsNone(self.frost.poll())
            self.thaw()
            wait_for(lambda: f"{pid} begins\n{pid} ends\n" in self.log_text(), what="last words")

    def log_text(self):
        return (self.disk / "api.log").read_text()


CRASHES = """
import os, signal, time
def end(*_):
    os.write(1, b"%d ends\\n" % os.getpid())
    os._exit(1)
signal.signal(signal.SIGUSR1, end)
os.write(1, b"%d begins\\n" % os.getpid())
while True:
    time.sleep(1000)
"""

PRINTS = """
import os, time
while True:
    os.write(1, b"tick\\n")
    time.sleep(0.01)
"""

if __name__ == "__main__":
    unittest.main()
