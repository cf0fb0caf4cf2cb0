#!/usr/bin/env python3
"""`clusterctl monit` in a real terminal (tmux): what stands on its screen, what its keys do, and that
the terminal is as it was before on every way out."""
import os
import re
import shutil
import signal
import subprocess
import unittest

from harness import BIN, SANITIZED, ClusterTestCase, command_line, wait_for

TALKS = """import sys, time
for number in range(40):
    print("old line", number, flush=True)
while True:
    time.sleep(0.2)
    print("tick", flush=True)
    print("oops", file=sys.stderr, flush=True)
"""
DONE = re.compile(r"code=(\d+)$", re.MULTILINE)


@unittest.skipUnless(shutil.which("tmux"), "tmux is not installed")
class MonitTestCase(ClusterTestCase):
    """A shell in a terminal of tmux, and how to type at it."""

    def setUp(self):
        super().setUp()
        self.opened = False

    def tearDown(self):
        if self.opened:
            self.tmux("kill-server")
        super().tearDown()

    def tmux(self, *args, check=True):
        command = ["tmux", "-u", "-S", str(self.dir / "tmux"), "-f", "/dev/null", *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30,
                              env=self.environment({"LC_ALL": "C.UTF-8", "TMUX": None}))
        if check:
            self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def open_terminal(self, width=80, height=24):
        self.opened = True
        self.tmux("new-session", "-d", "-x", str(width), "-y", str(height),
                  "-c", str(self.dir), "env PS1='$ ' NO_COLOR= bash --norc --noprofile")
        self.see(r"^\$")

    def open(self, width=80, height=24, env="LC_ALL=C.UTF-8"):
        """A terminal with monit in it, once it shows the list."""
        self.open_terminal(width, height)
        self.run_monit(env)
        self.see(r"clusterctl  \d+ processes")

    def run_monit(self, env="LC_ALL=C.UTF-8"):
        # The search for leaks at its end may outlive the terminal, and with it the test.
        leaks = "ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 " if SANITIZED else ""
        self.type(f"env {leaks}{env} {BIN}/clusterctl monit; echo code=$?", "Enter")

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def send_bytes(self, data):
        self.tmux("send-keys", "-H", *(f"{byte:02x}" for byte in data))

    def screen(self, *options):
        return self.tmux("capture-pane", "-p", *options)

    def see(self, pattern, deadline=30):
        """Waits until the screen matches; returns the match."""
        expression = re.compile(pattern, re.MULTILINE)
        try:
            return wait_for(lambda: expression.search(self.screen()), deadline, pattern)
        except AssertionError:
            self.fail(f"waited for {pattern!r}, the screen is\n{self.screen()}")

    def see_no(self, pattern):
        expression = re.compile(pattern, re.MULTILINE)
        try:
            wait_for(lambda: not expression.search(self.screen()), what=f"no {pattern}")
        except AssertionError:
            self.fail(f"waited for no {pattern!r}, the screen is\n{self.screen()}")

    def monit_pid(self):
        def found():
            return [pid for pid in self.processes()
                    if command_line(pid).startswith(f"{BIN}/clusterctl monit")]
        return wait_for(found, what="monit")[0]

    def code(self):
        """Its exit code, once the shell has printed it."""
        return int(self.see(DONE.pattern)[1])

    def start_talker(self, name="talk", **attributes):
        script = self.dir / f"{name}.py"
        script.write_text(TALKS)
        self.ctl("start", self.ecosystem({"name": name, "script": str(script),
                                          "interpreter": "python3", **attributes}))

    def start_naps(self, *names):
        self.ctl("start", self.ecosystem(*({"name": name, "script": "sleep", "args": ["1000"],
                                            "interpreter": "none"} for name in names)))


