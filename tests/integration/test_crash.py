#!/usr/bin/env python3
"""kill -9 of the manager, of the guardian and of both, at moments of our choice: workers go on,
what was under way is finished, and the next daemon knows everything. Random moments: tests/fault.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import unittest

from harness import BIN, ROOT, SANITIZED, http_answer, is_alive, wait_for
from load import Load
from obedient import ObedientTestCase

FAULT = ROOT / "tests/fault"
sys.path.insert(1, str(FAULT / "workers"))
import client  # noqa: E402
import proc  # noqa: E402
from line_check import LineCheck  # noqa: E402

BACK_WITHIN_MS = 1000 if SANITIZED else 100
KILLS = 5
DEAF_MS = 6000 if SANITIZED else 3000  # time for two commands and a death of the manager


class CrashTestCase(ObedientTestCase):
    @contextlib.contextmanager
    def without_manager(self):
        """It stands still; at the end of the block it is killed."""
        pid = self.about()["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGKILL)
        self.about()

    def serving(self, name="api", **attributes):
        self.port = self.free_port()
        return {"name": name, "script": str(BIN / "clusterapp"), "instances": 2,
                "listen": [f"127.0.0.1:{self.port}"]} | attributes

    def node(self, **attributes):
        if not shutil.which("node"):
            self.skipTest("no node in PATH")
        self.port = self.free_port()
        return {"name": "api", "script": self.worker("serve_node.js"), "instances": 2,
                "exec_mode": "cluster", "env": {"PORT": self.port}, "min_uptime": 200} | attributes

    def deaf(self, **attributes):
        """Ends by SIGKILL alone."""
        return {"name": "deaf", "script": str(FAULT / "workers/deaf.sh"),
                "kill_timeout": DEAF_MS} | attributes

    def start(self, *apps):
        self.ctl("start", self.ecosystem(*apps))

    def load(self, kinds="new=4,kept=4,pipelined=2", **options):
        wait_for(lambda: http_answer(self.port), what="the first answer")
        load = Load(self.port, kinds=kinds, no_echo=True, **options)
        self.addCleanup(load.stop)
        return load.wait_for(3)

    def assert_nothing_lost(self, load):
        load.wait_for(3)
        result = load.stop()
        print(f"{self.id()}: {result}", flush=True)
        self.assertEqual((result.failed, result.raced), (0, 0), result)

    def writers(self):
        """Two workers that write numbered lines, and the check of their files."""
        progress = self.dir / "progress"
        progress.mkdir()
        self.start({"name": "lines", "script": str(FAULT / "workers/writes_lines.py"),
                    "instances": 2, "kill_signal": "SIGTERM",
                    "env": {"PROGRESS": str(progress), "LONGEST": 150_000}})
        wait_for(lambda: len(list(progress.iterdir())) == 2, what="the first lines")
        check = LineCheck(self.home / "logs", progress, "lines", 150_000)
        self.addCleanup(check.close)
        return check

    def shown(self):
        """Of each row what a death of a daemon must not change."""
        return [[row[it] for it in ("id", "name", "status", "pid", "restarts", "started_at",
                                    "created_at", "unstable_restarts")] for row in self.rows()]

    def wait_for_status(self, name, status):
        wait_for(lambda: self.row(name)["status"] == status, what=f"{name} to be {status}")

    def assert_one_tree_each(self):
        """Each worker that runs has one process, and nobody else runs."""
        rows = self.rows()

        def right():
            snapshot = proc.Snapshot(self.home)
            trees = {worker: [it.pid for it in tree] for worker, tree in snapshot.trees().items()}
            return (trees == {row["id"]: [row["pid"]] for row in rows if row["pid"]}
                    and len(snapshot.daemons()) == 2)
        wait_for(right, what="one process for each worker and two daemons")

    def events_of(self, name):
        return [event for event, who, _ in self.journal() if who == name]


class Manager(CrashTestCase):
    def kills_under(self, load):
        """Kills it again and again; prints and checks how long nobody answered."""
        before, gaps = self.shown(), []
        for _ in range(KILLS):
            pid = self.about()["pid"]
            begin = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            after = self.about()
            gaps.append(round((time.monotonic() - begin) * 1e3, 1))
            self.assertNotEqual(after["pid"], pid)
            self.assertEqual(self.shown(), before)
            load.wait_for(3)
        print(f"{self.id()}: the control socket answers again after {gaps} ms", flush=True)
        self.assertLess(statistics.median(gaps), BACK_WITHIN_MS, gaps)
        self.assert_nothing_lost(load)
        self.assert_one_tree_each()

    def test_kills_under_load_lose_no_request_and_keep_pids_counters_and_uptimes(self):
        self.start(self.serving(), self.obedient("other"))
        os.kill(self.row("other")["pid"], signal.SIGKILL)
        wait_for(lambda: self.row("other")["restarts"] == 1, what="a restart to be counted")
        self.wait_for_status("other", "online")
        self.kills_under(self.load())

    def test_kills_under_load_of_a_node_cluster_app(self):
        self.start(self.node())
        load = self.load()
        self.kills_under(load)

    def test_a_reload_of_adopted_workers_works_as_ever(self):
        for kind in self.serving, self.node:
            with self.subTest(kind.__name__):
                self.start(kind(reload={"soak": 100}))
                wait_for(lambda: http_answer(self.port), what="the first answer")
                self.kill_manager()
                before = self.pids()
                self.ctl("reload", "api")
                self.assertFalse(set(before) & set(self.pids()))
                self.assert_one_tree_each()
                self.assertEqual(http_answer(self.port)[0], 200)
                self.ctl("delete", "api")

    def test_stop_restart_and_scale_of_adopted_workers_work_as_ever(self):
        self.start(self.obedient(instances=2))
        self.kill_manager()
        before = self.pids()
        self.ctl("restart", "api")
        self.assertFalse(set(before) & set(self.pids()))
        self.kill_manager()
        self.ctl("scale", "api", 3)
        self.kill_manager()
        self.ctl("scale", "api", 1)
        self.kill_manager()
        self.ctl("stop", "api")
        self.assert_one_tree_each()
        self.kill_manager()
        self.assertEqual(self.statuses(), ["stopped"])

    def test_the_end_of_a_worker_while_there_was_no_manager_is_known(self):
        """Those of children of the dead manager and of the guardian, by exit code and by signal."""
        rows = [("a code", lambda pid: self.go.touch(), 7, None),
                ("a signal", lambda pid: os.kill(pid, signal.SIGTERM), None, signal.SIGTERM)]
        for name, end, code, number in rows:
            for adopted in False, True:
                with self.subTest(name, adopted=adopted):
                    self.ctl("delete", "all", check=False)
                    self.go.unlink(missing_ok=True)
                    self.start(self.obedient(env={"GO": str(self.go), "EXIT": "7"},
                                             restart_delay=200))
                    if adopted:
                        self.kill_manager()
                    pid = self.row()["pid"]
                    with self.without_manager():
                        end(pid)
                        wait_for(lambda: not is_alive(pid), what="the worker's end")
                        self.go.unlink(missing_ok=True)
                    wait_for(lambda: self.row()["restarts"] == 1, what="the restart")
                    self.wait_for_status("api", "online")
                    last = self.describe()["last_exits"][0]
                    self.assertEqual((last["code"], last["signal"]), (code, number))
                    self.assert_one_tree_each()

    def test_a_worker_killed_in_the_same_instant_is_started_again_once(self):
        self.start(self.obedient())
        for turn in range(1, 7):
            pids = [self.row()["pid"], self.about()["pid"]]
            for pid in pids if turn % 2 else reversed(pids):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: self.row()["restarts"] == turn, what=f"restart {turn}")
            self.wait_for_status("api", "online")
            self.assertEqual(self.describe()["last_exits"][0]["signal"], signal.SIGKILL)
            self.assert_one_tree_each()

    def test_a_stop_under_way_takes_the_rest_of_its_time(self):
        self.start(self.deaf())
        begin = time.monotonic()
        stop = self.begin("stop", "deaf")
        self.wait_for_status("deaf", "stopping")
        pid = self.row("deaf")["pid"]
        self.kill_manager()
        wait_for(lambda: not is_alive(pid), what="the worker's end")
        took = (time.monotonic() - begin) * 1e3
        self.assertGreaterEqual(took, DEAF_MS - 20)
        self.assertLess(took, 2 * DEAF_MS)
        self.wait_for_status("deaf", "stopped")
        stop.communicate(timeout=60)

    def test_a_restart_that_waits_for_its_time_waits_for_the_rest(self):
        self.start(self.obedient(restart_delay=DEAF_MS))
        begin = time.monotonic()
        os.kill(self.row()["pid"], signal.SIGKILL)
        self.wait_for_status("api", "waiting restart")
        self.kill_manager()
        self.assertEqual(self.row()["status"], "waiting restart")
        self.wait_for_status("api", "online")
        took = (time.monotonic() - begin) * 1e3
        self.assertGreaterEqual(took, DEAF_MS - 20)
        self.assertLess(took, 2 * DEAF_MS)

    def test_a_kill_under_way_is_finished(self):
        self.start(self.deaf(), self.obedient())
        manager = self.about()["pid"]
        kill = self.begin("kill")
        wait_for(lambda: "--> stopping" in self.log.read_text(), what="the stop of a worker")
        os.kill(manager, signal.SIGKILL)
        wait_for(lambda: not [it for it in self.processes() if it != kill.pid],
                 what="the end of everything")
        kill.communicate(timeout=60)
        self.assertFalse((self.home / "clusterd.sock").exists())
        self.assertEqual(self.rows(), [])
        self.ctl("resurrect")
        self.assertEqual({row["name"]: row["status"] for row in self.rows()},
                         {"deaf": "online", "api": "online"})

    def test_a_stop_of_the_daemon_under_way_changes_nothing_of_what_is_wanted(self):
        self.start(self.deaf(), self.obedient(), self.obedient("rests"))
        self.ctl("stop", "rests")
        about = self.about()
        os.kill(about["guardian_pid"], signal.SIGTERM)
        wait_for(lambda: "deaf:0 online -- stop_asked" in self.log.read_text(), what="the stop")
        os.kill(about["pid"], signal.SIGKILL)
        wait_for(lambda: not self.processes(), what="the end of everything")
        self.ctl("ping")
        for name in "deaf", "api":
            self.wait_for_status(name, "online")
        self.assertEqual(self.row("rests")["status"], "stopped")

    def test_a_start_held_back_goes_on_and_readiness_told_to_nobody_is_heard(self):
        start = self.begin("start", self.ecosystem(self.gated("base"),
                                                   self.obedient("after", depends_on=["base"])))
        wait_for(lambda: self.events_of("base") == ["started"], what="the start of base")
        pid = self.row("base")["pid"]
        with self.without_manager():
            self.go.touch()
            wait_for(lambda: "ready base" in self.events(), what="its READY=1")
        self.wait_for_status("base", "online")
        self.wait_for_status("after", "online")
        self.assertEqual(self.row("base")["pid"], pid)
        self.assertEqual(self.events_of("base"), ["started", "ready"])
        wait_for(lambda: self.events_of("after")[-1:] == ["ready"], what="the start of after")
        self.assertEqual(self.events_of("after"), ["started", "ready"])
        start.communicate(timeout=60)

    def test_output_goes_on_where_it_was(self):
        check = self.writers()
        for _ in range(KILLS):
            self.kill_manager()
            lines = check.lines
            self.assertEqual(check.check(), [])
            self.assertGreater(check.lines, lines)


class Reload(CrashTestCase):
    """The manager dies in each phase of a reload: it is finished or rolled back, never half."""

    def count(self, event):
        return self.events().count(f"{event} api")

    def cut_off(self, phase, old):
        """A reload that has come to that phase when the manager is killed; returns the command."""
        reload = self.begin("reload", "api")
        wait_for(lambda: self.count("started") > 2, what="a new process")
        if phase != "starting":
            self.go.touch()
            wait_for(lambda: self.count("ready") > 2, what="it to be ready")
        if phase == "leaving":
            wait_for(lambda: not old <= set(self.pids()), what="an old one to leave")
        self.kill_manager()
        self.go.touch()
        return reload

    def check(self, balance, phase):
        self.go.touch()
        self.port = self.free_port()
        self.start(self.gated(env={"LINGER": "0.5"}, listen=[f"127.0.0.1:{self.port}"],
                              instances=2, balance=balance, reload={"soak": 300}))
        before, load = self.rows(), self.load("new=4")
        self.go.unlink()
        old = set(self.pids())
        reload = self.cut_off(phase, old)
        wait_for(lambda: not client.ask(self.home, "ping").get("reloading"),
                 what="the end of the reload")
        self.assert_one_tree_each()
        after = self.rows()
        self.assertIn(old & {row["pid"] for row in after}, (set(), old), "half a reload")
        self.assertEqual([(row["id"], row["status"]) for row in after],
                         [(row["id"], "online") for row in before])
        self.assert_nothing_lost(load)
        reload.communicate(timeout=60)

    def test_of_a_generation_while_it_starts(self):
        self.check("shared", "starting")

    def test_of_a_generation_while_it_soaks(self):
        self.check("shared", "soaking")

    def test_of_a_generation_while_the_old_one_leaves(self):
        self.check("shared", "leaving")

    def test_one_by_one_while_one_starts(self):
        self.check("reuseport", "starting")

    def test_one_by_one_while_one_soaks(self):
        self.check("reuseport", "soaking")

    def test_one_by_one_while_one_leaves(self):
        self.check("reuseport", "leaving")


class Guardian(CrashTestCase):
    def test_its_kills_under_load_lose_nothing_and_a_new_one_is_there(self):
        self.start(self.serving(), self.obedient("other"))
        load, before = self.load(), self.shown()
        for _ in range(KILLS):
            old = self.about()
            begin = time.monotonic()
            os.kill(old["guardian_pid"], signal.SIGKILL)
            wait_for(lambda: self.about()["guardian_pid"] != old["guardian_pid"],
                     what="a new guardian")
            print(f"{self.id()}: back after {(time.monotonic() - begin) * 1e3:.1f} ms", flush=True)
            self.assertEqual(self.shown(), before)
            self.assert_one_tree_each()
        self.kill_manager()  # which the new guardian brings back
        self.assertEqual(self.shown(), before)
        self.assert_nothing_lost(load)

    def test_the_end_of_a_worker_is_seen_by_the_next_one(self):
        self.start(self.obedient())
        old = self.about()["guardian_pid"]
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: self.about()["guardian_pid"] != old, what="a new guardian")
        os.kill(self.row()["pid"], signal.SIGKILL)
        wait_for(lambda: self.row()["restarts"] == 1, what="the restart")
        self.wait_for_status("api", "online")
        self.assert_one_tree_each()


class Both(CrashTestCase):
    def under_load(self, app):
        self.start(app)
        load, before = self.load(), self.shown()
        for _ in range(3):
            self.kill_both_daemons(lambda: load.wait_for(5))
            self.assertEqual(self.shown(), before)
            self.assert_one_tree_each()
        return load

    def test_workers_serve_on_and_the_next_command_finds_them(self):
        self.assert_nothing_lost(self.under_load(self.serving()))

    def test_node_workers_too_and_they_can_be_reloaded(self):
        load = self.under_load(self.node(reload={"soak": 100}))
        before = self.pids()
        self.ctl("reload", "api")
        self.assertFalse(set(before) & set(self.pids()))
        load.wait_for(3)
        result = load.stop()
        self.assertEqual(result.failed, 0, result)
        self.assert_one_tree_each()

    def test_output_is_taken_up_again_every_line_once(self):
        check = self.writers()
        for _ in range(3):
            self.kill_both_daemons()
            self.ctl("ping")
            self.assertEqual(check.check(), [])

    def test_how_far_log_lines_have_come_is_found_again_and_goes_with_an_orderly_end(self):
        self.start({"name": "api", "script": self.worker("sleeps.sh"), "instances": 2,
                    "merge_logs": True})
        lock = (self.home / "clusterd.lock").stat()
        memory = pathlib.Path(f"/dev/shm/clusterd-{os.geteuid()}-{lock.st_dev:x}-{lock.st_ino:x}")
        before = memory.stat().st_ino
        self.kill_both_daemons()
        self.assertEqual(len(self.rows()), 2)
        self.assertEqual(memory.stat().st_ino, before, "another one was made")
        self.ctl("kill")
        self.assertFalse(memory.exists())

    def test_one_that_died_meanwhile_is_started_again_once(self):
        self.start(self.obedient(instances=2))
        pid, other = self.pids()
        self.kill_both_daemons(lambda: os.kill(pid, signal.SIGKILL))
        wait_for(lambda: self.rows()[0]["restarts"] == 1, what="the restart")
        wait_for(lambda: set(self.statuses()) == {"online"}, what="both online")
        self.assertEqual(self.pids()[1], other)
        self.assert_one_tree_each()

    def test_what_has_changed_a_moment_before_is_known(self):
        self.start(self.obedient(instances=2))
        for restarts in range(1, 4):
            os.kill(self.pids()[0], signal.SIGKILL)
            wait_for(lambda: self.rows()[0]["restarts"] == restarts
                     and self.rows()[0]["status"] == "online", what="the restart")
            before = self.shown()
            self.kill_both_daemons()
            self.assertEqual(self.shown(), before)

    def test_the_socket_of_a_node_worker_that_comes_up_is_there(self):
        """It has not asked for it yet, and no other worker holds it."""
        self.start(self.node(instances=1))
        wait_for(lambda: http_answer(self.port), what="the first answer")
        pid = self.pids()[0]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.pids()[0] not in (0, pid), what="the next process")
        self.kill_both_daemons()
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as waiting:
            waiting.sendall(b"GET / HTTP/1.0\r\n\r\n")
            self.ctl("ping")
            self.assertTrue(waiting.recv(100).startswith(b"HTTP/1.1 200"))
        self.assert_one_tree_each()

    def test_what_was_stopped_stays_stopped_and_what_is_adopted_can_be_stopped(self):
        self.start(self.obedient("runs"), self.obedient("rests"))
        self.ctl("stop", "rests")
        before = self.shown()
        self.kill_both_daemons()
        self.assertEqual(self.shown(), before)
        self.ctl("stop", "runs")
        self.assertEqual(self.statuses(), ["stopped", "stopped"])
        self.assert_one_tree_each()
        self.assertEqual(self.events_of("runs").count("ended"), 1)

    def test_what_was_deleted_does_not_come_back(self):
        self.start(self.obedient("stays"), self.obedient("goes"))
        self.ctl("delete", "goes")
        self.kill_both_daemons()
        self.assertEqual([row["name"] for row in self.rows()], ["stays"])


class StateFile(CrashTestCase):
    """What a new daemon makes of what the one before has written, when nobody hands anything over:
    of the journal, and without one (it is in memory while the disk is full) of state.json."""

    def setUp(self):
        super().setUp()
        self.state = self.home / "state.json"
        self.written = self.home / "journal"

    def saved(self):
        return json.loads(self.state.read_text())

    def two_apps(self):
        """One runs, one rests; returns their ids."""
        self.start(self.obedient("runs"), self.obedient("rests"))
        self.ctl("stop", "rests")
        return [self.row(name)["id"] for name in ("runs", "rests")]

    def change(self, path, **of_runs):
        """Makes a file of what is saved, with another row of "runs"; `boot_id` is the file's."""
        state = self.saved()
        if boot_id := of_runs.pop("boot_id", None):
            state["boot_id"] = boot_id
        row = next(row for row in state["workers"] if row["wanted"])
        self.assertIn("pid", row)
        row.update(of_runs)
        path.write_text(json.dumps(state) + "\n")

    def stranger(self):
        """A process that does not belong here: (Popen, its start time)."""
        process = subprocess.Popen(["sleep", "1000"], env={"PATH": os.environ["PATH"]})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, proc.stat(process.pid)[2]

    def end_both_and_worker(self):
        pid = self.row("runs")["pid"]
        self.kill_both_daemons(lambda: os.kill(pid, signal.SIGKILL))
        wait_for(lambda: not is_alive(pid), what="the worker's end")

    def assert_started_anew(self, ids, stranger):
        self.wait_for_status("runs", "online")
        self.assertEqual([self.row(name)["id"] for name in ("runs", "rests")], ids)
        self.assertEqual(self.row("rests")["status"], "stopped")
        self.assertNotEqual(self.row("runs")["pid"], stranger.pid)
        self.assert_one_tree_each()
        self.ctl("stop", "all")
        self.assertIsNone(stranger.poll(), "it was signalled")

    def test_a_pid_that_is_somebody_elses_now_is_left_alone(self):
        for path in self.written, self.state:
            with self.subTest(path.name):
                ids = self.two_apps()
                self.end_both_and_worker()
                stranger, start_time = self.stranger()
                self.written.unlink()
                self.change(path, pid=stranger.pid, tree=stranger.pid,
                            start_time=start_time - 100)
                self.assert_started_anew(ids, stranger)
                self.ctl("delete", "all")

    def test_after_a_reboot_what_ran_is_started_and_what_was_stopped_stays_stopped(self):
        ids = self.two_apps()
        self.end_both_and_worker()
        # Even the same pid and start time are another process's, in another life of the machine.
        stranger, start_time = self.stranger()
        self.change(self.state, pid=stranger.pid, tree=stranger.pid, start_time=start_time,
                    boot_id="11111111-2222-3333-4444-555555555555")
        # What was not synced is whatever the file system has made of it.
        self.written.write_text(self.state.read_text().replace("rests", "nobody"))
        self.assert_started_anew(ids, stranger)

    def what_runs(self):
        """The copy may be older than the last restart, so that it has other counters."""
        return [(row["id"], row["name"], row["status"], row["pid"]) for row in self.rows()]

    def test_a_damaged_file_is_kept_and_the_last_good_one_is_taken(self):
        good = None
        for name, damage in (("empty", lambda text: ""),
                             ("truncated", lambda text: text[:len(text) // 2]),
                             ("garbage", lambda text: "\0\1 no json"),
                             ("of the wrong type", lambda text: "[1, 2]")):
            with self.subTest(name):
                if good is None:
                    self.two_apps()
                    self.ctl("restart", "runs")  # so that the file before says the same
                    good = self.what_runs()
                wait_for(self.state.exists, what="the file of the daemon that goes on")
                self.kill_both_daemons()
                self.written.unlink()
                damaged = damage(self.state.read_text())
                self.state.write_text(damaged)
                self.assertEqual(self.what_runs(), good)
                self.assert_one_tree_each()
                self.assertEqual((self.home / "state.json.bad").read_text(), damaged)
                self.assertIn("state.json.bad", self.log.read_text())

    def test_without_a_good_copy_it_is_told_and_nothing_is_overwritten(self):
        self.two_apps()
        self.end_both_and_worker()
        for copy in *self.home.glob("state.json*"), self.written:
            copy.write_text("no json")
        self.assertEqual(self.rows(), [])
        self.assertIn("state.json.bad", self.log.read_text())
        self.assertEqual((self.home / "state.json.bad").read_text(), "no json")
        self.start(self.obedient())
        self.assertEqual(self.statuses(), ["online"])

    def test_a_file_of_version_1_is_read(self):
        text = (FAULT / "recorded/state-v1.json").read_text()
        for name, path in (("@HOME@", self.home), ("@DIR@", self.dir), ("@BIN@", BIN)):
            text = text.replace(name, str(path))
        shutil.copy(self.worker("sleeps.sh"), self.dir / "sleeps.sh")
        self.home.mkdir(mode=0o700)
        self.state.write_text(text)
        wait_for(lambda: sorted(self.statuses()) == ["online"] * 3 + ["stopped"],
                 what="all that was wanted to be online")
        self.assertEqual(sorted((row["id"], row["name"], row["namespace"], row["status"],
                                 row["restarts"]) for row in self.rows()),
                         [(0, "runs", "default", "online", 1), (1, "runs", "default", "online", 0),
                          (2, "rests", "night", "stopped", 0),
                          (3, "serves", "default", "online", 0)])
        self.assertEqual(self.json("env", 0)["env"]["COLOUR"], "red")
        self.assertEqual(self.describe("runs")["kill_timeout_ms"], 3000)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(self.dir / "serves.sock"))
        self.ctl("stop", "rests")  # any change: it is written in the newest version
        wait_for(lambda: self.saved()["version"] > 1, what="the new version")


if __name__ == "__main__":
    unittest.main()
