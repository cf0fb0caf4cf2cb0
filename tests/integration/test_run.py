#!/usr/bin/env python3
"""`clusterctl run` and `start --no-daemon`: apps in the foreground. Exit codes, signals, the order of
the end, every line of output once, and nothing left behind. As pid 1: test_container.py."""

import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import termios
import time
import unittest

from foreground import JAMMING_LINES, LINES, RunTestCase, app, counting, once, until_told
from harness import BIN, wait_for
import client


class ExitCodes(RunTestCase):
    def test_of_one_app_its_own_and_of_several_whether_all_went_well(self):
        quick = {"max_restarts": 2, "min_uptime": 1000}
        for name, code, apps in (
                ("well", 0, [once("a", "exit 0")]),
                ("its own", 3, [once("a", "exit 3")]),
                ("killed", 137, [once("a", "kill -9 $$")]),
                ("terminated", 143, [once("a", "kill -TERM $$")]),
                ("an end that is final", 4, [app("a", "exit 4", stop_exit_codes=[4])]),
                ("too many restarts", 7, [app("a", "exit 7", **quick)]),
                ("too many ends with 0", 1, [app("a", "exit 0", **quick)]),
                ("two instances", 5, [once("a", "exit $(( NODE_APP_INSTANCE * 5 ))", instances=2)]),
                ("two apps", 0, [once("a", "exit 0"), once("b", "exit 0")]),
                ("one of two", 1, [once("a", "exit 0"), once("b", "exit 9")]),
                ("nothing wanted", 0, [once("a", "exit 3", autostart=False)]),
                ("in vain", 1, [once("a", "exit 0", depends_on=["b"]), once("b", "exit 9")]),
        ):
            with self.subTest(name):
                self.assert_code(self.run_apps(*apps), code)

    def test_a_program_that_cannot_be_executed(self):
        (self.dir / "broken").write_text("#!/nonexistent/interpreter\n")
        (self.dir / "broken").chmod(0o755)
        process = self.run_apps({"name": "a", "script": "./broken", "interpreter": "none"})
        self.assert_code(process, 1)
        self.assertIn("/nonexistent/interpreter", self.said() + self.log.read_text())

    def test_a_faulty_file_starts_nothing(self):
        process = self.run_apps(once("good", f"touch {self.dir}/started"),
                                {"name": "bad", "script": "nowhere.sh", "instances": "many"})
        self.assert_code(process, 1)
        self.assertIn("instances", self.said())
        self.assertFalse((self.dir / "started").exists())
        self.assertFalse(self.home.exists())

    def test_a_script_with_options_and_arguments(self):
        script = self.dir / "job.sh"
        script.write_text('echo "$NAME $1 $2 $NODE_APP_INSTANCE"; exit 6\n')
        process = self.run_apps(target=script, env={"NAME": "job"}, options=(
            "--no-autorestart", "-i", "2", "--grace", "5s", "--", "--port", "3000"))
        self.assert_code(process, 6)
        self.assertEqual(sorted(self.out.read_text().splitlines()),
                         ["job --port 3000 0", "job --port 3000 1"])

    def test_only_and_env(self):
        file = self.ecosystem(once("a", "echo a-$MODE", env={"MODE": "x"},
                                   env_production={"MODE": "production"}), once("b", "echo b"))
        process = self.run_apps(target=file, options=("--only", "a", "--env", "production"))
        self.assert_code(process, 0)
        self.assertEqual(self.out.read_text(), "a-production\n")

    def test_start_no_daemon_is_the_same(self):
        process = self.run_apps(once("a", "echo hello; exit 3"), command=("start", "--no-daemon"))
        self.assert_code(process, 3)
        self.assertEqual(self.out.read_text(), "hello\n")

    def test_a_home_that_has_a_daemon(self):
        self.ctl("start", "sleep 1000", "--name", "nap")
        process = self.run_apps(once("a", "exit 0"))
        self.assertEqual(self.code_of(process), 1)
        self.assertIn(f"a daemon serves {self.home} already", self.said())
        self.assertEqual([row["status"] for row in self.rows()], ["online"])

    def test_what_ran_before_does_not_come_back(self):
        self.assert_code(self.run_apps(once("old", "exit 0")), 0)
        process = self.run_apps(once("new", "exit 3"))
        self.assert_code(process, 3)

    def test_without_auto_exit_it_stays(self):
        process = self.run_apps(once("a", "exit 3"), options=["--no-auto-exit"])
        wait_for(lambda: [row["status"] for row in self.rows() or []] == ["stopped"],
                 what="its end")
        process.send_signal(signal.SIGTERM)
        self.assert_code(process, 3)