class Screen(MonitTestCase):
    def test_the_list_and_the_details_at_80x24(self):
        self.start_naps("api", "job", "mail")
        self.ctl("stop", "job")
        self.open()
        self.see(r"3 processes, 2 online")
        self.see(r"^ +id name +status +ready +cpu +mem restarts uptime")
        self.see(r"^ +0 api +online +yes +\d")
        self.see(r"^ +1 job +stopped +- +0\.0%")
        self.see(r"^── api \(0\) ─")
        self.see(r"^ script +.*sleep, 1000")
        self.see(r"^ cpu \d.* mem \d")
        self.see(r"q quit")

    def test_wide_narrow_and_too_small_and_back(self):
        self.start_naps("api", "job")
        self.open(200, 60)
        self.see(r"^ +0 api .* status +online, ready")  # the detail stands beside the list
        self.see(r" user +\w")
        self.tmux("resize-window", "-x", "40", "-y", "10")
        self.see(r"^ +0 api +online +\d[\d.]*% +[\d.]+mb$")
        self.see_no("uptime")
        self.tmux("resize-window", "-x", "30", "-y", "8")
        self.see(r"30x8 is too small")
        self.tmux("resize-window", "-x", "80", "-y", "24")
        self.see(r"^ +1 job +online +yes")
        self.assertEqual(len(self.screen().splitlines()), 24)

    def test_plain_ascii_without_utf8(self):
        self.start_naps("grün")
        self.open(env="LC_ALL=C")
        self.see(r"^-- gr\?n \(0\) -")
        self.see(r"mem .*[.:|]{3}$")  # a graph
        self.assertTrue(self.screen().isascii(), self.screen())

    def test_a_locale_that_is_not_installed_is_utf8_all_the_same(self):
        self.start_naps("grün")
        self.open(env="LC_ALL=xx_YY.UTF-8")
        self.see(r"^── grün \(0\) ─")

    def test_colours_and_none_with_no_color(self):
        colour = re.compile(r"\x1b\[[\d;]*3[1-6]m")
        self.start_naps("api")
        self.open()
        self.see(r"^ status +online")
        self.assertRegex(self.screen("-e"), colour)
        self.type("q")
        self.code()
        self.type("clear", "Enter")
        self.see_no("code=")
        self.run_monit("LC_ALL=C.UTF-8 NO_COLOR=1")
        self.see(r"^ status +online")
        self.assertNotRegex(self.screen("-e"), colour)

    def test_what_an_app_prints_cannot_touch_the_screen(self):
        script = self.dir / "evil.py"
        script.write_text("import time\nprint('\\x1b[2J\\x1b[1;1Hhere \\x1b[31mred\\x1b[0m\\x07', "
                          "flush=True)\ntime.sleep(1000)\n")
        self.ctl("start", self.ecosystem({"name": "evil", "script": str(script),
                                          "interpreter": "python3"}))
        self.open()
        self.see(r"^\\x1b\[2J\\x1b\[1;1Hhere red\\x07")
        self.see(r"^ +0 evil")

    def test_processes_come_and_go_while_it_runs(self):
        self.open()
        self.see(r"no processes")
        self.start_naps("api", "job")
        self.see(r"^ +1 job +online")
        self.ctl("delete", "api")
        self.see_no(r"^ +0 api")

    def test_a_hundred_processes_scroll(self):
        self.ctl("start", self.ecosystem({"name": "nap", "script": "sleep", "args": ["1000"],
                                          "interpreter": "none", "instances": 100}))
        self.open()
        self.see(r"100 processes, 100 online")
        self.see_no(r"^ +99 nap")
        self.type("End")
        self.see(r"^ +99 nap +online")
        self.type("Home")
        self.see(r"^ +0 nap +online")


