#!/usr/bin/env python3
"""What users know as save, resurrect, dump and cleardump; a daemon that begins with nothing; and
commands whose daemon is replaced while they run."""
import contextlib
import json
import os
import pathlib
import select
import signal
import socket
import tempfile
import threading
import unittest

from harness import BIN, ClusterTestCase, is_alive, wait_for


class Durability(ClusterTestCase):
    def setUp(self):
        super().setUp()
        self.dump = self.home / "dump.json"
        self.script = self.worker("sleeps.sh")

    def rows(self):
        """{name: (id, status)}"""
        return {row["name"]: (row["id"], row["status"]) for row in self.json("list")["processes"]}

    def start(self, *names):
        for name in names:
            self.ctl("start", self.script, "--name", name)

    def daemons(self):
        """Pids of manager and guardian."""
        about = self.about()
        return about["pid"], about["guardian_pid"]

    # save, resurrect, cleardump

    def test_what_was_saved_comes_back_with_its_ids_and_stopped_stays_stopped(self):
        self.start("first", "runs", "rests")
        self.ctl("delete", "first")
        self.ctl("stop", "rests")
        answer = self.ctl("save")
        self.assertIn("[clusterctl] Saving current process list...", answer.out)
        self.assertIn(f"[clusterctl] Successfully saved in {self.dump}", answer.out)
        self.ctl("delete", "all")
        answer = self.ctl("resurrect")
        self.assertIn("[clusterctl] Resurrecting", answer.out)
        self.assertIn(f"[clusterctl] Restoring processes located in {self.dump}", answer.out)
        self.assertIn("[runs](1) restored", answer.out)
        self.assertEqual(self.rows(), {"runs": (1, "online"), "rests": (2, "stopped")})

    def test_restart_counters_begin_anew(self):
        self.start("api")
        self.ctl("restart", "api")
        self.assertEqual(self.json("list")["processes"][0]["restarts"], 1)
        self.ctl("dump")  # the other name of save
        self.ctl("delete", "all")
        self.ctl("resurrect")
        self.assertEqual(self.json("list")["processes"][0]["restarts"], 0)

    def test_only_names_that_are_not_there_are_started(self):
        self.start("api", "job")
        self.ctl("save")
        self.ctl("delete", "job")
        before = self.json("list")["processes"]
        restored = self.json("resurrect")
        self.assertEqual([row["name"] for row in restored["processes"]], ["job"])
        self.assertEqual(restored["source"], str(self.dump))
        after = {row["name"]: row["pid"] for row in self.json("list")["processes"]}
        self.assertEqual(after["api"], before[0]["pid"])
        self.assertEqual(self.json("resurrect")["processes"], [])

    def test_an_id_that_somebody_has_by_now_is_replaced(self):
        self.start("api")
        self.ctl("save")
        self.ctl("delete", "all")
        self.start("other")
        self.assertEqual(self.rows(), {"other": (0, "online")})
        self.ctl("resurrect")
        self.assertEqual(self.rows(), {"other": (0, "online"), "api": (1, "online")})

    def test_an_empty_list_is_saved_only_by_force(self):
        self.start("api")
        self.ctl("save")
        self.ctl("delete", "all")
        answer = self.ctl("save")
        self.assertIn("skipping save...", answer.err)
        self.assertIn('"api"', self.dump.read_text())
        self.assertEqual(self.json("save")["saved"], False)
        self.assertEqual(self.json("save", "--force")["saved"], True)
        self.assertNotIn('"api"', self.dump.read_text())
        self.assertIn('"api"', pathlib.Path(f"{self.dump}.bak").read_text())

    def test_cleardump_saves_an_empty_list_and_keeps_the_one_before(self):
        self.start("api")
        self.ctl("save")
        answer = self.ctl("cleardump")
        self.assertIn(f"Successfully created {self.dump}", answer.out)
        self.ctl("delete", "all")
        self.ctl("resurrect")
        self.assertEqual(self.rows(), {})
        self.assertIn('"api"', pathlib.Path(f"{self.dump}.bak").read_text())

    def test_a_dump_that_cannot_be_read_is_put_aside_and_the_one_before_is_taken(self):
        self.start("api")
        self.ctl("save")
        self.ctl("save")  # the first one is the .bak now
        self.ctl("delete", "all")
        self.dump.write_text("[ this is not it")
        self.ctl("resurrect")
        self.assertEqual(self.rows(), {"api": (0, "online")})
        self.assertEqual(pathlib.Path(f"{self.dump}.bad").read_text(), "[ this is not it")
        self.ctl("save")
        self.assertIn('"api"', self.dump.read_text())

    def test_nothing_to_resurrect_is_told_and_is_no_failure(self):
        answer = self.ctl("resurrect")
        self.assertIn("No processes saved", answer.err)
        self.assertEqual(self.json("resurrect"), {"source": None, "processes": []})

    def test_one_that_does_not_get_up_is_a_failure_and_the_others_come_back(self):
        script = self.dir / "job.sh"
        script.write_text("#!/bin/sh\nexec sleep 1000000\n")
        script.chmod(0o755)
        self.ctl("start", str(script), "--name", "job")
        self.start("api")
        self.ctl("save")
        self.ctl("delete", "all")
        script.unlink()
        answer = self.ctl("resurrect", check=False)
        self.assertEqual(answer.code, 1)
        self.assertIn("[job](0)", answer.err)
        self.assertEqual(self.rows()["api"], (1, "online"))

    def test_after_kill_the_next_daemon_is_empty_and_resurrect_knows_what_ran(self):
        self.start("api", "job")
        self.ctl("stop", "job")
        self.ctl("kill")
        self.assertEqual(self.rows(), {})
        answer = self.ctl("resurrect")
        self.assertIn("state.json.last", answer.out)
        self.assertEqual(self.rows(), {"api": (0, "online"), "job": (1, "stopped")})

    # A daemon that begins with nothing

    def test_without_autorestore_nothing_comes_back_and_nothing_runs_on_unmanaged(self):
        self.start("api")
        pid = self.json("list")["processes"][0]["pid"]
        self.kill_both_daemons()
        self.assertTrue(is_alive(pid))
        self.assertEqual(self.json("--no-autorestore", "list")["processes"], [])
        self.assertFalse(is_alive(pid))
        self.ctl("resurrect")
        self.assertEqual(self.rows(), {"api": (0, "online")})

    def test_the_variable_does_the_same(self):
        self.start("api")
        self.kill_both_daemons()
        rows = self.json("list", env={"CLUSTER_NO_AUTORESTORE": "1"})["processes"]
        self.assertEqual(rows, [])

    def test_without_autorestore_only_the_beginning_is_empty(self):
        self.ctl("--no-autorestore", "start", self.script, "--name", "api")
        before = self.json("list")["processes"][0]["pid"]
        manager, _ = self.daemons()
        os.kill(manager, signal.SIGKILL)
        wait_for(lambda: not is_alive(manager), what="the manager's death")
        row = self.json("list")["processes"][0]
        self.assertEqual((row["name"], row["pid"], row["status"]), ("api", before, "online"))

    def test_with_a_daemon_there_it_changes_nothing(self):
        self.start("api")
        self.assertEqual(len(self.json("--no-autorestore", "list")["processes"]), 1)

    # Another program under running workers

    def test_the_daemon_can_be_started_anew_under_running_workers(self):
        self.start("api", "job")
        before = [row["pid"] for row in self.json("list")["processes"]]
        manager, _ = self.daemons()
        self.assertRegex(self.ctl("daemon-reexec").out,
                         r"clusterd (\S+) -> \1, 2 workers untouched, gap \d+ ms")
        answer = self.json("update", BIN / "clusterd")
        self.assertEqual((answer["ok"], answer["workers"]), (True, {"untouched": 2, "changed": []}))
        self.assertNotEqual(self.daemons()[0], manager)
        self.assertEqual([row["pid"] for row in self.json("list")["processes"]], before)

    def test_a_program_that_is_no_clusterd_is_refused_and_nothing_happens(self):
        self.start("api")
        daemons = self.daemons()
        for program, why in (("/bin/true", "cannot go on with"), ("nowhere", "no program")):
            answer = self.ctl("update", program, check=False)
            self.assertEqual(answer.code, 1)
            self.assertIn(why, answer.err)
        self.assertEqual(self.daemons(), daemons)

    def test_an_update_without_a_daemon_starts_none(self):
        self.assertIn("No daemon is running", self.ctl("update").out)
        self.assertEqual(self.processes(), [])

    # Leaving the workers

    def test_kill_can_leave_the_workers_and_the_next_daemon_takes_them_back(self):
        self.start("api")
        pid = self.json("list")["processes"][0]["pid"]
        answer = self.ctl("kill", "--leave-workers")
        self.assertIn("1 process goes on without a daemon", answer.out)
        self.assertTrue(is_alive(pid))
        self.assertFalse((self.home / "clusterd.sock").exists())
        row = self.json("list")["processes"][0]
        self.assertEqual((row["pid"], row["status"], row["restarts"]), (pid, "online", 0))

    def test_leaving_workers_without_a_daemon_is_no_failure(self):
        answer = self.ctl("kill", "--leave-workers")
        self.assertIn("No daemon is running", answer.out)

    # Commands whose daemon is replaced

    def replace_manager(self):
        """Kills it and answers its pid; the next one comes up by itself."""
        manager, _ = self.daemons()
        os.kill(manager, signal.SIGKILL)
        return manager

    def test_reading_commands_go_on_without_a_word_when_the_manager_dies(self):
        self.start("api")
        for command in (["list", "--json"], ["jlist"], ["describe", "api", "--json"],
                        ["env", "0", "--json"], ["ping", "--json"],
                        ["logs", "--nostream", "--json"]):
            self.replace_manager()
            answer = self.ctl(*command)
            self.assertEqual(answer.err, "", command)
            self.assertTrue(answer.out or command[0] == "logs", command)

    def test_a_stop_is_answered_truthfully_by_the_next_manager(self):
        self.ctl("start", self.worker("ignores_sigint.py"), "--name", "deaf",
                 "--kill-timeout", "6000")
        manager, _ = self.daemons()
        stop = self.begin("stop", "deaf", "--json")
        wait_for(lambda: self.json("list")["processes"][0]["status"] == "stopping",
                 what="the stop to begin")
        os.kill(manager, signal.SIGKILL)
        out, err = stop.communicate(timeout=30)
        self.assertEqual(stop.returncode, 0, err)
        self.assertIn("the daemon was restarted while it worked on this", err)
        self.assertEqual(json.loads(out)["processes"][0]["status"], "stopped")

    @contextlib.contextmanager
    def follow_numbers(self):
        """The numbers that a worker prints, one after the other, as `logs` shows them."""
        script = self.dir / "counts.sh"
        script.write_text("#!/bin/sh\nn=0\nwhile :; do n=$((n+1)); echo $n; sleep 0.02; done\n")
        script.chmod(0o755)
        self.ctl("start", str(script), "--name", "counts")
        self.logs = self.begin("logs", "counts", "--raw", "--lines", "0")
        try:
            yield map(int, iter(self.logs.stdout.readline, ""))
        finally:
            self.logs.kill()
            self.logs.wait()

    def test_logs_are_followed_on_when_the_manager_is_replaced(self):
        with self.follow_numbers() as lines:
            seen = [next(lines)]
            for _ in range(3):
                self.replace_manager()
                seen += [next(lines) for _ in range(30)]
        self.assertEqual(seen, list(range(seen[0], seen[0] + 91)))

    def test_logs_end_when_the_daemon_ends_on_purpose(self):
        with self.follow_numbers() as lines:
            next(lines)
            self.ctl("kill")
            self.assertEqual(self.logs.wait(timeout=30), 3)
            self.assertIn("the daemon has ended", self.logs.stderr.read())
        self.assertFalse((self.home / "clusterd.sock").exists())