class Signals(RunTestCase):
    def test_the_end_by_signal(self):
        for name, number, script, code in (
                ("with a handler", signal.SIGTERM, until_told(), 0),
                ("with a code of its own", signal.SIGTERM, until_told("exit 3"), 3),
                ("as shells do", signal.SIGINT, until_told("exit 130"), 0),
                ("without a handler", signal.SIGINT, "echo up; exec sleep 1000", 0)):
            with self.subTest(name):
                process = self.run_apps(app("a", script))
                self.await_text("up\n")
                process.send_signal(number)
                self.assert_code(process, code)

    def test_the_grace_period_is_kept_by_who_does_not_listen(self):
        deaf = "trap '' INT; echo up; while :; do sleep 1; done"
        process = self.run_apps(app("a", deaf, kill_timeout=50_000), options=["--grace", "300ms"])
        self.await_text("up\n")
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        self.assert_code(process, 137)
        self.assertLess(time.monotonic() - begin, 10)

    def test_a_second_signal_ends_it_at_once(self):
        deaf = "trap '' INT; echo up; while :; do sleep 1; done"
        process = self.run_apps(app("a", deaf, kill_timeout=50_000), options=["--grace", "50s"])
        self.await_text("up\n")
        process.send_signal(signal.SIGINT)
        self.await_text("stopping all")
        process.send_signal(signal.SIGINT)
        self.assert_code(process, 137)

    def test_dependants_end_first(self):
        ends = self.dir / "ends"
        apps = [app("db", until_told(f"echo db >> {ends}; exit 0")),
                app("cache", until_told(f"echo cache >> {ends}; exit 0"), depends_on=["db"]),
                app("api", until_told(f"echo api >> {ends}; exit 0"), depends_on=["cache"])]
        process = self.run_apps(*apps)
        self.await_text("up\n", 3)
        process.send_signal(signal.SIGTERM)
        self.assert_code(process, 0)
        self.assertEqual(ends.read_text().split(), ["api", "cache", "db"])

    def test_one_whose_turn_has_not_come_is_ended_by_the_grace_period_too(self):
        deaf = "trap '' INT; echo up; while :; do sleep 1; done"
        process = self.run_apps(app("db", until_told()), app("api", deaf, depends_on=["db"],
                                kill_timeout=50_000), options=["--grace", "300ms"])
        self.await_text("up\n", 2)
        process.send_signal(signal.SIGTERM)
        self.assert_code(process, 1)

    def test_the_grace_period_of_a_stop_does_not_outlive_it(self):
        deaf = "trap '' INT; while :; do sleep 1; done"
        self.ctl("start", self.ecosystem(app("a", until_told()), app("b", deaf,
                                         kill_timeout=50_000)))
        client.ask(self.home, "stop", targets=["a"], grace_ms=200)
        self.ctl("start", "a")
        # The time of this one is over later than that of the first.
        stopped = client.ask(self.home, "stop", targets=["b"], grace_ms=200)
        self.assertEqual(stopped["processes"][0]["exit_signal"], signal.SIGKILL)
        self.assertEqual({row["name"]: row["status"] for row in self.rows()},
                         {"a": "online", "b": "stopped"})

    def test_other_signals_reach_the_apps(self):
        script = ("trap 'echo usr1' USR1; trap 'echo usr2' USR2; trap 'echo quit' QUIT;" +
                  until_told())
        process = self.run_apps(app("a", script), app("b", script))
        self.await_text("up\n", 2)
        for number, word in ((signal.SIGUSR1, "usr1"), (signal.SIGUSR2, "usr2"),
                             (signal.SIGQUIT, "quit"), (signal.SIGWINCH, "")):
            process.send_signal(number)
            self.await_text(word + "\n", 2)
        process.send_signal(signal.SIGTERM)
        self.assert_code(process, 0)

    def test_hangup_reloads_all(self):
        process = self.run_apps(app("a", until_told(), instances=2))
        self.await_text("up\n", 2)
        before = {row["pid"] for row in self.rows()}
        process.send_signal(signal.SIGHUP)
        def others():
            rows = self.rows() or []
            return len(rows) == 2 and not {row["pid"] for row in rows} & before
        wait_for(others, what="other processes")
        process.send_signal(signal.SIGTERM)
        self.assert_code(process, 0)

    def test_its_own_death_ends_everything(self):
        process = self.run_apps(app("a", until_told()), app("b", until_told()))
        self.await_text("up\n", 2)
        process.kill()
        process.wait()
        wait_for(lambda: not self.processes(), what="the end of all")