class Logs(MonitTestCase):
    def test_the_log_of_the_selected_process_history_first_then_what_comes(self):
        self.start_naps("api")
        self.start_talker()
        self.open()
        self.see(r"logs of api \(0\)")
        self.assertNotIn("tick", self.screen())
        self.type("Down")
        self.see(r"logs of talk \(1\)")
        self.see(r"^tick")
        self.see(r"^oops")
        self.type("l")
        self.see_no(r"uptime")
        self.type("g")
        self.see(r"^old line 0$")
        self.see(r"newer lines below")
        lines = [line for line in self.screen().splitlines() if line.startswith("old line")]
        self.assertEqual(lines, [f"old line {number}" for number in range(len(lines))])
        self.type("l")
        self.type("Up")
        self.see_no(r"^tick")

    def test_search(self):
        self.start_talker()
        self.open()
        self.see(r"^tick")
        self.type("/", "LINE 3", "Enter")
        self.see(r"/LINE 3: 1 of 11")
        self.see(r"^old line 39$")
        self.type("n")
        self.see(r"/LINE 3: 2 of 11")
        self.type("Escape")
        self.see_no(r"/LINE 3")
        self.see(r"^ +0 talk")

    def test_an_app_that_prints_without_end_does_not_stop_the_view(self):
        self.ctl("start", self.ecosystem({"name": "yes", "script": "yes", "interpreter": "none",
                                          "args": ["all of the lines"], "out_file": "/dev/null"}),
                 check=False)
        self.start_naps("api")
        self.open()
        self.see(r"^all of the lines")
        self.type("Down")
        self.see(r"logs of api \(1\)")
        self.ctl("delete", "yes")
        self.see_no(r"^ +0 yes")


class Keys(MonitTestCase):
    def test_restart_raises_the_counter_and_tells_the_outcome(self):
        self.start_naps("api")
        self.open()
        self.see(r"^ +0 api .* 0 +\d+[sm]$")
        self.type("r")
        self.see(r"restart api \(0\): done")
        self.see(r"^ +0 api .* 1 +\d+[sm]$")

    def test_stop_asks_first_and_start_brings_it_back(self):
        self.start_naps("api")
        self.open()
        self.type("s")
        self.see(r"stop api \(0\)\? y/n")
        self.type("n")
        self.see(r"not done: stop api \(0\)")
        self.assertEqual(self.json("list")["processes"][0]["status"], "online")
        self.type("s", "y")
        self.see(r"^ +0 api +stopped")
        self.type("S")
        self.see(r"^ +0 api +online")

    def test_an_action_that_fails_says_why_and_the_view_lives_on_meanwhile(self):
        script = self.dir / "slow.py"
        script.write_text("import os, sys, time\n"
                          "while os.path.exists('bad') and not os.path.exists('go'):\n    pass\n"
                          "if os.path.exists('bad'):\n    sys.exit(3)\n"
                          "time.sleep(1000)\n")
        self.ctl("start", self.ecosystem({"name": "slow", "script": str(script), "cwd": str(self.dir),
                                          "interpreter": "python3", "min_uptime": "60s",
                                          "autorestart": False}))
        self.open()
        (self.dir / "bad").touch()
        self.type("r")
        self.see(r"restart slow \(0\) \.\.\.")
        self.type("?")
        self.see(r"keys of clusterctl monit")
        self.type("x")
        self.see_no(r"keys of clusterctl monit")
        (self.dir / "go").touch()
        self.see(r"restart slow \(0\): .*exited with code 3")

    def test_reload(self):
        self.start_naps("api")
        before = self.json("list")["processes"][0]["pid"]
        self.open()
        self.see(r"^ +0 api")
        self.type("R")
        self.see(r"reload api \(0\): done")
        self.assertNotEqual(self.json("list")["processes"][0]["pid"], before)

    def test_scale_up_and_down(self):
        self.start_naps("api")
        self.open()
        self.type("+")
        self.see(r"scale api up by one: done")
        self.see(r"^ +1 api +online")
        self.type("-")
        self.see(r"scale api down by one\? y/n")
        self.type("y")
        self.see_no(r"^ +1 api")
        self.type("-")
        self.see(r"the only instance")

    def test_filter_sort_and_help(self):
        self.start_naps("zebra", "ape", "cat")
        self.open()
        self.type("f", "aP")
        self.see(r"filter: aP")
        self.see_no(r"zebra")
        self.type("Enter")
        self.see(r"filter aP +sort id")
        self.type("Escape")
        self.see(r"zebra")
        self.type("o")
        self.see(r"sort name")
        self.see(r"ape (.*\n)+.* cat (.*\n)+.* zebra ")
        self.type("O")
        self.see(r"sort name reversed")
        self.see(r" zebra (.*\n)+.* cat (.*\n)+.* ape ")
        self.type("h")
        self.see(r"restart the selected process")
        self.type("Escape")
        self.see(r"^ +0 zebra")

    def test_keys_that_mean_nothing_here_do_nothing(self):
        self.start_naps("api", "job")
        self.open()
        self.see(r"logs of api \(0\)")
        for keys in b"\x1b[15;2~", b"\x1bx", b"\x1b[200~", b"\x01\x0b", b"\x1b[M\x62\x30\x30":
            self.send_bytes(keys)
        self.send_bytes(b"\x1b[1;2B")  # Shift and an arrow
        self.see(r"logs of job \(1\)")
        self.see(r"q quit")

    def test_the_mouse_selects_and_scrolls(self):
        def mouse(button, column, row, together=False):
            """xterm's reports of press and release, from 1 (ctlseqs, "Mouse Tracking")."""
            reports = [b"\x1b[M" + bytes(32 + value for value in (number, column, row))
                       for number in ((button, 3) if button < 64 else (button,))]
            for data in [b"".join(reports)] if together else reports:
                self.send_bytes(data)
        self.start_naps("api", "job")
        self.start_talker()
        self.open()
        self.see(r"logs of api \(0\)")
        mouse(0, 10, 5)
        self.see(r"logs of talk \(2\)")
        self.see(r"^tick")
        mouse(64, 10, 20)
        self.see(r"newer lines below")
        mouse(0, 10, 4, together=True)
        self.see(r"logs of job \(1\)")
        for _ in range(2):
            mouse(0, 10, 3, together=True)
        self.see(r"logs of api \(0\)")


