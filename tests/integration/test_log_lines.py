#!/usr/bin/env python3
"""What lines in log files look like, and that each is there once: with dates, as JSON, in two files,
from noisy workers, and over the deaths of the manager."""
import json
import os
import pathlib
import re
import unittest

from harness import SANITIZED, wait_for
from test_logs import Printing, numbered

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d: ")

# Numbered lines on both streams until `stop` is there; then `count` says how many.
COUNTS = """
import os, signal, time
name = os.environ["name"]
n = 0
while not os.path.exists("stop"):
    lines = b"".join(b"%d\\n" % number for number in range(n, n + 200))
    os.write(1, lines)
    os.write(2, lines)
    n += 200
    time.sleep(0.006)
with open(name + ".tmp", "w") as file:
    file.write(str(n))
os.rename(name + ".tmp", name + ".count")
signal.pause()
"""


class Lines(Printing):
    def lines(self, kind, name="api"):
        return self.content(kind, name).decode().splitlines()

    def combined(self, name="api"):
        return self.home / "logs" / f"{name}.log"

    def test_time_puts_a_date_before_each_line_and_completes_what_a_dead_worker_left(self):
        script = self.dir / "half.sh"
        script.write_text("printf 'one\\ntwo\\nha'\nprintf lf\n")
        app = {"name": "api", "script": str(script), "time": True, "max_restarts": 2}
        self.ctl("start", self.ecosystem(app), "--no-wait")
        wait_for(lambda: self.row()["status"] == "errored", what="errored")
        lines = self.lines("out")
        self.assertTrue(all(DATE.match(line) for line in lines), lines)
        self.assertEqual([DATE.sub("", line) for line in lines], ["one", "two", "half"] * 2)

    def test_json_lines_have_pm2s_keys_and_hold_whatever_was_written(self):
        self.start("os.write(1, b'a \"quoted\" line\\n\\xff\\n')\nos.write(2, b'no newline')\n"
                   "signal.pause()\n", log_type="json")
        wait_for(lambda: len(self.lines("out")) == 2 and self.lines("error"), what="three lines")
        first, second = (json.loads(line) for line in self.lines("out"))
        self.assertEqual(list(first),
                         ["message", "timestamp", "type", "process_id", "app_name"])
        self.assertEqual(first["message"], 'a "quoted" line')
        self.assertRegex(first["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(second["message"], "\ufffd")
        third = json.loads(self.lines("error")[0])
        self.assertEqual((third["message"], third["type"]), ("no newline", "err"))

    def test_a_combined_file_has_the_lines_of_both_streams_whole(self):
        count = 2000
        self.start(f"for number in range({count}):\n"
                   "    os.write(1, f'out {number}\\n'.encode())\n"
                   "    os.write(2, f'err {number}\\n'.encode())\n"
                   "signal.pause()\n", log_file=True)
        out, err = numbered("out", count), numbered("err", count)
        self.wait_for_size(self.combined(), len(out) + len(err))
        self.assertEqual(self.content("out"), out)
        self.assertEqual(self.content("error"), err)
        self.assertEqual(sorted(self.combined().read_bytes().splitlines()),
                         sorted((out + err).splitlines()))
        row = json.loads(self.ctl("jlist").out)[0]
        self.assertEqual(row["pm2_env"]["pm_log_path"], str(self.combined()))
        self.assertIn(str(self.combined()), self.ctl("describe", "api").out)

    def test_the_command_line_has_options_for_all_of_it(self):
        script = self.dir / "hello.sh"
        script.write_text("echo hello\nexec sleep 1000\n")
        self.ctl("start", script, "--log-date-format", "[at] YYYY", "--log",
                 self.dir / "all.log", "--name", "api")
        self.wait_for_size(self.dir / "all.log", len("at 2026: hello\n"))
        self.assertRegex((self.dir / "all.log").read_text(), r"^at \d{4}: hello\n$")
        self.ctl("start", script, "--log-type", "json", "--name", "other", "-l")
        wait_for(lambda: self.combined("other").exists() and self.lines("out", "other"),
                 what="a line")
        self.assertEqual(json.loads(self.lines("out", "other")[0])["message"], "hello")

    def test_disable_logs_keeps_nothing(self):
        self.start("os.write(1, b'x' * 100_000)\nopen('done', 'w').close()\nsignal.pause()\n",
                   disable_logs=True, log_file=True, time=True, cwd=str(self.dir))
        wait_for((self.dir / "done").exists, what="the worker to get through")
        self.assertEqual(list((self.home / "logs").glob("*")), [])

    def test_a_line_of_ten_megabytes_gets_one_date(self):
        size = 10_000_000
        self.start(f"sys.stdout.write('a' * {size} + '\\nend\\n')\nsys.stdout.flush()\n"
                   "signal.pause()\n", time=True)
        self.wait_for_size(self.file("out"), size + len("2026-01-01T00:00:00: ") * 2 + 5)
        self.assertEqual([DATE.sub("", line) for line in self.lines("out")], ["a" * size, "end"])

    def test_in_json_a_line_that_is_longer_than_a_pipe_comes_in_parts(self):
        size = 300_000
        self.start(f"sys.stdout.write('a' * {size} + '\\nend\\n')\nsys.stdout.flush()\n"
                   "signal.pause()\n", log_type="json")
        wait_for(lambda: b'"end"' in self.content("out"), what="the last line")
        *parts, end = (json.loads(line)["message"] for line in self.lines("out"))
        self.assertEqual("".join(parts), "a" * size)
        self.assertEqual(end, "end")

    def test_noise_leaves_memory_flat_and_delays_nobody(self):
        megabytes = 60 if SANITIZED else 300
        go = self.dir / "go"
        noise = ("import time\nwhile not os.path.exists('go'):\n    time.sleep(0.01)\n"
                 "block = bytes(range(256)) * 256 + b'x' * 99 + b'\\n'\n"
                 f"for _ in range({megabytes} * 15):\n    os.write(1, block)\n"
                 "open(os.environ['name'] + '.done', 'w').close()\nsignal.pause()\n")
        for name, extra in (("plain", {}), ("dated", {"time": True}),
                            ("json", {"log_type": "json"})):
            self.start(noise, name, cwd=str(self.dir), rotate=False, **extra)
        self.start("for line in open(os.environ['EAR']):\n"
                   "    os.write(1, line.encode())\n", "quiet",
                   env={"EAR": str(self.fifo("ear"))}, time=True)
        before = self.memory_of_daemon("VmRSS")
        with open(self.dir / "ear", "w", buffering=1) as mouth:
            go.write_text("")
            said = 0
            done = [self.dir / f"{name}.done" for name in ("plain", "dated", "json")]
            while not all(file.exists() for file in done):
                said += 1
                mouth.write(f"{said}\n")
                wait_for(lambda: self.content("out", "quiet").endswith(b" %d\n" % said),
                         deadline=5, what=f"line {said} of the quiet one")
        self.assertLess(self.memory_of_daemon("VmHWM") - before, 8192 if SANITIZED else 2048)
        block = bytes(range(256)) * 256 + b"x" * 99 + b"\n"
        self.wait_for_size(self.file("out", "plain"), len(block) * megabytes * 15)
        self.assertEqual(self.file("out", "plain").stat().st_size, len(block) * megabytes * 15)

    def fifo(self, name):
        os.mkfifo(self.dir / name)
        return self.dir / name

    def memory_of_daemon(self, kind):
        status = pathlib.Path(f"/proc/{self.about()['pid']}/status").read_text()
        return int(status.partition(f"{kind}:")[2].split()[0])  # kB


class Deaths(Printing):
    def test_no_line_is_lost_or_doubled_over_twenty_deaths_of_the_manager(self):
        plans = {"plain": {}, "dated": {"time": True}, "json": {"log_type": "json"},
                 "both": {"log_file": True}, "all": {"log_file": True, "time": True},
                 "one": {"out_file": str(self.dir / "one.log"),
                         "error_file": str(self.dir / "one.log"), "time": True}}
        for name, attributes in plans.items():
            self.start(COUNTS, name, cwd=str(self.dir), **attributes)
        for _ in range(4 if SANITIZED else 20):
            self.kill_manager()
        (self.dir / "stop").write_text("")
        for name in plans:
            count = self.dir / f"{name}.count"
            wait_for(count.exists, deadline=60, what=f"the end of {name}")
            wanted = list(range(int(count.read_text())))
            with self.subTest(name):
                if name == "one":
                    self.check(self.dir / "one.log", sorted(wanted * 2), ordered=False)
                    continue
                self.check(self.file("out", name), wanted)
                self.check(self.file("error", name), wanted)
                if name in ("both", "all"):
                    self.check(self.home / "logs" / f"{name}.log", sorted(wanted * 2),
                               ordered=False)

    def check(self, path, wanted, ordered=True):
        wait_for(lambda: path.read_bytes().count(b"\n") >= len(wanted), deadline=60,
                 what=f"{len(wanted)} lines in {path.name}")
        numbers = [self.number_in(line) for line in path.read_text().splitlines()]
        if not ordered:
            numbers.sort()
        if numbers == wanted:
            return
        at = next((at for at, pair in enumerate(zip(numbers, wanted)) if pair[0] != pair[1]),
                  len(wanted))
        self.fail(f"{path.name}: {numbers[at - 2:at + 3]} instead of {wanted[at - 2:at + 3]}")

    @staticmethod
    def number_in(line):
        if line.startswith("{"):
            line = json.loads(line)["message"]
        return int(DATE.sub("", line))


if __name__ == "__main__":
    unittest.main()
