#!/usr/bin/env python3
"""Whether a worker serves: wait_ready, `ready` and `health` probes, watchdog."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import unittest

from harness import http_get, is_alive, wait_for
from obedient import ObedientTestCase

# Not pyenv's: another user cannot reach that one.
PYTHON = "/usr/bin/python3"
needs_root = unittest.skipUnless(os.geteuid() == 0 and os.path.exists(PYTHON), "needs root")
needs_node = unittest.skipUnless(shutil.which("node"), "needs node")

SAY_READY = """
import os, socket, sys
name = sys.argv[1]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
    peer.sendto(b"READY=1", chr(0) + name[1:] if name[0] == "@" else name)
"""


def two_free_ports():
    """The first of two in a row, below those that the kernel gives to whoever asks for any."""
    while True:
        first = random.randrange(10000, 30000, 2)
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for port in (first, first + 1):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


def environ(pid):
    entries = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(entry.decode().split("=", 1) for entry in entries if entry)


class WaitReady(ObedientTestCase):
    def test_start_waits_for_ready_by_notify_socket_and_shows_launching_until_then(self):
        self.starts_when(self.ecosystem(self.gated()), lambda: self.events() == ["started api"],
                         self.go.touch)
        self.assertEqual(self.describe()["status_text"], "at work")

    def test_it_is_told_to_us_and_not_to_who_started_the_caller(self):
        self.go.touch()
        of_a_unit = {"NOTIFY_SOCKET": "@of-another-service", "WATCHDOG_USEC": "1",
                     "LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "x"}
        self.ctl("start", self.ecosystem(self.gated()), env=of_a_unit)
        entries = pathlib.Path(f"/proc/{self.row()['pid']}/environ").read_bytes().split(b"\0")
        names = [entry.partition(b"=")[0].decode() for entry in entries]
        self.assertEqual([name for name in names if name in of_a_unit], ["NOTIFY_SOCKET"])

    @needs_root
    def test_a_worker_of_another_user_says_it_too(self):
        self.dir.chmod(0o777)
        file = self.ecosystem(self.gated(uid="nobody", cwd="/", interpreter=PYTHON))
        self.starts_when(file, lambda: self.events() == ["started api"], self.go.touch)

    @needs_root
    def test_another_user_cannot_say_it_for_the_worker(self):
        start = self.begin("start", self.ecosystem(self.gated()))
        wait_for(self.events, what="the worker's start")
        address = environ(self.row()["pid"])["NOTIFY_SOCKET"]
        subprocess.run([PYTHON, "-c", SAY_READY, address], user="nobody", cwd="/", check=False,
                       capture_output=True)
        self.stays(lambda: self.statuses() == ["launching"], start, "launching")
        subprocess.run([PYTHON, "-c", SAY_READY, address], check=True)  # the daemon's own user
        self.finish(start)

    def test_one_that_says_nothing_in_time_fails_the_start_and_may_say_it_later(self):
        done = self.ctl("start", self.ecosystem(self.gated(listen_timeout=200)), check=False)
        self.assertEqual(done.code, 1)
        self.assertIn("not ready within 200 ms", done.err)
        row = self.row()
        self.assertEqual((row["status"], row["restarts"]), ("launching", 0))
        self.assertTrue(is_alive(row["pid"]))
        self.assertEqual(self.describe()["fault"], "it has not said that it is ready")
        self.go.touch()
        wait_for(lambda: self.row()["status"] == "online", what="online")
        self.assertEqual((self.row()["pid"], self.row()["restarts"]), (row["pid"], 0))
        self.assertEqual(self.describe()["fault"], "")

    def test_without_wait_ready_there_is_no_notify_socket(self):
        self.ctl("start", self.ecosystem(self.obedient()))
        self.assertNotIn("NOTIFY_SOCKET", environ(self.row()["pid"]))

    @needs_node
    def test_node_says_it_by_process_send_in_both_modes(self):
        for mode in ("fork", "cluster"):
            with self.subTest(mode):
                self.go.unlink(missing_ok=True)
                app = {"name": "api", "script": self.worker("node_obeys.js"), "exec_mode": mode,
                       "instances": 2, "wait_ready": True, "listen_timeout": "60s",
                       "env": {"GO": str(self.go)}}
                self.starts_when(self.ecosystem(app), lambda: len(self.rows()) == 2,
                                 self.go.touch)
                self.ctl("delete", "api")

    @needs_node
    def test_shutdown_with_message_sends_the_message_and_no_signal(self):
        for mode in ("fork", "cluster"):
            with self.subTest(mode):
                told = self.dir / f"told-{mode}"
                app = {"name": "api", "script": self.worker("node_obeys.js"), "exec_mode": mode,
                       "shutdown_with_message": True, "wait_ready": True, "listen_timeout": "60s",
                       "env": {"GO": __file__, "TOLD": str(told)}}
                self.ctl("start", self.ecosystem(app))
                self.ctl("stop", "api")
                self.assertEqual(told.read_text(), '"shutdown"\n')
                last = self.describe()["last_exits"][0]
                self.assertEqual((last["code"], last["signal"]), (0, None))
                self.ctl("delete", "api")


class ReadyProbe(ObedientTestCase):
    def sick_env(self):
        return {"SICK": str(self.sick)}

    def fall_ill(self, instance=0):
        path = self.dir / f"sick.{instance}"
        path.touch()
        return path

    def asked(self, status, path, instance=0):
        """Whether the instance has given that answer a few times."""
        return self.out(instance).count(f"{status} {path}\n") >= 3

    def expect_one_ill(self, app):
        """Of two instances only the one that answers 503 stays `launching`."""
        ill = self.fall_ill(1)
        start = self.begin("start", self.ecosystem(app))
        wait_for(lambda: self.asked(503, "/health", 1), what="questions to the second instance")
        wait_for(lambda: self.statuses()[0] == "online", what="the first instance")
        self.stays(lambda: self.statuses() == ["online", "launching"], start, "one of them")
        ill.unlink()
        self.finish(start)
        self.assertEqual(self.statuses(), ["online", "online"])

    def test_http_on_a_port_that_is_named(self):
        port = self.free_port()
        ill = self.fall_ill()
        app = self.obedient(env=self.sick_env() | {"PORT": str(port)}, instances=1,
                            ready={"http": "/health", "port": port, "interval": 20})
        self.starts_when(self.ecosystem(app), lambda: self.asked(503, "/health"), ill.unlink)

    def test_http_with_a_status_of_its_own(self):
        port = self.free_port()
        self.fall_ill()
        app = self.obedient(env=self.sick_env() | {"PORT": str(port)}, instances=1,
                            ready={"http": "/", "status": [500, 503]})
        self.ctl("start", self.ecosystem(app))
        self.assertEqual(self.statuses(), ["online"])

    def test_a_probe_that_fails_says_what_was_answered(self):
        self.fall_ill()
        app = self.obedient(env=self.sick_env() | {"PORT": str(self.free_port())}, ready="/health",
                            listen_timeout="8s")
        done = self.ctl("start", self.ecosystem(app), check=False)
        self.assertEqual(done.code, 1)
        self.assertIn("not ready within 8000 ms: GET /health answered 503", done.err)

    def test_http_on_the_port_of_each_instance(self):
        self.expect_one_ill(self.obedient(
            env=self.sick_env() | {"PORT": str(two_free_ports())}, instances=2,
            increment_var="PORT", ready={"http": "/health", "interval": 20}))

    def test_http_by_a_private_socket_where_the_port_is_shared(self):
        port = self.free_port()
        for balance in ("shared", "reuseport"):
            with self.subTest(balance):
                self.expect_one_ill(self.obedient(
                    env=self.sick_env(), instances=2, balance=balance,
                    listen=[f"127.0.0.1:{port}", f"unix:{self.dir}/s"],
                    ready={"http": "/health", "interval": 20}))
                names = json.loads(http_get(port)[1])["names"].split(":")
                self.assertEqual((len(names), names[-1]), (3, "probe"))
                self.ctl("delete", "all")
                for log in (self.home / "logs").glob("*.log"):
                    log.unlink()

    @needs_node
    def test_http_to_each_instance_of_a_node_cluster(self):
        port = self.free_port()
        self.expect_one_ill({"name": "api", "script": self.worker("node_obeys.js"),
                             "instances": 2, "exec_mode": "cluster",
                             "env": self.sick_env() | {"PORT": str(port)},
                             "ready": {"http": "/health", "interval": 20}})
        self.assertEqual(http_get(port)[0], 200)

    def test_tcp_takes_a_connection_for_an_answer(self):
        port = self.free_port()
        for probe in ({"tcp": True}, {"tcp": port}):
            with self.subTest(probe):
                self.go.unlink(missing_ok=True)
                self.journal_file.unlink(missing_ok=True)
                app = self.obedient(env={"GO": str(self.go), "PORT": str(port)}, ready=probe)
                self.starts_when(self.ecosystem(app), self.events, self.go.touch)
                self.ctl("delete", "api")

    def test_exec_runs_in_the_workers_directory_and_environment(self):
        place = self.dir / "place"
        place.mkdir()
        asked = place / "asked"
        line = 'echo x >> asked; test -e marker && test "$COLOUR" = red'
        for command in (line, ["/bin/sh", "-c", line]):
            with self.subTest(command):
                asked.unlink(missing_ok=True)
                (place / "marker").unlink(missing_ok=True)
                app = self.obedient(env={"COLOUR": "red"}, cwd=str(place),
                                    ready={"exec": command, "interval": 20})
                self.starts_when(self.ecosystem(app),
                                 lambda: asked.exists() and len(asked.read_text()) > 4,
                                 (place / "marker").touch)
                self.ctl("delete", "api")

    def test_log_waits_for_a_line_on_either_stream(self):
        for stream in ("1", "2"):
            with self.subTest(stream):
                self.go.unlink(missing_ok=True)
                self.journal_file.unlink(missing_ok=True)
                app = self.obedient(env={"GO": str(self.go), "SAY_ON": stream},
                                    ready={"log": "^listening on \\d+$"})
                self.starts_when(self.ecosystem(app), self.events, self.go.touch)
                self.ctl("delete", "api")


class HealthProbe(ObedientTestCase):
    PROBE = {"http": "/health", "interval": 50, "failures": 2, "start_period": 0}

    def app(self, name="api", probe=None, **attributes):
        return self.obedient(name, {"SICK": f"{self.sick}.{name}", "PORT": str(self.free_port())},
                             instances=1, wait_ready=True, health=self.PROBE | (probe or {}),
                             **attributes)

    def replaced(self, pid, name="api"):
        row = wait_for(lambda: self.row(name)["pid"] not in (0, pid) and self.row(name),
                       what="another process")
        self.assertEqual(row["restarts"], 1)

    def test_one_that_falls_ill_is_restarted_with_the_cause_and_a_good_one_is_not(self):
        self.ctl("start", self.ecosystem(self.app(), self.app("good")))
        before = {name: self.row(name)["pid"] for name in ("api", "good")}
        wait_for(lambda: self.describe()["health"] == "passing", what="a good answer")
        ill = self.dir / "sick.api.0"
        ill.touch()
        wait_for(lambda: not is_alive(before["api"]), what="the end of the ill one")
        ill.unlink()
        self.replaced(before["api"])
        about = self.describe()
        reason = "health: failing (2 of 2): GET /health answered 503"
        self.assertEqual(about["cause"], reason)
        self.assertIn(reason, about["last_exits"][0]["reason"])
        wait_for(lambda: self.describe()["health"] == "passing", what="a good answer again")
        self.assertEqual((self.row("good")["pid"], self.row("good")["restarts"]),
                         (before["good"], 0))

    def test_the_list_tells_who_is_ready(self):
        self.ctl("start", self.ecosystem(self.app(probe={"failures": 1000})))
        self.assertTrue(self.row()["ready"])
        ill = self.dir / "sick.api.0"
        ill.touch()
        wait_for(lambda: not self.row()["ready"], what="one that is ill")
        self.assertEqual(self.row()["status"], "online")
        ill.unlink()
        wait_for(lambda: self.row()["ready"], what="one that is well again")
        self.ctl("stop", "api")
        self.assertFalse(self.row()["ready"])

    def test_failures_of_the_start_period_do_not_count(self):
        (self.dir / "sick.api.0").touch()
        self.ctl("start", self.ecosystem(self.app(probe={"start_period": "60s"})))
        wait_for(lambda: self.out().count("503 /health\n") >= 6, what="questions")
        self.assertEqual((self.row()["status"], self.row()["restarts"]), ("online", 0))
        self.assertTrue(self.describe()["health"].startswith("starting"))

    def test_one_that_hangs_is_restarted(self):
        self.ctl("start", self.ecosystem(self.app(probe={"timeout": 2000}, kill_timeout=300)))
        pid = self.row()["pid"]
        wait_for(lambda: self.describe()["health"] == "passing", what="a good answer")
        os.kill(pid, signal.SIGSTOP)
        self.replaced(pid)
        self.assertEqual(self.describe()["cause"],
                         "health: failing (2 of 2): no answer within 2000 ms")

    def test_watchdog_restarts_one_that_falls_silent(self):
        self.ctl("start", self.ecosystem(self.obedient(env={"QUIET": str(self.quiet)},
                                                       instances=1, wait_ready=True,
                                                       watchdog="2s")))
        pid = self.row()["pid"]
        self.assertEqual(environ(pid)["WATCHDOG_USEC"], "2000000")
        self.quiet.touch()
        wait_for(lambda: not is_alive(pid), what="the end of the silent one")
        self.quiet.unlink()
        self.replaced(pid)
        self.assertEqual(self.describe()["cause"], "watchdog: no WATCHDOG=1 for 2000 ms")
        second = self.row()["pid"]
        beats = self.out().count("beat")
        wait_for(lambda: self.out().count("beat") > beats + 60, what="two seconds of beats")
        self.assertEqual((self.row()["pid"], self.row()["restarts"]), (second, 1))


if __name__ == "__main__":
    unittest.main()
