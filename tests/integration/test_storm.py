#!/usr/bin/env python3
"""A crash storm: two hundred workers that end as soon as they are started, over and over. Every
answer stays complete, and every command gets one."""
import json
import pathlib
import resource
import shutil
import unittest

from harness import ClusterTestCase, wait_for

WORKERS = 200
DAEMONS = 2  # guardian and manager
STATES = {"launching", "online", "waiting restart"}  # of a worker that crashes and is to run


class Storm(ClusterTestCase):
    def setUp(self):
        super().setUp()
        app = {"name": "storm", "script": shutil.which("false"), "interpreter": "none",
               "instances": WORKERS, "max_restarts": 1_000_000, "min_uptime": "60s"}
        self.ctl("start", self.ecosystem(app), "--no-wait")

    def rows(self):
        rows = json.loads(self.ctl("jlist").out)
        self.assertEqual([row["pm_id"] for row in rows], list(range(WORKERS)))
        return rows

    def row(self, number):
        return self.json("describe", number)["processes"][0]

    def restarts(self):
        return [row["restarts"] for row in self.json("list")["processes"]]

    def test_jlist_is_complete_while_it_rages(self):
        first = self.restarts()
        for _ in range(10):
            for row in self.rows():
                self.assertEqual(row["name"], "storm")
                self.assertIn(row["pm2_env"]["status"], STATES)
        # It did rage, for every one of them: none starves behind the others.
        wait_for(lambda: all(now >= before + 2 for now, before in zip(self.restarts(), first)),
                 deadline=120, what="two more restarts of each worker")

    def test_every_command_gets_its_answer(self):
        self.ctl("ping")
        self.assertEqual(len(self.json("list")["processes"]), WORKERS)
        self.assertEqual(self.json("env", 3)["env"]["NODE_APP_INSTANCE"], "3")
        self.ctl("sendSignal", "SIGUSR1", 4, check=False)  # it may be between two lives

        self.ctl("stop", 5)
        self.assertEqual((self.row(5)["status"], self.row(5)["pid"]), ("stopped", 0))
        done = self.ctl("restart", 5, check=False)
        self.assertEqual(done.code, 1)
        self.assertIn("exited with code 1", done.err)
        wait_for(lambda: self.row(5)["restarts"] > 0, what="number 5 to be back in the storm")
        self.ctl("stop", 6)
        self.ctl("reset", 6)
        self.assertEqual(self.row(6)["restarts"], 0)

        self.ctl("stop", "all")
        self.assertEqual({row["status"] for row in self.json("list")["processes"]}, {"stopped"})
        self.assertEqual(len(self.processes()), DAEMONS)

    def test_delete_ends_it_and_leaves_nothing(self):
        wait_for(lambda: min(self.restarts()) > 0, deadline=60, what="the storm")
        self.ctl("delete", "all")
        self.assertEqual(self.json("list")["processes"], [])
        self.assertEqual(len(self.processes()), DAEMONS)
        self.assertEqual(list((self.home / "pids").iterdir()), [])

    def test_it_can_be_scaled_down(self):
        wait_for(lambda: min(self.restarts()) > 0, deadline=60, what="the storm")
        self.ctl("scale", "storm", 20, check=False)  # those that stay may crash meanwhile
        wait_for(lambda: len(self.restarts()) == 20, what="the others to be gone")


class Deaf(ClusterTestCase):
    """Three thousand workers that do not hear their kill signal, all at once."""

    COUNT = 3000

    @unittest.skipIf(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 6 * COUNT,
                     "the hard limit of open files (ulimit -Hn) is too low for so many workers")
    def test_all_are_killed_and_none_is_called_unkillable(self):
        app = {"name": "deaf", "script": "/bin/sh", "interpreter": "none",
               "args": ["-c", "trap '' INT; exec sleep 1000000"],
               "instances": self.COUNT, "kill_timeout": 500}
        self.ctl("start", self.ecosystem(app), "--no-wait")
        wait_for(lambda: [row["status"] for row in self.json("list")["processes"]] ==
                 ["online"] * self.COUNT, deadline=60, what="all of them to run")
        wait_for(lambda: not any(is_shell(pid) for pid in self.processes()), deadline=60,
                 what="all of them to be deaf")
        stopped = self.ctl("stop", "all", check=False)
        self.assertEqual((stopped.code, stopped.err), (0, ""))
        self.assertEqual(len(self.processes()), DAEMONS)


def is_shell(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text() == "sh\n"
    except OSError:
        return False


if __name__ == "__main__":
    unittest.main()
