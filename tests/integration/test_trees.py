#!/usr/bin/env python3
"""Whole process trees: stopped, killed, measured and swept up, with nothing left behind."""
import json
import os
import pathlib
import signal
import time
import unittest

from harness import ClusterTestCase, is_alive, wait_for


class Trees(ClusterTestCase):
    def row(self, name="api"):
        return next(row for row in self.json("list")["processes"] if row["name"] == name)

    def start(self, script, *args, **attributes):
        app = {"name": "api", "script": self.worker(script), "args": list(args)} | attributes
        self.ctl("start", self.ecosystem(app))

    def tree_pids(self):
        out = self.home / "logs" / "api-out.log"
        line = wait_for(lambda: out.exists() and out.read_text().strip().splitlines()[-1:],
                        what="the tree's pids")[0]
        return json.loads(line)["pids"]

    def test_stop_takes_children_grandchildren_sessions_and_daemonised_ones(self):
        self.start("forks_children.py")
        pids = self.tree_pids()
        self.assertTrue(all(is_alive(pid) for pid in pids.values()), pids)
        self.ctl("stop", "api")
        self.assertEqual({name: is_alive(pid) for name, pid in pids.items()},
                         dict.fromkeys(pids, False))

    def test_what_a_crash_leaves_behind_is_swept_up_before_the_next_start(self):
        self.start("forks_children.py", autorestart=False)
        pids = self.tree_pids()
        os.kill(self.row()["pid"], signal.SIGKILL)
        wait_for(lambda: self.row()["status"] == "stopped", what="stopped")
        self.assertEqual({name: is_alive(pid) for name, pid in pids.items()},
                         dict.fromkeys(pids, False))

    def test_a_worker_deaf_to_sigint_is_killed_after_its_timeout_with_its_grandchildren(self):
        self.start("ignores_sigint.py", kill_timeout=300)
        self.wait_for(lambda: len(self.json("describe", "api")["processes"][0]["children"]) == 2,
                      what="child and grandchild")
        about = self.json("describe", "api")["processes"][0]
        pids = [about["pid"], *about["children"]]
        begun = time.monotonic()
        self.ctl("stop", "api")
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.assertEqual(self.row()["exit_signal"], signal.SIGKILL)

    def test_without_treekill_only_the_worker_itself_is_stopped(self):
        self.start("forks_children.py", treekill=False)
        pids = self.tree_pids()
        self.ctl("stop", "api")
        self.assertTrue(is_alive(pids["child"]))
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)

    def test_another_kill_signal_is_sent(self):
        self.start("ignores_sigint.py", kill_signal="SIGQUIT")
        pid = self.row()["pid"]
        self.ctl("stop", "api")
        self.assertFalse(is_alive(pid))
        self.assertEqual(self.row()["exit_signal"], signal.SIGQUIT)

    def test_a_worker_over_its_memory_limit_is_restarted(self):
        self.start("memory_hog.py", "60", max_memory_restart="40M")
        wait_for(lambda: self.row()["restarts"] >= 1, what="a restart for memory")
        exits = wait_for(lambda: self.json("describe", "api")["processes"][0]["last_exits"],
                         what="the end of the first process")
        self.assertIn("memory limit", exits[-1]["reason"])

    def test_memory_that_a_child_holds_counts_too(self):
        self.start("memory_hog.py", "60", "child", max_memory_restart="50M")
        wait_for(lambda: self.row()["restarts"] >= 1, what="a restart for the child's memory")

    def test_a_worker_below_its_limit_is_left_alone(self):
        self.start("memory_hog.py", "10", max_memory_restart="500M")
        self.ctl("start", self.worker("memory_hog.py"), "--name", "other",
                 "--max-memory-restart", "20M", "--", "60")
        wait_for(lambda: self.row("other")["restarts"] >= 1, what="the other one's restart")
        self.assertEqual(self.row("api")["restarts"], 0)

    def test_the_memory_shown_is_the_whole_trees(self):
        self.start("memory_hog.py", "60", "child")
        wait_for(lambda: self.row()["memory"] > 60 << 20, what="the child's memory in the list")


class Sockets(ClusterTestCase):
    def test_one_socket_is_shared_by_all_workers_and_outlives_each(self):
        from harness import http_answer, http_get
        port = self.free_port()
        file = self.ecosystem({"name": "api", "script": self.worker("listens.py"), "instances": 2,
                               "listen": [f"127.0.0.1:{port}"]})
        self.ctl("start", file)
        wait_for(lambda: http_answer(port), what="an answer")
        seen = set()
        wait_for(lambda: seen.add(http_get(port)[1].split()[1]) or len(seen) == 2,
                 what="answers from both workers")
        pids = [row["pid"] for row in self.json("list")["processes"]]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, pids)), what="the death of both")
        # Never refused: while no worker runs, connections wait in the queue.
        self.assertEqual(http_get(port)[0], 200)

    def test_an_address_in_use_names_its_holder_and_starts_nothing(self):
        import socket
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            file = self.ecosystem({"name": "api", "script": self.worker("listens.py"),
                                   "listen": f"127.0.0.1:{port}"})
            done = self.ctl("start", file, check=False)
            self.assertEqual(done.code, 1)
            self.assertIn(str(port), done.err)
            self.assertIn(str(os.getpid()), done.err)
            self.assertEqual(self.json("list")["processes"], [])


if __name__ == "__main__":
    unittest.main()