class Deaths(RunTestCase):
    """The daemon is killed under it: nobody else notices."""

    def begin_two(self):
        process = self.run_apps(app("a", until_told()), app("b", until_told()))
        self.await_text("up\n", 2)
        wait_for(lambda: self.rows() and all(row["status"] == "online" for row in self.rows()),
                 what="both online")
        return process, {row["name"]: row["pid"] for row in self.rows()}

    def end_well(self, process, pids):
        rows = wait_for(self.rows, what="a daemon that serves")
        self.assertEqual({row["name"]: row["pid"] for row in rows}, pids)
        # Still heard, and still of this supervisor.
        self.ctl("start", "/bin/sh", "--name", "late", "--no-autorestart", "--", "-c", "echo late")
        self.await_text("late\n")
        process.send_signal(signal.SIGTERM)
        self.assert_code(process, 0)

    def test_of_the_manager(self):
        process, pids = self.begin_two()
        self.kill_manager()
        self.end_well(process, pids)

    def test_of_the_guardian(self):
        process, pids = self.begin_two()
        about = self.about()
        os.kill(about["guardian_pid"], signal.SIGKILL)
        wait_for(lambda: self.about()["guardian_pid"] == about["pid"], what="another guardian")
        self.end_well(process, pids)

    def test_of_both(self):
        process, pids = self.begin_two()
        old = self.about()["pid"]
        self.kill_both_daemons()
        wait_for(lambda: self.about()["pid"] != old, what="another daemon")
        self.end_well(process, pids)

    def test_of_the_manager_while_it_stops(self):
        ends = self.dir / "ends"
        slow = until_told(f"while ! test -e {self.dir}/go; do sleep 0.05; done; "
                          f"echo end >> {ends}; exit 0")
        process = self.run_apps(app("a", slow, kill_timeout=50_000), options=["--grace", "50s"])
        self.await_text("up\n")
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: (self.rows() or [{}])[0].get("status") == "stopping", what="the stop")
        self.kill_manager()
        (self.dir / "go").touch()
        self.assert_code(process, 0)
        self.assertEqual(ends.read_text(), "end\n")

    def test_of_the_guardian_and_then_of_the_supervisor(self):
        process, _ = self.begin_two()
        about = self.about()
        os.kill(about["guardian_pid"], signal.SIGKILL)
        wait_for(lambda: self.about()["guardian_pid"] == about["pid"], what="another guardian")
        process.kill()
        process.wait()
        wait_for(lambda: not self.processes(), what="the end of all")

    def test_an_upgrade_under_it(self):
        process, pids = self.begin_two()
        self.ctl("update", str(BIN / "clusterd_next"))
        self.end_well(process, pids)

    def test_the_daemon_is_ended_on_purpose(self):
        process, _ = self.begin_two()
        self.ctl("kill")
        self.assert_code(process, 0)