class Daemon(MonitTestCase):
    def test_it_takes_up_again_after_kill_9_of_the_manager(self):
        self.start_talker()
        self.open()
        self.see(r"^tick")
        self.kill_manager()
        self.start_naps("late")
        self.see(r"^ +1 late +online")  # only the next manager can have told that
        self.type("r")
        self.see(r"restart talk \(0\): done")
        self.see(r"^ +0 talk .* 1 +\d+[sm]$")
        self.see(r"^tick")

    def test_without_a_daemon_it_says_so_and_waits_for_the_next_one(self):
        self.start_naps("api")
        self.open()
        self.see(r"^ +0 api")
        self.kill_both_daemons()
        self.see(r"no connection to the daemon")
        self.type("r")  # is not asked of the next one
        self.ctl("list")
        self.see_no(r"no connection")
        self.see(r"^ +0 api .* 0 +\d+[sm]$")
        self.ctl("stop", "api")
        self.see(r"^ +0 api +stopped")

    def test_a_daemon_that_hangs_does_not_hang_the_view(self):
        self.start_naps("api", "job")
        self.open()
        self.see(r"^ +0 api")
        manager = self.about()["pid"]
        os.kill(manager, signal.SIGSTOP)
        try:
            self.see(r"the daemon does not answer")
            os.kill(manager, signal.SIGCONT)
            self.see_no(r"does not answer")
            os.kill(manager, signal.SIGSTOP)
            self.type("Down")
            self.see(r"^── job \(1\)")
            self.see(r"the daemon does not answer")
            self.type("q")
            self.assertEqual(self.code(), 0)
        finally:
            os.kill(manager, signal.SIGCONT)


