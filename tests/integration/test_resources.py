#!/usr/bin/env python3
"""A disk that is full, no more descriptors, a clock that jumps: workers go on, commands say what is
wrong, and all is well again once there is room."""
import contextlib
import ctypes
import glob
import json
import os
import resource
import shutil
import signal
import subprocess
import time
import unittest

from harness import BIN, SANITIZED, is_alive, open_files, wait_for
from obedient import ObedientTestCase
import client

DISK = 8 << 20
DELAY_MS = 1000


def mount_privately(path):
    """Gives this process a mount namespace of its own, and a small tmpfs there; returns why not, or
    "". Nothing of it outlives the process and its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    private, new_namespace = 1 << 18 | 1 << 14, 0x00020000  # MS_PRIVATE | MS_REC, CLONE_NEWNS
    if libc.unshare(new_namespace) or libc.mount(None, b"/", None, private, None):
        return f"no mount namespace: {os.strerror(ctypes.get_errno())}"
    options = f"size={DISK},mode=755".encode()
    if libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", 0, options):
        return f"no tmpfs: {os.strerror(ctypes.get_errno())}"
    return ""


class ResourceTestCase(ObedientTestCase):
    def setUp(self):
        super().setUp()
        # Also where the test is skipped, and once nothing is mounted there any more.
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def wanted(self):
        """{name: wanted} of state.json."""
        state = json.loads(self.state_text())
        apps = {app["number"]: app["spec"]["name"] for app in state["apps"]}
        return {apps[row["app"]]: row["wanted"] for row in state["workers"]}


class FullDisk(ResourceTestCase):
    """Home and logs on a small tmpfs, which only a namespace of ours has."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("a tmpfs takes root")
        self.home.mkdir()
        if why_not := mount_privately(self.home):
            self.skipTest(why_not)
        self.addCleanup(subprocess.run, ["umount", "-l", self.home], check=True)
        self.filler = self.home / "filler"

    def sleeper(self, name="api"):
        return {"name": name, "script": self.worker("sleeps.sh")}

    def fill(self):
        """Not one byte is left, for anybody."""
        with self.filler.open("ab", buffering=0) as file:
            with contextlib.suppress(OSError):
                while file.write(b"x" * 4096):
                    pass

    def make_space(self):
        self.filler.unlink()

    def test_workers_go_on_commands_work_or_say_why_and_the_state_is_written_later(self):
        self.ctl("start", self.ecosystem(self.sleeper("old"), self.sleeper("goes")))
        pid = self.row("old")["pid"]
        self.fill()
        done = self.ctl("start", self.ecosystem(self.sleeper("new")), check=False)
        self.assertIn("no space left on device", (done.err + self.log_text()).lower())
        self.assertEqual((self.row("old")["pid"], self.row("old")["status"]), (pid, "online"))
        self.ctl("stop", "goes", check=False)
        self.assertEqual(self.row("goes")["status"], "stopped")
        started = "new" in [row["name"] for row in self.rows()]
        self.assertEqual(done.code, 0 if started else 1, done)
        self.assertEqual(self.wanted()["old"], True)  # the last good file is still whole
        self.make_space()
        expected = {"old": True, "goes": False} | ({"new": True} if started else {})
        wait_for(lambda: self.wanted() == expected, what="the state to be written by itself")

    def log_text(self):
        """The daemon's own log is on the full disk: what it could not write there is told by it
        later, or by the command."""
        return self.log.read_text(errors="replace")

    def test_a_manager_killed_meanwhile_loses_nothing(self):
        self.ctl("start", self.ecosystem(self.sleeper("old"), self.sleeper("goes")))
        self.fill()
        self.ctl("stop", "goes", check=False)
        before = [(row["name"], row["pid"], row["status"]) for row in self.rows()]
        self.assertEqual(dict(row[::2] for row in before), {"old": "online", "goes": "stopped"})
        self.kill_manager()
        self.assertEqual([(row["name"], row["pid"], row["status"]) for row in self.rows()], before)
        self.make_space()
        wait_for(lambda: self.wanted() == {"old": True, "goes": False}, what="the state")

    def test_both_daemons_killed_meanwhile_touch_no_worker(self):
        self.ctl("start", self.ecosystem(self.sleeper("old"), self.sleeper("goes")))
        journal = str(self.home / "journal")
        for _ in range(100):  # until it is longer than the blocks that it had
            self.fill()
            self.ctl("restart", "old")
            if journal not in open_files(self.about()["pid"]):
                break
        self.assertNotIn(journal, open_files(self.about()["pid"]))
        self.fill()  # also what it had
        self.ctl("start", self.worker("sleeps.sh"), "--name", "new")
        self.ctl("stop", "goes", check=False)
        self.ctl("restart", "old")
        self.assertNotIn("new", self.wanted())
        before = [(row["name"], row["pid"], row["status"]) for row in self.rows()]
        self.assertEqual({name: status for name, _, status in before},
                         {"old": "online", "goes": "stopped", "new": "online"})
        for _ in range(2):
            self.kill_both_daemons()
            self.assertEqual([(row["name"], row["pid"], row["status"]) for row in self.rows()],
                             before)
        self.make_space()
        wait_for(lambda: self.wanted() == {"old": True, "goes": False, "new": True},
                 what="the state")

    def test_a_full_log_volume_stops_no_worker_and_logs_go_on_once_there_is_room(self):
        beat = self.dir / "beat"
        script = self.dir / "writes.py"
        script.write_text("import os, time\nnumber = 0\nwhile True:\n"
                          "    os.write(1, f'line {number}\\n'.encode() * 100)\n    number += 1\n"
                          f"    open({str(beat)!r}, 'w').write(str(number))\n"
                          "    time.sleep(0.002)\n")
        self.ctl("start", self.ecosystem({"name": "api", "script": str(script)}))
        pid = self.row()["pid"]

        def goes_on(more=300):
            count = int(beat.read_text() or 0)
            wait_for(lambda: int(beat.read_text() or 0) > count + more, what="more lines")
        wait_for(beat.exists, what="the first line")
        self.fill()
        goes_on()
        self.assertEqual((self.row()["pid"], self.row()["status"]), (pid, "online"))
        self.make_space()
        log = self.home / "logs/api-out.log"
        size = log.stat().st_size
        wait_for(lambda: log.stat().st_size > size, what="the log to go on")
        lines = log.read_bytes().splitlines()[-50:-1]
        self.assertTrue(all(line.startswith(b"line ") for line in lines), lines)
        self.ctl("stop", "api")


