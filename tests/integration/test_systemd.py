"""clusterd as a service of a real systemd: one that machine.py boots in a container."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sys
import tempfile
import unittest

import machine
from harness import BIN, free_port, http_answer, http_get, is_alive, processes_of, wait_for
from load import Load

UNITS = "/etc/systemd/system"


class OnMachine(unittest.TestCase):
    """One machine for all tests of a class, each with a user of its own."""

    UNIFIED = False

    @classmethod
    def setUpClass(cls):
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="ct.", dir="/tmp"))
        cls.addClassCleanup(cls._clean_up)
        cls.machine = machine.Machine(cls.dir, cls.UNIFIED)
        try:
            cls.machine.create().boot()
        except machine.Unavailable as reason:
            raise unittest.SkipTest(f"no systemd can be booted here: {reason}")
        cls.names = iter(f"user{number}" for number in range(100))

    @classmethod
    def _clean_up(cls):
        cls.machine.end()
        left = processes_of(str(cls.dir))
        shutil.rmtree(cls.dir, ignore_errors=True)
        assert not left, f"processes are left behind: {left}"

    def setUp(self):
        self.user = self.machine.add_user(next(self.names))
        self.home = f"/home/{self.user[0]}"
        self.unit = f"clusterctl-{self.user[0]}.service"
        self.port = free_port()
        self.own = False  # the unit is of the user's own systemd

    def tearDown(self):
        result = self._outcome.result
        if any(test is self for test, _ in result.failures + result.errors):
            print(f"--- {self.id()}\n{self.machine.journal()[-20_000:]}", file=sys.stderr)
        self.systemctl("stop", self.unit, check=False)

    # What a test uses.

    def systemctl(self, *words, check=True):
        scope = ["--user"] if self.own else []
        return self.machine.run("systemctl", *scope, *words, check=check,
                                user=self.user if self.own else None).stdout.strip()

    def show(self, name):
        return self.machine.show(self.unit, name, user=self.user if self.own else None)[name]

    def ctl(self, *words, check=True, root=False):
        return self.machine.run("clusterctl", *words, check=check,
                                user=None if root else self.user)

    def rows(self):
        """name → row, of those that the user's daemon has."""
        processes = json.loads(self.ctl("list", "--json").stdout)["processes"]
        return {f"{row['name']}:{row['id']}": row for row in processes}

    def online(self):
        """What runs: (name and id) → pid as seen inside."""
        return {key: row["pid"] for key, row in self.rows().items() if row["status"] == "online"}

    def start(self, *apps):
        path = f"{self.home}/ecosystem.json"
        self.machine.write(path, json.dumps({"apps": list(apps)}))
        return self.ctl("start", path)

    def api(self, **more):
        return {"name": "api", "script": f"{machine.PROGRAMS}/clusterapp", "instances": 2,
                "listen": str(self.port), "wait_ready": True, "listen_timeout": "60s",
                "env": {"DATA_DIR": f"/var/tmp/data-of-{self.user[0]}"}} | more

    def startup(self, *more):
        """As root, for the user."""
        return self.ctl("startup", "-u", self.user[0], *more, root=True)

    def drop_in(self, *lines):
        self.machine.write(f"{UNITS}/{self.unit}.d/test.conf", "\n".join(["[Service]", *lines, ""]))
        self.systemctl("daemon-reload")

    def finding(self, check):
        findings = json.loads(self.ctl("doctor", "--json", check=False).stdout)["findings"]
        return next(finding for finding in findings if finding["check"] == check)

    def load(self):
        wait_for(lambda: http_answer(self.port), what="the first answer")
        load = Load(self.port, kinds="new=3,kept=3", no_echo=True)
        self.addCleanup(load.stop)
        return load.wait_for(3)

    def assert_nothing_lost(self, load):
        result = load.wait_for(3).stop()
        print(f"{self.id()}: {result}", flush=True)
        self.assertEqual((result.failed, result.raced), (0, 0), result)

    def kill_main(self, restarts=1):
        """kill -9 of the unit's main process; returns when systemd has a new one."""
        self.machine.run("kill", "-9", self.show("MainPID"))
        wait_for(lambda: int(self.show("NRestarts")) >= restarts
                 and self.show("ActiveState") == "active", what="a restart by systemd")


