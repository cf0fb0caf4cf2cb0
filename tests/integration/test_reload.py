#!/usr/bin/env python3
"""Reload: the new process first, one instance after the other, all or nothing for the one in hand."""
import contextlib
import os
import subprocess
import threading
import unittest

from harness import (BIN, ClusterTestCase, command_line, http_answer, http_get, is_alive,
                     wait_for)


class Load:
    """Clients that open a connection per request, until stopped; keeps what went wrong."""

    def __init__(self, port, clients=4):
        self.port = port
        self.done = 0
        self.failures = []
        self.running = True
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while self.running:
            try:
                status, _ = http_get(self.port)
                if status != 200:
                    self.failures.append(status)
                self.done += 1
            except OSError as error:
                self.failures.append(error)

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join()


class Reload(ClusterTestCase):
    def setUp(self):
        super().setUp()
        self.port = self.free_port()

    def app(self, **attributes):
        return {"name": "api", "script": str(BIN / "clusterapp"), "instances": 2,
                "listen": [f"127.0.0.1:{self.port}"]} | attributes

    def rows(self):
        return self.json("list")["processes"]

    def pids(self):
        return {row["id"]: row["pid"] for row in self.rows()}

    def deaf(self):
        return [pid for pid in self.processes()
                if "ignores_sigint" in command_line(pid)]

    def kill_the_deaf(self):
        """Instead of waiting for their kill_timeout."""
        for pid in self.deaf():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)

    def test_every_process_is_replaced_under_its_id_and_no_request_fails(self):
        self.ctl("start", self.ecosystem(self.app()))
        wait_for(lambda: http_answer(self.port), what="the first answer")
        before = self.pids()
        load = Load(self.port)
        self.addCleanup(load.stop)
        wait_for(lambda: load.done > 20, what="load")
        for _ in range(5):
            self.ctl("reload", "api")
        wait_for(lambda: load.done > 200, what="more load")
        load.stop()
        self.assertEqual(load.failures, [])
        after = self.pids()
        self.assertEqual(sorted(after), sorted(before))
        self.assertFalse(set(after.values()) & set(before.values()))
        self.assertFalse([pid for pid in before.values() if is_alive(pid)])
        self.assertEqual({row["restarts"] for row in self.rows()}, {5})
        pid_file = self.home / "pids" / "api-0.pid"
        self.assertEqual(pid_file.read_text(), str(after[0]))

    def test_a_version_that_crashes_changes_nothing_and_fails_with_its_stderr(self):
        self.ctl("start", self.ecosystem(self.app()))
        before = self.pids()
        broken = self.app(script=self.worker("crash.py"), args=["7", "0.05"],
                          reload={"soak": 30_000})
        done = self.ctl("reload", self.ecosystem(broken), check=False)
        self.assertEqual(done.code, 1)
        self.assertIn("about to end with 7", done.err)
        self.assertEqual(self.pids(), before)
        self.assertTrue(all(is_alive(pid) for pid in before.values()))
        self.assertEqual((self.home / "pids" / "api-0.pid").read_text(), str(before[0]))
        wait_for(lambda: len([pid for pid in self.processes()
                              if "crash.py" in command_line(pid)])
                 == 0, what="the broken one to be gone")
        # What is declared is still the old version: a crash brings it back, not the broken one.
        os.kill(before[0], 9)
        wait_for(lambda: self.pids()[0] not in (0, before[0]), what="a respawn")
        self.assertEqual(wait_for(lambda: http_answer(self.port), what="an answer")[0], 200)

    def test_a_file_that_is_reloaded_brings_its_new_environment(self):
        self.ctl("start", self.ecosystem(self.app(env={"COLOUR": "red"})))
        before = self.pids()
        self.ctl("reload", self.ecosystem(self.app(env={"COLOUR": "blue"}),
                                          {"name": "new", "script": self.worker("sleeps.sh")}))
        self.assertFalse(set(self.pids().values()) & set(before.values()))
        self.assertEqual(self.json("env", 0)["env"]["COLOUR"], "blue")
        self.assertIn("new", {row["name"] for row in self.rows()})

    def test_an_app_without_a_socket_of_ours_is_restarted_in_place(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "jobs")
        pid = self.rows()[0]["pid"]
        self.ctl("reload", "jobs")
        row = self.rows()[0]
        self.assertNotEqual(row["pid"], pid)
        self.assertEqual((row["status"], row["restarts"]), ("online", 1))

    def test_stop_and_kill_end_a_reload_with_nothing_left(self):
        slow = self.app(script=self.worker("ignores_sigint.py"), kill_timeout=60_000)
        for command in (("stop", "api"), ("delete", "api"), ("kill",)):
            with self.subTest(command):
                self.ctl("start", self.ecosystem(slow))
                before = self.pids()
                reload = subprocess.Popen([BIN / "clusterctl", "reload", "api"], cwd=self.dir,
                                          env=self.environment(), stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, text=True)
                # The successor is up, the old one is deaf: it drains for a minute.
                wait_for(lambda: self.pids()[0] != before[0], what="the successor's turn")
                stop = subprocess.Popen([BIN / "clusterctl", *command], cwd=self.dir,
                                        env=self.environment(), stdout=subprocess.DEVNULL)
                out, err = reload.communicate(timeout=30)
                self.assertEqual(reload.returncode, 1, out + err)
                self.assertIn("cancelled", err)
                self.kill_the_deaf()
                self.assertEqual(stop.wait(30), 0)
                if command[0] != "kill":
                    self.ctl("delete", "all", check=False)


if __name__ == "__main__":
    unittest.main()
