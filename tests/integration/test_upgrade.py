#!/usr/bin/env python3
"""The guardian is killed, or another version takes over: under load of every kind of client no
request is lost, the workers keep their pids, and somebody who serves is there again at once.

A version that does not come up, in each way that we know of, leaves the old one in charge.
"""
import contextlib
import datetime
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import unittest

from harness import (BIN, ROOT, SANITIZED, ClusterTestCase, http_answer, is_alive, open_files,
                     wait_for)
from load import Load
import client
import proc

KINDS = "new=8,kept=8,pipelined=4,slow=4"
GAP_MS = 5000 if SANITIZED else 500
NEXT, BROKEN = str(BIN / "clusterd_next"), str(BIN / "clusterd_broken")


class UpgradeTestCase(ClusterTestCase):
    def setUp(self):
        super().setUp()
        self.port = self.free_port()
        app = {"name": "api", "script": str(BIN / "clusterapp"), "instances": 2,
               "listen": [f"127.0.0.1:{self.port}"], "min_uptime": 200}
        self.ctl("start", self.ecosystem(app))
        wait_for(lambda: http_answer(self.port), what="the first answer")
        self.before = self.pids()
        self.old = self.about()

    def load(self):
        load = Load(self.port, kinds=KINDS, no_echo=True, slow_path="/slow?ms=500")
        self.addCleanup(load.stop)
        return load.wait_for(3)

    def pids(self):
        processes = wait_for(lambda: self.ask("list"), what="the list")["processes"]
        return {row["id"]: (row["pid"], row["restarts"], row["status"]) for row in processes}

    def ask(self, method, **params):
        """None while no daemon answers."""
        with contextlib.suppress(client.Broken):
            return client.ask(self.home, method, **params)

    def kill_and_await(self, *names):
        """kill -9 of "pid" (the manager) and "guardian_pid", then another manager's greeting."""
        before = self.about()
        for name in names:
            os.kill(before[name], signal.SIGKILL)
        wait_for(lambda: self.about()["pid"] != before["pid"], what="another manager")
        return self.about()

    def upgrade(self, **params):
        """The outcome of one that was accepted."""
        begun = client.ask(self.home, "upgrade", **params)

        def outcome():
            last = (self.ask("ping") or {}).get("upgrade")
            return last and last["serial"] == begun["serial"] and last
        return wait_for(outcome, deadline=40, what="the outcome")

    def assert_untouched(self, load, version=None):
        load.wait_for(3)
        result = load.stop()
        print(f"{self.id()}: {result}", flush=True)
        self.assertEqual(result.failed, 0, result)
        self.assertEqual(self.pids(), self.before)
        about = self.about()
        self.assertEqual(about["version"], version or self.old["version"])
        pid = int((self.home / "clusterd.pid").read_text())
        self.assertEqual(pid, about["guardian_pid"])
        self.assertEqual(pathlib.Path(f"/proc/{pid}/comm").read_text(), "clusterd\n")
        # It is a daemon like any other: it can stop and start what it has taken over.
        self.ctl("restart", "api")
        self.assertFalse(set(self.before.values()) & set(self.pids().values()))