class OfTheSystem(OnMachine):
    def test_lines_go_to_the_journal_with_their_fields(self):
        self.startup()
        self.start({"name": "talks", "script": "echo hello; echo trouble >&2; sleep 1000",
                    "log_sinks": ["journald"]})

        def entries():
            said = self.machine.run("journalctl", "CLUSTER_APP=talks", "-o", "json").stdout
            return [json.loads(line) for line in said.splitlines()]
        wait_for(lambda: len(entries()) == 2, what="both lines")
        pid = str(self.rows()["talks:0"]["pid"])
        told = sorted((entry["MESSAGE"], entry["PRIORITY"], entry["CLUSTER_STREAM"],
                       entry["SYSLOG_IDENTIFIER"], entry["SYSLOG_PID"], entry["_SYSTEMD_UNIT"])
                      for entry in entries())
        self.assertEqual(told, [("hello", "6", "out", "talks", pid, self.unit),
                                ("trouble", "3", "err", "talks", pid, self.unit)])

    def test_from_startup_to_unstartup(self):
        said = self.startup().stdout
        for step in (f"write {UNITS}/{self.unit}", "systemctl daemon-reload",
                     f"systemctl enable {self.unit}", f"systemctl start {self.unit}"):
            self.assertIn(f"Executing: {step}\n", said)
        self.assertEqual(self.systemctl("is-enabled", self.unit), "enabled")
        self.assertEqual(self.systemctl("is-active", self.unit), "active")
        self.start(self.api(), {"name": "idle", "script": "sleep 1000"})
        self.ctl("stop", "idle")
        before = self.online()
        self.assertEqual(sorted(before), ["api:0", "api:1"])
        self.assertEqual(self.rows()["api:0"]["user"], self.user[0])

        main = self.show("MainPID")
        load = self.load()
        self.systemctl("reload", self.unit)
        self.assertEqual((self.show("MainPID"), self.online()), (main, before))
        self.assert_nothing_lost(load)

        load = self.load()
        self.kill_main()
        self.assertNotEqual(self.show("MainPID"), main)
        self.assertEqual(self.online(), before)
        self.assert_nothing_lost(load)

        self.machine.reboot()
        wait_for(lambda: sorted(self.online()) == ["api:0", "api:1"], what="the same after a boot")
        self.assertEqual(self.rows()["idle:2"]["status"], "stopped")

        said = self.ctl("unstartup", "-u", self.user[0], root=True).stdout
        self.assertIn(f"Executing: remove {UNITS}/{self.unit}\n", said)
        self.assertEqual(self.systemctl("is-active", self.unit, check=False), "inactive")
        self.assertEqual(self.machine.show(self.unit, "LoadState")["LoadState"], "not-found")
        self.assertIsNone(http_answer(self.port))
        again = self.ctl("unstartup", "-u", self.user[0], root=True, check=False)
        self.assertEqual(again.returncode, 1)
        self.assertIn("nothing to undo", again.stderr)
        wait_for(lambda: sorted(self.online()) == ["api:0", "api:1"],
                 what="a daemon without systemd")
        self.ctl("kill")

    def test_sockets_and_pipes_outlive_a_kill_in_the_fd_store(self):
        self.startup()
        self.machine.write(f"{self.home}/last.sh", "trap 'echo last words; exit 7' TERM\n"
                                                   "echo begun\nwhile :; do sleep 0.1; done\n")
        self.start(self.api(), {"name": "last", "script": f"{self.home}/last.sh",
                                "autorestart": False})
        log = f"{self.home}/.clusterctl/logs/last-out.log"
        wait_for(lambda: "begun" in self.machine.read(log), what="the first line")
        self.ctl("stop", "api")
        self.drop_in("RestartSec=2s")
        # Nobody but the daemon has this socket now: without the store the connection would be reset.
        client = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.addCleanup(client.close)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        last = self.rows()["last:2"]["pid"]
        self.machine.run("kill", "-9", self.show("MainPID"))
        wait_for(lambda: self.show("SubState") == "auto-restart", what="the death of the daemon")
        # It dies while nobody reads its pipe, and nobody else holds that.
        self.machine.run("kill", "-TERM", str(last))
        wait_for(lambda: self.show("ActiveState") == "active", what="the next daemon")
        wait_for(lambda: "last words" in self.machine.read(log), what="its last words")
        self.assertEqual(self.rows()["last:2"]["status"], "stopped")
        self.ctl("start", "api")
        self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200"))

    def test_descriptors_that_are_given_up_leave_the_store(self):
        self.startup()
        empty = int(self.show("NFileDescriptorStore"))
        self.start(self.api(instances=4))
        self.assertGreater(int(self.show("NFileDescriptorStore")), empty + 4)
        self.systemctl("reload", self.unit)
        self.kill_main()
        self.assertGreater(int(self.show("NFileDescriptorStore")), empty + 4)
        self.ctl("delete", "all")
        wait_for(lambda: int(self.show("NFileDescriptorStore")) == empty, what="an empty store")

    def test_a_manager_that_hangs_is_replaced_by_the_watchdog(self):
        self.startup()
        self.drop_in("WatchdogSec=2s")
        self.systemctl("restart", self.unit)
        self.start(self.api())
        before = self.online()
        main = self.show("MainPID")
        manager = self.machine.run("pgrep", "-P", main, "-f", "manager").stdout.strip()
        load = self.load()
        self.machine.run("kill", "-STOP", manager)
        wait_for(lambda: int(self.show("NRestarts")) == 1 and self.show("ActiveState") == "active",
                 deadline=30, what="a restart by the watchdog")
        self.assertIn("Watchdog timeout", self.machine.journal())
        self.assertEqual(self.machine.run("kill", "-0", manager, check=False).returncode, 1)
        self.assertEqual(self.online(), before)
        self.assert_nothing_lost(load)

    def test_stop_ends_everything_in_order(self):
        self.startup()
        slow = ("trap 'sleep 0.5; echo \"$NAME\" >> order; exit' INT\n"
                "while :; do sleep 0.05; done\n")
        self.machine.write(f"{self.home}/slow.sh", slow)
        def app(name, *needs):
            return {"name": name, "script": f"{self.home}/slow.sh", "cwd": self.home,
                    "env": {"NAME": name}, "depends_on": list(needs)}
        self.start(app("base"), app("middle", "base"), app("top", "middle"))
        ids = sorted(self.online())
        self.systemctl("stop", self.unit)
        self.assertEqual(self.machine.read(f"{self.home}/order").split(), ["top", "middle", "base"])
        self.assertEqual((self.show("ActiveState"), self.show("Result")), ("inactive", "success"))
        left = self.machine.run("pgrep", "-u", self.user[0], "-l", check=False).stdout
        self.assertEqual(left, "")
        self.systemctl("start", self.unit)
        wait_for(lambda: sorted(self.online()) == ids, what="the same ids")

    def test_a_stop_has_as_much_time_as_the_apps_need(self):
        self.startup()
        self.drop_in("TimeoutStopSec=1s", "WatchdogSec=900ms")
        self.systemctl("restart", self.unit)
        self.machine.write(f"{self.home}/slow.sh", "trap 'sleep 3; echo done > end; exit' INT\n"
                                                   "while :; do sleep 0.05; done\n")
        self.start({"name": "slow", "script": f"{self.home}/slow.sh", "cwd": self.home,
                    "kill_timeout": "30s"})
        self.systemctl("stop", self.unit)
        self.assertEqual(self.machine.read(f"{self.home}/end"), "done\n")
        self.assertEqual(self.show("Result"), "success")

    def test_a_daemon_that_was_started_by_hand_gives_over_to_the_unit(self):
        self.start(self.api())
        before = self.online()
        load = self.load()
        self.startup()
        self.assertEqual(self.online(), before)
        self.assert_nothing_lost(load)
        self.assertEqual(self.finding("systemd")["verdict"], "ok")
        self.systemctl("stop", self.unit)
        self.ctl("list")  # without the right to start the unit
        self.assertIn("does not run this daemon", self.finding("systemd")["what"])
        self.systemctl("start", self.unit)
        daemons = self.machine.run("pgrep", "-u", self.user[0], "clusterd").stdout.split()
        self.assertEqual(daemons[0], self.show("MainPID"))
        self.assertEqual(len(daemons), 2)

    def test_commands_start_the_unit_instead_of_a_daemon_of_their_own(self):
        self.ctl("startup", root=True)
        self.addCleanup(self.ctl, "unstartup", root=True)
        self.unit = "clusterctl-root.service"
        self.systemctl("stop", self.unit)
        self.ctl("ping", root=True)
        self.assertEqual(self.systemctl("is-active", self.unit), "active")
        self.ctl("kill", root=True)
        wait_for(lambda: self.show("ActiveState") == "inactive", what="the end of the unit")
        # The gap after a kill is systemd's to fill.
        self.ctl("ping", root=True)
        self.machine.run("kill", "-9", self.show("MainPID"))
        self.ctl("ping", root=True)
        self.assertEqual(self.systemctl("is-active", self.unit), "active")

    def test_the_daemon_comes_back_however_often_it_is_killed(self):
        self.startup()
        self.drop_in("RestartSec=0")
        self.start(self.api())
        before = self.online()
        load = self.load()
        for number in range(1, 9):
            self.kill_main(restarts=number)
        self.assertEqual(self.online(), before)
        self.assert_nothing_lost(load)

    def test_what_systemd_says_about_the_units(self):
        for options in ([], ["--wait-ip", "--hardened"]):
            with self.subTest(options):
                self.startup(*options)
                path = f"{UNITS}/{self.unit}"
                verified = self.machine.run("systemd-analyze", "verify", path)
                self.assertEqual(verified.stdout + verified.stderr, "")
                score = self.machine.run("systemd-analyze", "security", "--no-pager", self.unit)
                score = re.search(r"exposure level for .*: ([0-9.]+)", score.stdout)[1]
                print(f"systemd-analyze security {' '.join(options) or '(as it is)'}: {score}")
                self.assertLess(float(score), 5.0 if "--hardened" in options else 9.0)
                # It works all the same.
                self.systemctl("restart", self.unit)
                self.start(self.api(name="api" if not options else "api" + str(len(options))))
                wait_for(lambda: http_answer(self.port), what="an answer")
                before = self.online()
                self.kill_main()
                self.assertEqual(self.online(), before)
                self.ctl("delete", "all")
                self.ctl("unstartup", "-u", self.user[0], root=True)

    def test_a_home_with_an_odd_name(self):
        home = f"{self.home}/100% of $HOME's \"stuff\""
        self.machine.run("mkdir", "-p", home, user=self.user)
        self.startup("--hp", home)
        self.assertEqual(self.systemctl("is-active", self.unit), "active")
        variables = {"CLUSTER_HOME": home + "/.clusterctl"}
        self.machine.run("clusterctl", "start", "sleep 1000", user=self.user, env=variables)
        pong = self.machine.run("clusterctl", "ping", user=self.user, env=variables)
        self.assertIn("pong", pong.stdout)
        self.systemctl("reload", self.unit)
        daemons = self.machine.run("pgrep", "-u", self.user[0], "clusterd").stdout.split()
        self.assertEqual(daemons[0], self.show("MainPID"))

    def test_a_failing_step_is_told_with_an_exit_code(self):
        broken = self.machine.run(f"{machine.PROGRAMS}/clusterctl", "startup", "-u", self.user[0],
                                  check=False, env={"PATH": machine.PROGRAMS})
        self.assertEqual(broken.returncode, 1)
        self.assertIn("systemctl daemon-reload: find systemctl in PATH", broken.stderr)
        self.ctl("unstartup", "-u", self.user[0], root=True)

    def test_a_unit_that_runs_one_file_alone(self):
        if self.ctl("run", "--help", check=False).returncode != 0:
            self.skipTest("this clusterctl has no command `run` yet")
        self.unit = f"{self.user[0]}-api.service"
        self.machine.write(f"{self.home}/ecosystem.json", json.dumps({"apps": [self.api()]}))
        text = self.ctl("systemd-unit", f"{self.home}/ecosystem.json", "-u", self.user[0],
                        "--service-name", self.unit).stdout
        self.machine.write(f"{UNITS}/{self.unit}", text)
        verified = self.machine.run("systemd-analyze", "verify", f"{UNITS}/{self.unit}")
        self.assertEqual(verified.stdout + verified.stderr, "")
        self.systemctl("daemon-reload")
        self.systemctl("start", self.unit)
        wait_for(lambda: http_answer(self.port), what="an answer")
        self.kill_main()
        wait_for(lambda: http_answer(self.port), what="an answer of the next")
        self.assertIn("listening on", self.machine.journal())
        self.systemctl("stop", self.unit)
        self.assertEqual((self.show("Result"), http_answer(self.port)), ("success", None))
        left = self.machine.run("pgrep", "-u", self.user[0], "-l", check=False).stdout
        self.assertEqual(left, "")

    def test_a_second_unit_for_a_home_is_refused(self):
        self.startup()
        second = self.ctl("startup", "-u", self.user[0], "--service-name", "other", root=True,
                          check=False)
        self.assertEqual(second.returncode, 1)
        self.assertIn(f"unstartup --service-name {self.unit}", second.stderr)