class Output(RunTestCase):
    def assert_all_once(self, lines, name, count):
        self.assertEqual(lines, [f"{name} {n} " + "x" * (n % 90) for n in range(count)])

    def await_jam(self, process):
        """Nobody reads, and everything between the worker and us is full."""
        self.addCleanup(process.stdout.close)
        seen = []

        def still_jammed():
            rows = self.rows()
            if not rows or not rows[0]["pid"]:
                return False
            size = fcntl.ioctl(process.stdout, termios.FIONREAD, bytes(4))
            wchan = pathlib.Path(f"/proc/{rows[0]['pid']}/wchan").read_text()
            waits = (client.ask(self.home, "ping")["output_waits"]
                     and re.search("^0$|pipe_write", wchan))  # 0: it is not told to everybody
            seen.append(int.from_bytes(size, sys.byteorder) if waits else None)
            return len(seen) > 10 and seen[-1] and set(seen[-10:]) == {seen[-1]}
        wait_for(still_jammed, what="output that waits everywhere")

    def test_every_line_once_prefixed(self):
        process = self.run_apps(counting("one", LINES), counting("two", LINES))
        self.assert_code(process, 0)
        of = {"one": [], "two": []}
        for line in self.out.read_text().splitlines():
            name, text = re.fullmatch(r"[01]\|(one|two) +\| (.*)", line).groups()
            of[name].append(text)
        for name, lines in of.items():
            self.assert_all_once(lines, name, LINES)

    def test_every_line_once_into_a_pipe_that_nobody_reads_for_a_while(self):
        process = self.run_apps(counting("one", JAMMING_LINES), stdout=subprocess.PIPE)
        self.await_jam(process)
        self.assertEqual(self.rows()[0]["status"], "online")
        lines = process.stdout.read().decode().splitlines()
        self.assert_code(process, 0)
        self.assert_all_once(lines, "one", JAMMING_LINES)

    def test_a_signal_ends_it_also_while_nobody_reads(self):
        process = self.run_apps(app("a", "exec yes " + "y" * 80),
                                options=["--grace", "300ms"], stdout=subprocess.PIPE)
        self.await_jam(process)
        process.send_signal(signal.SIGTERM)
        self.assertNotEqual(self.code_of(process), 0)
        self.assertIn("output were not taken", self.err.read_text())
        wait_for(lambda: not self.processes(), what="the end of all")

    def test_one_app_is_raw_and_keeps_its_streams(self):
        process = self.run_apps(once("a", "echo out; echo err >&2; printf unfinished"))
        self.assert_code(process, 0)
        self.assertEqual(self.out.read_text(), "out\nunfinished\n")
        self.assertEqual(self.err.read_text(), "err\n")

    def test_several_apps_say_whose_line_it_is(self):
        process = self.run_apps(once("a", "echo from a"), once("b", "echo from b >&2"))
        self.assert_code(process, 0)
        self.assertEqual(self.out.read_text(), "0|a          | from a\n")
        self.assertEqual(self.err.read_text(), "1|b          | from b\n")
        process = self.run_apps(once("a", "echo from a"), once("b", "echo from b"),
                                options=["--raw"])
        self.assert_code(process, 0)
        self.assertEqual(sorted(self.out.read_text().splitlines()), ["from a", "from b"])

    def test_json(self):
        process = self.run_apps(once("a", 'echo "say \\"x\\""; exit 3'), once("b", "echo e >&2"),
                                options=["--json"])
        self.assert_code(process, 1)
        self.assertEqual(self.err.read_text(), "")
        lines = [json.loads(line) for line in self.out.read_text().splitlines()]
        self.assertTrue(all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z", line.pop("time"))
                            for line in lines))
        self.assertIn({"app": "a", "id": 0, "stream": "stdout", "message": 'say "x"'}, lines)
        self.assertIn({"app": "b", "id": 1, "stream": "stderr", "message": "e"}, lines)
        self.assertIn({"app": None, "id": None, "stream": "supervisor",
                       "message": "[a](0) exited with code 3"}, lines)

    def test_both_streams_in_one_file_do_not_tear_lines(self):
        script = ("import os\nfor n in range(20000):\n"
                  " os.write(1 + n % 2, (b'o' if n % 2 == 0 else b'e') * 70 + b'\\n')")
        file = self.dir / "both"
        with file.open("wb") as stream:
            process = self.run_apps({"name": "a", "script": "/usr/bin/env", "interpreter": "none",
                                     "autorestart": False, "args": ["python3", "-c", script]},
                                    stdout=stream, stderr=stream)
        self.assert_code(process, 0)
        lines = file.read_text().splitlines()
        self.assertEqual(sorted(lines), ["e" * 70] * 10_000 + ["o" * 70] * 10_000)

    def test_no_log_files_unless_they_are_named(self):
        process = self.run_apps(once("a", "echo one"), once("b", "echo two", out_file="b.log"))
        self.assert_code(process, 0)
        logs = [it.name for it in (self.home / "logs").iterdir()]
        self.assertEqual(logs, [".times"])  # the index of the one that is named
        self.assertEqual((self.dir / "b.log").read_text(), "two\n")
        self.assertEqual(self.out.read_text().count("two"), 1)

    def test_a_reader_that_goes_away_ends_the_output_only(self):
        process = self.run_apps(app("a", "echo up; trap 'exit 0' INT; "
                                    "while :; do echo more; sleep 0.05; done"),
                                stdout=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), b"up\n")
        process.stdout.close()
        wait_for(lambda: "nobody reads the output" in self.err.read_text(), what="the note")
        self.assertEqual(self.rows()[0]["status"], "online")
        process.send_signal(signal.SIGTERM)
        self.assert_code(process, 0)

    def test_lines_of_a_worker_that_is_replaced_or_deleted_are_not_lost(self):
        process = self.run_apps(app("a", until_told("echo last words; exit 0")),
                                app("b", until_told("echo last words; exit 0")))
        self.await_text("up\n", 2)
        self.ctl("reload", "a")
        self.ctl("delete", "b")
        self.await_text("last words\n", 2)
        process.send_signal(signal.SIGTERM)
        self.assert_code(process, 0)
        self.assertEqual(self.said().count("last words"), 3)


if __name__ == "__main__":
    unittest.main()