def signals_of(pid):
    """Masks of blocked, ignored and caught signals, but for real-time ones."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line[:6]: int(line.split()[1], 16) & 0x7FFFFFFF for line in lines
            if line.startswith(("SigBlk", "SigIgn", "SigCgt"))}


class KilledInBetween(UpgradeTestCase):
    def kill_in_the_middle(self, both):
        """Once the new guardian is there: it, and whatever manager there is."""
        guardian = self.about()["guardian_pid"]
        end = time.monotonic() + 20
        while os.readlink(f"/proc/{guardian}/exe") != NEXT:
            self.assertLess(time.monotonic(), end, "no new guardian")
        for daemon in proc.Snapshot(self.home).daemons():
            if both or daemon.pid == guardian:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(daemon.pid, signal.SIGKILL)

    def test_the_command_ends_and_says_what_is_there(self):
        load = self.load()
        for both in False, True, True:
            update = self.begin("update", NEXT)
            self.kill_in_the_middle(both)
            said = "".join(update.communicate(timeout=20))
            self.ctl("ping")  # where it had ended before the kill, nobody starts a daemon
            if update.returncode == 0:
                self.assertRegex(said, "-> [0-9.]+, 2 workers untouched")
            else:
                self.assertRegex(said, "did not take over|the daemon was killed")
            if not both and update.returncode == 0:
                self.assertIn(f"-> {self.about()['version']},", said)
            self.assertEqual(self.pids(), self.before)
            self.ctl("update", str(BIN / "clusterd"))
        load.wait_for(3)
        result = load.stop()
        self.assertEqual(result.failed, 0, result)


class Deaths(UpgradeTestCase):
    def test_guardian(self):
        load = self.load()
        after = self.kill_and_await("guardian_pid")
        self.assertEqual(after["guardian_pid"], self.old["pid"])
        # The manager has become the guardian, so its children are still its own.
        self.assertEqual({proc.stat(worker)[0] for worker, _, _ in self.before.values()},
                         {after["guardian_pid"]})
        self.assert_untouched(load)

    def test_guardian_again_and_again_and_each_manager_in_between(self):
        load = self.load()
        for _ in range(3):
            self.kill_and_await("guardian_pid")
            self.kill_and_await("pid")
        self.assert_untouched(load)

    def test_a_guardian_by_exec_is_like_one_that_was_started(self):
        started = signals_of(self.old["guardian_pid"])
        limits = pathlib.Path(f"/proc/{self.old['guardian_pid']}/limits").read_text()
        after = self.kill_and_await("guardian_pid")
        self.assertEqual(signals_of(after["guardian_pid"]), started)
        self.assertEqual(pathlib.Path(f"/proc/{after['guardian_pid']}/limits").read_text(), limits)
        self.assertEqual(signals_of(after["pid"]), signals_of(self.kill_and_await("pid")["pid"]))

    def test_the_last_descriptor_of_a_deleted_app_is_given_up(self):
        def pipes_of(pid):
            return {link for link in open_files(pid) if link.startswith("pipe:")}
        outputs = {os.readlink(f"/proc/{worker}/fd/{fd}")
                   for worker, _, _ in self.before.values() for fd in (1, 2)}
        self.assertTrue(outputs <= pipes_of(self.old["guardian_pid"]))
        self.ctl("delete", "api")
        after = self.kill_and_await("guardian_pid")
        listening = {line.split()[9] for line in
                     pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
                     if line.split()[1].endswith(f":{self.port:04X}") and line.split()[3] == "0A"}
        self.assertEqual(listening, set())
        self.assertFalse(outputs & pipes_of(after["guardian_pid"]))

    def test_how_a_worker_ended_while_there_was_no_manager_is_known(self):
        # Adopted by the guardian first: the manager that launched it is dead.
        about = self.kill_and_await("pid")
        worker = self.before[0][0]
        os.kill(about["pid"], signal.SIGSTOP)
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not pathlib.Path(f"/proc/{worker}").exists(), what="its end")
        os.kill(about["pid"], signal.SIGKILL)
        wait_for(lambda: self.pids()[0][1:] == (1, "online"), what="its restart")
        exits = client.ask(self.home, "describe", targets=["0"])["processes"][0]["last_exits"]
        self.assertEqual([exit["signal"] for exit in exits], [signal.SIGKILL])

    def test_leaving_the_workers(self):
        load = self.load()
        client.ask(self.home, "kill", leave_workers=True)
        daemons = {self.old["pid"], self.old["guardian_pid"]}
        wait_for(lambda: not any(map(is_alive, daemons)), what="the end of both")
        self.assertFalse((self.home / "clusterd.sock").exists())
        self.assertFalse((self.home / "clusterd.pid").exists())
        load.wait_for(3)
        self.ctl("list")  # starts a daemon
        self.assertEqual(self.pids(), self.before)
        result = load.stop()
        self.assertEqual(result.failed, 0, result)


class Upgrades(UpgradeTestCase):
    def test_to_the_next_version_and_back(self):
        load = self.load()
        there = self.upgrade(binary=NEXT)
        self.assertEqual(self.about()["version"], there["to"])
        back = self.upgrade(binary=str(BIN / "clusterd"))
        for outcome in there, back:
            print(f"{self.id()}: {outcome['from']} to {outcome['to']}: gap {outcome['gap_ms']} ms",
                  flush=True)
            self.assertTrue(outcome["ok"], outcome)
            self.assertEqual(outcome["reason"], "")
            self.assertLess(outcome["gap_ms"], GAP_MS)
        self.assertNotEqual(there["from"], there["to"])
        self.assertEqual((back["from"], back["to"]), (there["to"], there["from"]))
        self.assertEqual(self.about()["guardian_pid"], self.old["guardian_pid"])
        self.assert_untouched(load)

    def test_to_itself_while_the_file_is_another_one_already(self):
        mine = self.dir / "clusterd"
        shutil.copy(BIN / "clusterd", mine)
        self.assertTrue(self.upgrade(binary=str(mine))["ok"])
        shutil.copy(NEXT, self.dir / "fresh")
        os.replace(self.dir / "fresh", mine)
        # A manager that crashes before the upgrade is of the version that runs.
        self.assertEqual(self.kill_and_await("pid")["version"], self.old["version"])
        load = self.load()
        outcome = self.upgrade()
        self.assertTrue(outcome["ok"], outcome)
        self.assert_untouched(load, version=outcome["to"])

    def test_both_orders_of_death_after_an_upgrade(self):
        version = self.upgrade(binary=NEXT)["to"]
        load = self.load()
        self.kill_and_await("pid")
        self.kill_and_await("guardian_pid")
        self.kill_and_await("pid")
        self.assert_untouched(load, version=version)


class BrokenVersions(UpgradeTestCase):
    def refused(self, binary, why):
        """Before anything was touched."""
        load = self.load()
        with self.assertRaisesRegex(client.Refused, why):
            client.ask(self.home, "upgrade", binary=str(binary))
        self.assertEqual(self.about(), self.old)
        self.assert_untouched(load)

    def failed(self, binary, why, executed=True):
        """Tried, and taken back."""
        load = self.load()
        outcome = self.upgrade(binary=str(binary))
        print(f"{self.id()}: {outcome}", flush=True)
        self.assertFalse(outcome["ok"], outcome)
        self.assertIn(why, outcome["reason"])
        self.assertEqual(outcome["gap_ms"] > 0, executed)
        self.assert_untouched(load)

    def script(self, text):
        path = self.dir / "clusterd_script"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def test_one_that_is_not_there(self):
        self.refused("/nonexistent/clusterd", "no such file or directory")

    def test_a_path_that_says_nothing(self):
        self.refused("clusterd", "must be an absolute path")

    def test_one_that_cannot_be_executed(self):
        path = self.dir / "clusterd"
        shutil.copy(BIN / "clusterd", path)
        path.chmod(0o644)
        self.refused(path, "permission denied")

    def test_one_that_is_something_else(self):
        self.refused("/bin/true", "it is no clusterd")

    def test_one_that_cannot_read_the_state(self):
        self.refused(self.script("echo 'its version is 2, this daemon reads 1'; exit 1"),
                     "its version is 2, this daemon reads 1")

    def test_one_that_crashes_when_it_is_asked(self):
        self.refused(self.script("kill -SEGV $$"), "it was ended by signal 11")

    def test_one_that_ends_at_once_as_guardian(self):
        self.failed(self.script(f'[ "$1" = --check-state ] && exec {NEXT} "$@"; exit 3'),
                    "ended before it had taken over")

    def test_one_that_is_gone_when_its_turn_has_come(self):
        self.failed(self.script(f'rm "$0"; exec {NEXT} "$@"'), "no such file or directory",
                    executed=False)

    def test_one_whose_manager_ends_at_once(self):
        self.failed(BROKEN, "the manager ended 3 times (code 9")

    def test_one_whose_manager_never_gets_ready(self):
        (self.home / "hang").touch()
        self.failed(BROKEN, "was not ready after 10 s")

    def test_one_that_does_nothing_as_guardian(self):
        self.failed(self.script(f'[ "$1" = --check-state ] && exec {NEXT} "$@"; exec sleep 1000'),
                    "ended before it had taken over")


class CheckState(ClusterTestCase):
    """What an upgrade asks the other program first: whether it can go on with the state."""

    def check_state(self, text):
        path = self.dir / "state.json"
        path.write_text(text)
        done = subprocess.run([BIN / "clusterd", "--check-state", path], timeout=20, text=True,
                              env=self.environment(), capture_output=True)
        return done.returncode, done.stdout

    def test_a_state_of_a_version_that_we_read_is_answered_with_ours(self):
        ours = self.ctl("--version").out
        recorded = (ROOT / "tests/fault/recorded/state-v1.json").read_text()
        self.assertEqual(self.check_state(recorded.replace("@DIR@", str(self.dir))), (0, ours))
        self.assertEqual(self.check_state('{"version":99,"readable_by":2,"workers":[]}\n'),
                         (0, ours))

    def test_one_that_we_cannot_read_is_refused_with_the_reason(self):
        code, out = self.check_state('{"version":99,"readable_by":99,"workers":[]}\n')
        self.assertEqual(code, 1)
        self.assertRegex(out, r"^its version is 99, this daemon reads up to \d+\n$")
        self.assertEqual(self.check_state("no json")[0], 1)
        self.assertEqual(self.processes(), [])


class Pacing(ClusterTestCase):
    def test_a_manager_that_never_serves_is_started_at_once_five_times_then_ever_more_rarely(self):
        log = self.dir / "log"
        with open(log, "w") as to:
            daemon = subprocess.Popen([BROKEN, "--foreground"], env=self.environment(), stderr=to)

        def deaths():
            return [datetime.datetime.fromisoformat(line.split()[0])
                    for line in log.read_text().splitlines() if "the manager ended (code 9" in line]
        wait_for(lambda: len(deaths()) >= 12, deadline=60, what="the twelfth death")
        daemon.terminate()
        self.assertEqual(daemon.wait(20), 0)
        times = deaths()
        pauses = [(after - before).total_seconds() for before, after in zip(times, times[1:])]
        self.assertLess(max(pauses[:5]), 0.9, pauses)
        for pause, least in zip(pauses[5:], (0.04, 0.08, 0.16, 0.32, 0.64, 1.28)):
            self.assertGreaterEqual(pause, least - 0.002, pauses)  # the log has milliseconds
        self.assertLess(sorted(pauses[:5])[2], pauses[10], pauses)


class Foreground(ClusterTestCase):
    def daemon(self, told):
        """One that a service manager starts; once it has said that it is ready."""
        environment = self.environment({"NOTIFY_SOCKET": str(self.dir / "notify")})
        daemon = subprocess.Popen([BIN / "clusterd", "--foreground"], env=environment,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        said = told.recv(1000).decode().splitlines()
        self.assertEqual(said[:2], ["READY=1", f"MAINPID={daemon.pid}"])
        return daemon

    def test_a_guardian_that_a_service_manager_started_is_replaced_by_it_alone(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(str(self.dir / "notify"))
            told.settimeout(20)
            os.makedirs(self.home)
            first = self.daemon(told)
            self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
            pid = self.json("list")["processes"][0]["pid"]
            manager = self.about()["pid"]
            os.kill(manager, signal.SIGSTOP)  # also one that hangs has to go
            first.kill()
            first.wait()
            wait_for(lambda: not is_alive(manager), what="the end of the manager")
            self.assertTrue(is_alive(pid))
            second = self.daemon(told)
            row = self.json("list")["processes"][0]
            self.assertEqual((row["pid"], row["status"], row["restarts"]), (pid, "online", 0))
            self.ctl("kill")
            self.assertEqual(second.wait(20), 0)

    def test_the_service_manager_hears_that_both_loops_turn(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(str(self.dir / "notify"))
            told.settimeout(20)
            os.makedirs(self.home)
            environment = self.environment({"NOTIFY_SOCKET": str(self.dir / "notify"),
                                            "WATCHDOG_USEC": "300000"})
            daemon = subprocess.Popen([BIN / "clusterd", "--foreground"], env=environment,
                                      stderr=subprocess.DEVNULL)
            self.addCleanup(daemon.wait)
            self.addCleanup(daemon.kill)
            told.recv(1000)
            for _ in range(3):
                self.assertEqual(told.recv(1000), b"WATCHDOG=1")
            manager = self.about()["pid"]
            os.kill(manager, signal.SIGSTOP)
            told.settimeout(0.5)
            with self.assertRaises(TimeoutError):
                while True:  # what was on its way
                    told.recv(1000)
            os.kill(manager, signal.SIGCONT)
            told.settimeout(20)
            self.assertEqual(told.recv(1000), b"WATCHDOG=1")
            self.ctl("kill")


if __name__ == "__main__":
    unittest.main()