class BusyFile(ResourceTestCase):
    def test_a_program_that_is_being_written_is_started_when_it_is_whole(self):
        program = self.dir / "program"
        shutil.copy("/usr/bin/sleep", program)
        with program.open("r+b"):
            done = self.ctl("start", program, "--name", "api", "--", "1000", check=False)
            self.assertEqual(done.code, 1, done)
            self.assertIn("text file busy; tried again every second", done.err.lower())
            self.assertIn(self.statuses(), [["waiting restart"], ["launching"]])
            self.assertEqual(self.row()["pid"], 0)
        wait_for(lambda: self.statuses() == ["online"], what="a launch that works")
        self.ctl("stop", "api")
        with program.open("r+b"):
            self.ctl("start", "api", check=False)
            self.ctl("stop", "api")  # is not tried again then
            self.assertEqual(self.statuses(), ["stopped"])


class FewDescriptors(ResourceTestCase):
    """A daemon that may open few files."""
    LIMIT = 64

    def setUp(self):
        super().setUp()
        limits = (self.LIMIT, self.LIMIT)
        with (self.dir / "daemon.log").open("w") as log:
            daemon = subprocess.Popen(
                [BIN / "clusterd", "--foreground"], env=self.environment(), stdout=log, stderr=log,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits))
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.terminate)
        self.about()

    def test_the_one_too_many_is_told_the_others_go_on_and_there_is_room_again_later(self):
        first = self.dir / "first.json"
        first.write_text(json.dumps({"name": "first", "script": self.worker("sleeps.sh")}))
        self.ctl("start", first)
        pid = self.row("first")["pid"]
        many = self.ecosystem({"name": "many", "script": self.worker("sleeps.sh"),
                               "instances": 40})
        done = self.ctl("start", many, check=False)
        self.assertEqual(done.code, 1, done)
        self.assertIn("too many open files", done.err.lower())
        self.assertEqual((self.row("first")["pid"], self.row("first")["status"]), (pid, "online"))
        for row in self.rows():
            self.assertEqual(row["status"] == "online", row["pid"] != 0, row)
        self.ctl("delete", "many")
        self.ctl("restart", "first")
        self.assertFalse(is_alive(pid))
        self.ctl("start", self.worker("sleeps.sh"), "--name", "second")
        self.assertEqual([row["status"] for row in self.rows()], ["online", "online"])

    def test_many_clients_at_once_hold_up_nobody_for_good(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        pid = self.row()["pid"]
        peers = []
        with contextlib.suppress(client.Broken):
            for _ in range(3 * self.LIMIT):
                peers.append(client.Client(self.home))
        self.assertGreater(len(peers), self.LIMIT // 2)
        for peer in peers:
            peer.close()
        self.assertEqual((self.row()["pid"], self.row()["status"]), (pid, "online"))

    def leave_none(self):
        """The first number that the manager does not use is its limit."""
        manager = self.about()["pid"]
        used = {int(fd) for fd in os.listdir(f"/proc/{manager}/fd")}
        first_free = min(set(range(self.LIMIT)) - used)
        resource.prlimit(manager, resource.RLIMIT_NOFILE, (first_free, self.LIMIT))

    def leave_some(self):
        resource.prlimit(self.about()["pid"], resource.RLIMIT_NOFILE, (self.LIMIT, self.LIMIT))

    def test_with_none_left_commands_are_heard_and_workers_are_stopped_in_order(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api", "-i", "2")
        pids = self.pids()
        self.leave_none()
        for name in "one", "two":
            done = self.ctl("start", self.worker("sleeps.sh"), "--name", name, check=False)
            self.assertEqual(done.code, 1, done)
            self.assertIn("too many open files", done.err.lower())
        for row in self.rows():
            if row["name"] == "api":
                self.assertGreater(row["memory"], 0, row)
        doctor = self.ctl("doctor", check=False)
        self.assertEqual(doctor.code, 1, doctor)
        self.assertRegex(doctor.out, r"problem +open files +\d+ needed for 2 workers")
        self.ctl("stop", "api")
        self.assertFalse(any(map(is_alive, pids)))
        self.assertNotIn("SIGKILL", (self.dir / "daemon.log").read_text())
        self.leave_some()
        self.ctl("start", "all")
        self.assertEqual(self.statuses(), ["online"] * 4)

    def test_a_worker_that_ends_while_none_is_left_is_started_once_there_are_some(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        pid = self.row()["pid"]
        self.leave_none()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.statuses() == ["waiting restart"], what="the first failed launch")
        self.assertIn("too many open files", self.describe("api")["fault"])
        self.leave_some()
        wait_for(lambda: self.statuses() == ["online"], what="a launch that works")
        self.assertNotEqual(self.row()["pid"], pid)
        self.assertEqual(self.describe("api")["fault"], "")
        told = (self.dir / "daemon.log").read_text().lower().count("too many open files")
        self.assertEqual(told, 1)

    def test_with_none_left_kill_ends_all(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api", "-i", "2")
        pids = self.pids()
        daemons = self.daemon_pids()
        self.leave_none()
        self.ctl("start", self.worker("sleeps.sh"), "--name", "new", check=False)
        self.ctl("kill")
        self.assertFalse(any(map(is_alive, pids)))
        wait_for(lambda: not any(map(is_alive, daemons)), what="the daemons to end")
        self.assertNotIn("SIGKILL", (self.dir / "daemon.log").read_text())

    def test_a_manager_killed_at_the_limit_comes_back_with_all_workers(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "many", "-i", "40", check=False)
        before = {row["id"]: row["pid"] for row in self.rows() if row["status"] == "online"}
        self.assertTrue(before)
        self.kill_manager()
        after = {row["id"]: row["pid"] for row in self.rows()}
        self.assertEqual({worker: after.get(worker) for worker in before}, before)
        self.assertTrue(all(map(is_alive, before.values())))


class Clock(ResourceTestCase):
    """The wall clock jumps, by libfaketime in the daemon (which leaves the monotonic one alone). No
    daemon is killed here: libfaketime's processes share a semaphore, which one would take along."""

    def setUp(self):
        super().setUp()
        if SANITIZED:
            self.skipTest("libfaketime and AddressSanitizer do not get on")
        found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        if not found:
            self.skipTest("CLOCK_REALTIME has no namespace, and libfaketime is not installed")
        self.offset = self.dir / "offset"
        self.set_back("+0")
        self.fake = {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": str(self.offset),
                     "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}

    def set_back(self, offset):
        self.offset.write_text(offset + "\n")

    def test_jumps_back_and_forth_touch_no_worker_and_no_timer(self):
        self.ctl("ping", env=self.fake)
        slow = {"name": "slow", "script": self.worker("sleeps.sh"), "restart_delay": DELAY_MS}
        self.ctl("start", self.ecosystem(slow))
        for offset in "+10d", "-10d", "+400d", "-3000d":
            with self.subTest(offset):
                wait_for(lambda: self.row("slow")["status"] == "online", what="it to run")
                pid, restarts = self.row("slow")["pid"], self.row("slow")["restarts"]
                self.assertTrue(pid)
                self.set_back(offset)
                self.assertEqual(self.row("slow")["pid"], pid)
                killed_at = time.monotonic()
                os.kill(pid, signal.SIGKILL)
                wait_for(lambda: self.row("slow")["pid"] not in (0, pid), deadline=10,
                         what="the restart, a second later")
                self.assertGreaterEqual(time.monotonic() - killed_at, DELAY_MS / 1e3 - 0.02)
                self.assertEqual(self.row("slow")["restarts"], restarts + 1)


if __name__ == "__main__":
    unittest.main()