class WaysOut(MonitTestCase):
    """The modes of the terminal and its screen are as they were before."""

    def begin_with_marks(self):
        self.start_naps("api")
        self.open_terminal()
        self.type("echo what was there; stty -a > before", "Enter")
        self.see(r"^what was there")
        self.run_monit()
        self.see(r"^ +0 api")
        self.assertNotIn("what was there", self.screen())

    def check_restored(self, code=None):
        ended = self.code()
        if code is not None:
            self.assertEqual(ended, code)
        self.see(r"^what was there")
        self.assertNotIn("processes,", self.screen())
        self.type("stty -a > after; echo looked", "Enter")
        self.see(r"^looked")  # it is echoed too
        self.assertEqual((self.dir / "after").read_text(), (self.dir / "before").read_text())
        self.assertEqual(self.tmux("display-message", "-p",
                                   "#{cursor_flag}#{alternate_on}#{mouse_any_flag}#{keypad_flag}"),
                         "1000\n")

    def test_q(self):
        self.begin_with_marks()
        self.type("q")
        self.check_restored(0)

    def test_escape(self):
        self.begin_with_marks()
        self.type("Escape")
        self.check_restored(0)

    def test_ctrl_c(self):
        self.begin_with_marks()
        self.type("C-c")
        self.check_restored(0)

    def test_signals(self):
        self.begin_with_marks()
        for number in signal.SIGTERM, signal.SIGHUP:
            with self.subTest(number.name):
                os.kill(self.monit_pid(), number)
                self.check_restored(128 + number)
                self.type("clear; echo what was there", "Enter")
                self.see_no(r"code=")
                self.run_monit()
                self.see(r"^ +0 api")
        self.type("q")

    @unittest.skipIf(SANITIZED, "the sanitizer writes its own story of a crash over the screen")
    def test_a_crash(self):
        for number in signal.SIGSEGV, signal.SIGABRT:
            with self.subTest(number.name):
                if not self.opened:
                    self.begin_with_marks()
                os.kill(self.monit_pid(), number)
                self.check_restored(128 + number)
                self.type("clear; echo what was there", "Enter")
                self.see_no(r"code=")
                self.run_monit()
                self.see(r"^ +0 api")
        self.type("q")

    def test_suspended_and_resumed(self):
        self.begin_with_marks()
        self.type("C-z")
        self.see(r"Stopped")
        self.see(r"^what was there")
        self.type("stty -a > after; echo looked", "Enter")
        self.see(r"^looked")
        self.assertEqual((self.dir / "after").read_text(), (self.dir / "before").read_text())
        self.type("fg", "Enter")
        self.see(r"^ +0 api")
        self.type("Down", "o")
        self.see(r"sort name")
        self.type("q")
        self.see_no(r"sort name")

    def test_the_end_of_the_terminal(self):
        self.begin_with_marks()
        pid = self.monit_pid()
        self.tmux("kill-server")
        self.opened = False
        wait_for(lambda: pid not in self.processes(), what="the end of monit")


class NoTerminal(ClusterTestCase):
    def test_in_a_pipe_it_says_what_to_use(self):
        for command in "monit", "dashboard", "dash":
            answer = self.ctl(command, check=False)
            self.assertEqual((answer.code, answer.out), (1, ""))
            self.assertIn("needs a terminal", answer.err)
            for other in "list", "logs", "jlist":
                self.assertIn(f"clusterctl {other}", answer.err)

    def test_a_terminal_that_is_not_known(self):
        if not shutil.which("script"):
            self.skipTest("script(1) is not installed")
        for kind, words in (("nonsense", "not known here"), ("dumb", "cannot place its cursor")):
            done = subprocess.run(["script", "-qec", f"{BIN}/clusterctl monit", "/dev/null"],
                                  env=self.environment({"TERM": kind}), cwd=self.dir, timeout=60,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stdout)


if __name__ == "__main__":
    unittest.main()