class OfAUser(OnMachine):
    def setUp(self):
        super().setUp()
        self.own = True
        self.unit = "clusterctl.service"
        # Without polkit an ordinary user may not do that; it starts the user's systemd.
        self.machine.run("loginctl", "enable-linger", self.user[0])
        wait_for(lambda: self.systemctl("is-system-running", check=False) in ("running", "degraded"),
                 what="the user's systemd")

    def test_from_startup_to_unstartup(self):
        done = self.ctl("startup")
        self.assertIn("sudo env", done.stdout)
        self.assertIn(f"-u {self.user[0]} --hp {self.home}", done.stdout)
        path = f"{self.home}/.config/systemd/user/{self.unit}"
        verified = self.machine.run("systemd-analyze", "--user", "verify", path, user=self.user)
        self.assertEqual(verified.stdout + verified.stderr, "")
        self.start(self.api(), {"name": "idle", "script": "sleep 1000"})
        self.ctl("stop", "idle")
        before = self.online()
        main = self.show("MainPID")

        load = self.load()
        self.systemctl("reload", self.unit)
        self.assertEqual((self.show("MainPID"), self.online()), (main, before))
        self.kill_main()
        self.assertEqual(self.online(), before)
        self.assert_nothing_lost(load)

        self.machine.reboot()
        wait_for(lambda: sorted(self.online()) == ["api:0", "api:1"], what="the same after a boot")
        self.assertEqual(self.rows()["idle:2"]["status"], "stopped")

        self.systemctl("stop", self.unit)
        self.assertIsNone(http_answer(self.port))
        self.ctl("ping")  # starts the unit
        self.assertEqual(self.systemctl("is-active", self.unit), "active")
        self.ctl("unstartup")
        self.assertEqual(self.machine.run("ls", path, check=False).returncode, 2)
        self.ctl("kill")

    def test_only_root_does_it_for_others(self):
        done = self.ctl("startup", "-u", "root", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("run: sudo env", done.stderr)

    def test_a_unit_for_one_file(self):
        self.machine.write(f"{self.home}/ecosystem.json", json.dumps({"apps": [self.api()]}))
        text = self.ctl("systemd-unit", f"{self.home}/ecosystem.json", "--of-user").stdout
        path = f"{self.home}/.config/systemd/user/one.service"
        self.machine.write(path, text)
        verified = self.machine.run("systemd-analyze", "--user", "verify", path, user=self.user)
        self.assertEqual(verified.stdout + verified.stderr, "")


class OfTheUnifiedHierarchy(OnMachine):
    UNIFIED = True

    def test_a_kill_over_workers_in_groups_with_controllers(self):
        """The kernel allows no process beside such groups, and systemd starts the main one there."""
        self.startup()
        self.start(self.api())
        before = self.online()
        # Prepared from outside: which controllers there are is the host's affair.
        v2 = next(group for group in self.machine.groups if "cgroup.kill" in os.listdir(group))
        unit = v2 / "payload/system.slice" / self.unit
        (unit / "daemon").mkdir()
        (unit / "workers").mkdir()
        for pid in (unit / "cgroup.procs").read_text().split():
            name = pathlib.Path(f"/proc/{pid}/comm").read_text()
            group = "daemon" if "clusterd" in name else "workers"
            (unit / group / "cgroup.procs").write_text(pid)
        self.turn_on_a_controller(v2.parent, v2, v2 / "payload", v2 / "payload/system.slice", unit)
        load = self.load()
        self.kill_main()
        self.assertEqual(self.online(), before)
        self.assert_nothing_lost(load)

    def turn_on_a_controller(self, *path):
        """For what is in the last group; any will do."""
        for name in (path[0] / "cgroup.controllers").read_text().split():
            switches = [group / "cgroup.subtree_control" for group in path]
            was_on = [name in switch.read_text().split() for switch in switches]
            try:
                for switch, on in zip(switches, was_on):
                    if not on:
                        switch.write_text("+" + name)
                        self.addCleanup(self.turn_off, switch, name)
                return
            except OSError:
                self.doCleanups()
        self.skipTest("the host has no controller of cgroup v2 to turn on here")

    def turn_off(self, switch, name):
        with contextlib.suppress(OSError):  # it went with the machine, or is in use below
            switch.write_text("-" + name)


if __name__ == "__main__":
    unittest.main()
