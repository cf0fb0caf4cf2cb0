#!/usr/bin/env python3
"""The n-th epoll_ctl of a daemon fails, for every n that a worker's life or the coming up of its
guardian and manager reaches: the command says so or works, nothing is lost, doubled or left behind, and
nobody is deaf afterwards. (Every other call is failed through the seam:
tests/unit/supervisor/daemon/test_failing_calls.cpp. This one is the library's own.)
"""
import contextlib
import os
import pathlib
import signal
import struct
import unittest

from harness import BIN, ClusterTestCase, wait_for

MOST = 400  # more than any of the lives below reaches


class FaultyEpoll(ClusterTestCase):
    def environment(self, extra=None):
        preload = {"LD_PRELOAD": str(BIN / "epoll_fault.so"),
                   "EPOLL_FAULT": str(self.dir / "epoll")}
        return super().environment(preload | (extra or {}))

    def write_count(self, fails_at):
        with (self.dir / "epoll").open("r+b" if (self.dir / "epoll").exists() else "wb") as file:
            file.write(struct.pack("ii", 0, fails_at))

    def calls(self):
        return struct.unpack("ii", (self.dir / "epoll").read_bytes())[0]


class WorkersLife(FaultyEpoll):
    def life(self):
        """The exit codes of a worker's start, reload, stop, start and delete."""
        app = self.ecosystem({"name": "api", "script": self.worker("sleeps.sh"), "instances": 2,
                              "listen": ["127.0.0.1:0"], "min_uptime": 20,
                              "reload": {"soak": 20}})
        return [self.ctl(*words, check=False, timeout=30).code for words in (
            ["start", app], ["reload", "api"], ["stop", "api"], ["start", app], ["delete", "api"])]

    def check_state(self):
        """What is listed runs, and nothing else does."""
        def fault():
            rows = self.json("list")["processes"]
            unsettled = [row for row in rows if row["status"] not in ("online", "stopped",
                                                                      "errored")]
            listed = sorted(row["pid"] for row in rows if row["pid"])
            about = self.about()
            running = [pid for pid in self.processes()
                       if pid not in (about["pid"], about["guardian_pid"])]
            return unsettled or (listed != running and (listed, running))
        wait_for(lambda: not fault(), what="the processes to be those in the list")

    def test_each_one_in_turn(self):
        self.write_count(0)
        self.ctl("ping")
        self.write_count(0)
        self.assertEqual(self.life(), [0] * 5)
        reached = self.calls()
        self.ctl("kill")
        self.assertGreater(reached, 20)
        self.assertLess(reached, MOST)
        failed = 0
        for n in range(1, reached + 1):
            with self.subTest(n=n):
                self.ctl("ping")
                self.write_count(n)
                failed += any(self.life())
                self.check_state()
                # The memory is there again: everything works.
                self.write_count(0)
                self.assertEqual(self.life()[0], 0)
                self.ctl("kill")
                self.assertEqual(self.processes(), [])
        print(f"{reached} calls, of which {failed} made a command fail", flush=True)


def watched(pid):
    """How many descriptors the loop of a process listens to."""
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(fd) == "anon_inode:[eventpoll]":
                return pathlib.Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text().count("tfd:")
    return 0


class ComingUp(FaultyEpoll):
    def daemons(self):
        about = self.about()
        return about["guardian_pid"], about["pid"]

    def check_hears(self):
        """Guardian and manager hear of everybody's death, and no worker has been touched."""
        def fault():
            guardian, manager = self.daemons()
            # Its timer, its signals, its other half; what interrupts the loop.
            return [who for who in (guardian, manager) if watched(who) < 4]
        wait_for(lambda: not fault(), what="loops that listen to all they must")
        guardian, manager = self.daemons()
        os.kill(manager, signal.SIGKILL)
        wait_for(lambda: self.daemons()[1] != manager, what="the guardian to start a manager")
        self.assertEqual(self.daemons()[0], guardian)
        self.assertEqual(self.worker_pid(), self.pid)
        os.kill(self.pid, signal.SIGKILL)
        wait_for(lambda: self.worker_pid() not in (0, self.pid), what="the worker's restart")
        self.pid = self.worker_pid()

    def worker_pid(self):
        return self.json("list")["processes"][0]["pid"]

    def each_in_turn(self, come_up):
        """`come_up` is done once for each call that it reaches, and that call fails."""
        self.write_count(0)
        self.ctl("start", self.ecosystem({"name": "api", "script": self.worker("sleeps.sh"),
                                          "min_uptime": 0, "max_restarts": 1000}))
        self.pid = self.worker_pid()
        self.write_count(0)
        come_up()
        self.about()
        reached = self.calls()
        self.assertGreater(reached, 5)
        self.check_hears()
        for n in range(1, reached + 1):
            with self.subTest(n=n):
                self.write_count(n)
                come_up()
                self.about()
                self.write_count(0)
                self.check_hears()
        self.assertEqual(self.processes(), sorted({*self.daemons(), self.pid}))
        print(f"{reached} calls", flush=True)

    def test_a_guardian_that_the_manager_becomes(self):
        def kill_guardian():
            guardian, _ = self.daemons()
            os.kill(guardian, signal.SIGKILL)
            wait_for(lambda: self.daemons()[0] != guardian, what="another guardian")
        self.each_in_turn(kill_guardian)

    def test_a_guardian_of_another_program(self):
        self.each_in_turn(lambda: self.ctl("daemon-reexec", check=False))

    def test_a_daemon_that_is_started(self):
        def kill_both_and_start():
            self.kill_both_daemons()
            done = self.ctl("ping", check=False)
            self.assertEqual(done.code == 0, done.err == "", done)
            if done.code != 0:
                self.write_count(0)
                self.ctl("ping")
        self.each_in_turn(kill_both_and_start)


if __name__ == "__main__":
    unittest.main()