class CutConnections(ClusterTestCase):
    """Between clusterctl and the daemon, one connection is cut at a place of our choice."""

    def pass_on(self, peer, until):
        """Everything both ways, or of the answers `until` (whole lines, bytes behind them)."""
        with peer, socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(str(self.home / "clusterd.sock"))
            passed = 0
            answers = b""
            while True:
                for source in select.select([peer, daemon], [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if source is peer:
                        daemon.sendall(data)
                        continue
                    answers += data
                    end = place(answers, *until) if until else None
                    peer.sendall(answers[passed:end])
                    passed = len(answers)
                    if end is not None:
                        return

    def serve(self, listener, until):
        with contextlib.suppress(OSError):  # it is closed in the end
            while True:
                peer, _ = listener.accept()
                self.connections += 1
                self.pass_on(peer, until if self.connections == 1 else None)

    def test_reading_commands_are_asked_again_wherever_the_connection_is_cut(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        commands = {"list": "online", "jlist": "sleeps.sh", "describe api": "sleeps.sh",
                    "env 0": "unique_id"}
        places = {"before an answer": (0, 0), "after the greeting": (1, 0),
                  "in the answer": (1, 20)}
        for command, shown in commands.items():
            for name, until in places.items():
                with self.subTest(name, command=command), \
                        tempfile.TemporaryDirectory(dir=self.dir) as home, \
                        socket.socket(socket.AF_UNIX) as listener:
                    listener.bind(f"{home}/clusterd.sock")
                    listener.listen()
                    self.connections = 0
                    threading.Thread(target=self.serve, args=(listener, until),
                                     daemon=True).start()
                    answer = self.ctl(*command.split(), env={"CLUSTER_HOME": home})
                    listener.shutdown(socket.SHUT_RDWR)
                    self.assertEqual(answer.err, "")
                    self.assertIn(shown, answer.out)
                    self.assertGreater(self.connections, 1)


def place(text, lines, more):
    """Where `more` bytes behind so many lines are; None while it is not that long."""
    end = 0
    for _ in range(lines):
        end = text.find(b"\n", end) + 1
        if end == 0:
            return None
    return end + more if len(text) >= end + more else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
