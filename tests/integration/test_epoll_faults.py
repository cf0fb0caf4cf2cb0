#!/usr/bin/env python3
"""The n-th epoll_ctl of a daemon that serves fails, for every n that a worker's life reaches: the
command says so or works, and nothing is lost, doubled or left behind. (Every other call is failed through the
seam: tests/unit/supervisor/daemon/test_failing_calls.cpp. This one is the library's own.)
"""
import os
import struct
import subprocess
import unittest

from harness import BIN, ClusterTestCase, wait_for

MOST = 400  # more than any of the lives below reaches


class EpollFaults(ClusterTestCase):
    def environment(self, extra=None):
        preload = {"LD_PRELOAD": str(BIN / "epoll_fault.so"),
                   "EPOLL_FAULT": str(self.dir / "epoll")}
        return super().environment(preload | (extra or {}))

    def write_count(self, fails_at):
        with (self.dir / "epoll").open("r+b" if (self.dir / "epoll").exists() else "wb") as file:
            file.write(struct.pack("ii", 0, fails_at))

    def calls(self):
        return struct.unpack("ii", (self.dir / "epoll").read_bytes())[0]

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


if __name__ == "__main__":
    unittest.main()
