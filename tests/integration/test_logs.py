#!/usr/bin/env python3
"""What workers print: every byte is in its file, once, in order, with lines whole; `logs` shows the
end of the files and what comes."""
import contextlib
import fcntl
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import termios
import threading
import unittest

from harness import BIN, ClusterTestCase, command_line, open_files, wait_for

LINES = 20_000


def numbered(stream, count):
    return "".join(f"{stream} {number}\n" for number in range(count)).encode()


class Printing(ClusterTestCase):
    """Helpers: Python workers as one-liners, and their files."""
    maxDiff = 2000

    def start(self, source, name="api", env=None, **attributes):
        script = self.dir / f"{name}.py"
        script.write_text("import os, signal, sys\n" + source)
        app = {"name": name, "script": str(script), "interpreter": "python3"}
        return self.ctl("start", self.ecosystem(app | attributes), env=env)

    def file(self, kind, name="api"):
        return self.home / "logs" / f"{name}-{kind}.log"

    def content(self, kind, name="api"):
        path = self.file(kind, name)
        return path.read_bytes() if path.exists() else b""

    def row(self):
        return self.json("list")["processes"][0]

    def wait_for_size(self, path, size, deadline=120):
        wait_for(lambda: path.exists() and path.stat().st_size >= size, deadline,
                 what=f"{size} bytes in {path.name}")

    def follow(self, *args):
        """`clusterctl logs` as a process, and the queue of the lines that it prints."""
        process = subprocess.Popen([BIN / "clusterctl", "logs", *map(str, args)],
                                   env=self.environment(), cwd=self.dir, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        lines = queue.Queue()

        def read():
            for line in process.stdout:
                lines.put(line.rstrip("\n"))
        reader = threading.Thread(target=read, daemon=True)
        reader.start()

        def end():
            process.terminate()
            process.wait(timeout=30)
            reader.join(timeout=30)
            process.stdout.close()
        self.addCleanup(end)
        return process, lines

    def lines_until(self, lines, last):
        """All that has come up to and including the line `last`."""
        seen = []
        while not seen or seen[-1] != last:
            try:
                seen.append(lines.get(timeout=60))
            except queue.Empty:
                self.fail(f"no line {last!r}; the last ones were {seen[-5:]}")
        return seen


class Files(Printing):
    def test_a_process_begins_a_line_of_its_own_also_under_another_manager(self):
        os.mkfifo(self.dir / "go")
        source = "open('go').read()\nos.write(1, b'cut sho')\nsignal.pause()\n"

        def go():
            with contextlib.suppress(OSError):  # nobody waits for it yet
                os.close(os.open(self.dir / "go", os.O_WRONLY | os.O_NONBLOCK))
                return True
        for name, delay in ("before", 1500), ("after", 0):  # the next process is there
            with self.subTest(name):
                self.start(source, name, cwd=str(self.dir), restart_delay=delay)
                wait_for(go, what="a process")
                wait_for(lambda: self.content("out", name) == b"cut sho", what="half a line")
                row = next(row for row in self.json("list")["processes"] if row["name"] == name)
                os.kill(row["pid"], signal.SIGKILL)
                def has_ended():
                    pid = self.json("describe", name)["processes"][0]["pid"]
                    return pid != row["pid"] and (delay > 0 or pid != 0)
                wait_for(has_ended, what="its end")
                self.kill_manager()
                wait_for(go, what="the next process")
                wait_for(lambda: self.content("out", name).count(b"cut sho") == 2,
                         what="the next one")
                self.assertEqual(self.content("out", name), b"cut sho\ncut sho")

    def test_every_line_of_both_streams_is_there_and_a_death_in_mid_line_loses_nothing(self):
        app = {"name": "api", "script": self.worker("prints.py"), "args": [str(LINES)],
               "autorestart": False}
        self.ctl("start", self.ecosystem(app), "--no-wait")
        wait_for(lambda: self.row()["status"] == "stopped", deadline=120, what="its end")
        self.assertEqual(self.row()["exit_code"], 3)
        self.assertEqual(self.content("out"), numbered("out", LINES) + b"half a li")
        self.assertEqual(self.content("error"), numbered("err", LINES))

    def test_the_next_process_starts_on_a_new_line(self):
        app = {"name": "api", "script": self.worker("prints.py"), "args": ["2"],
               "max_restarts": 3}
        self.ctl("start", self.ecosystem(app), "--no-wait")
        wait_for(lambda: self.row()["status"] == "errored", deadline=60, what="errored")
        once = numbered("out", 2) + b"half a li"
        self.assertEqual(self.content("out"), b"\n".join([once] * 3))
        self.assertEqual(self.content("error"), numbered("err", 2) * 3)

    def test_four_instances_in_one_file_keep_every_line_whole(self):
        count = 5_000
        self.start("me = os.environ['NODE_APP_INSTANCE']\n"
                   f"for number in range({count}):\n"
                   "    os.write(1, f'{me} {number} {\"x\" * (number % 300)}.\\n'.encode())\n"
                   "signal.pause()\n", instances=4, merge_logs=True)
        wanted = sorted(f"{me} {number} {'x' * (number % 300)}.\n"
                        for me in range(4) for number in range(count))
        self.wait_for_size(self.file("out"), sum(map(len, wanted)))
        lines = self.content("out").decode().splitlines(keepends=True)
        self.assertEqual(sorted(lines), wanted)
        for me in range(4):  # and those of one instance are in order
            own = [int(line.split()[1]) for line in lines if line.startswith(f"{me} ")]
            self.assertEqual(own, list(range(count)))

    def test_both_streams_in_one_file_keep_every_line_whole(self):
        target = self.dir / "both.log"
        self.start("for number in range(3000):\n"
                   "    os.write(1, f'out {number}\\n'.encode())\n"
                   "    os.write(2, f'err {number}\\n'.encode())\n"
                   "signal.pause()\n", out_file=str(target), error_file=str(target))
        wanted = numbered("out", 3000) + numbered("err", 3000)
        self.wait_for_size(target, len(wanted))
        self.assertEqual(sorted(target.read_bytes().splitlines()), sorted(wanted.splitlines()))

    def test_a_line_of_ten_megabytes_is_one_line(self):
        self.start("sys.stdout.write('a' * 10_000_000 + '\\nend\\n')\nsys.stdout.flush()\n"
                   "signal.pause()\n")
        self.wait_for_size(self.file("out"), 10_000_005)
        self.assertEqual(self.content("out"), b"a" * 10_000_000 + b"\nend\n")

    def test_a_log_that_the_user_empties_goes_on_from_its_start(self):
        go = self.dir / "go"
        os.mkfifo(go)
        self.start(f"print('before ' * 1000, flush=True)\nopen({str(go)!r}).read()\n"
                   "print('after', flush=True)\nsignal.pause()\n")
        self.wait_for_size(self.file("out"), 7001)
        with self.file("out").open("w"):
            pass  # as the shell's `> file`
        go.write_text("")
        self.wait_for_size(self.file("out"), len("after\n"))
        self.assertEqual(self.content("out"), b"after\n")

    def test_a_full_disk_stops_no_worker(self):
        done = self.dir / "done"
        self.start("for _ in range(100):\n    os.write(1, b'x' * 10_000 + b'\\n')\n"
                   f"open({str(done)!r}, 'w').close()\nsignal.pause()\n", out_file="/dev/full")
        wait_for(done.exists, deadline=60, what="the worker to get through")
        self.assertEqual(self.row()["status"], "online")
        told = [line for line in self.log.read_text().splitlines() if "/dev/full" in line]
        self.assertEqual(len(told), 1)  # once, however much is lost
        self.assertIn("no space left on device", told[0])


class Logs(Printing):
    def test_nostream_prints_exactly_the_last_lines(self):
        self.start("for number in range(100):\n    print('out', number, flush=True)\n"
                   "    print('err', number, file=sys.stderr, flush=True)\nsignal.pause()\n")
        self.wait_for_size(self.file("out"), len(numbered("out", 100)))
        self.wait_for_size(self.file("error"), len(numbered("err", 100)))
        out = [f"out {number}" for number in range(100)]
        err = [f"err {number}" for number in range(100)]
        rows = [
            (["--lines", 0], [], []),
            (["--lines", 1000], out, err),
            (["--out"], out[-15:], []),
            (["--lines", 4, "--out"], out[-4:], []),
            (["--lines", 4, "--err"], [], err[-4:]),
        ]
        for options, on_out, on_err in rows:
            with self.subTest(options):
                done = self.ctl("logs", "api", "--nostream", "--raw", *options)
                self.assertEqual(done.out.splitlines(), on_out)
                self.assertEqual(done.err.splitlines(), on_err)
        for options, count in ([], 15), (["--lines", 3], 3):  # of both together
            with self.subTest(options):
                done = self.ctl("logs", "api", "--nostream", "--raw", *options)
                shown = [done.out.splitlines(), done.err.splitlines()]
                self.assertEqual(sum(map(len, shown)), count)
                for lines, all_lines in zip(shown, (out, err)):
                    self.assertEqual(lines, all_lines[len(all_lines) - len(lines):])
        shown = self.ctl("logs", "api", "--nostream", "--lines", 2, "--out").out
        for line in ("0|api", "out 98", "out 99"):
            self.assertIn(line, shown)
        self.assertNotIn("out 97", shown)

    def talker(self):
        """A worker that prints each line that is written to the file that comes back."""
        ear = self.dir / "ear"
        os.mkfifo(ear)
        self.start(f"ear = os.open({str(ear)!r}, os.O_RDWR)\n"
                   "print('ready', flush=True)\n"
                   "for line in os.fdopen(ear):\n"
                   "    if line == 'die\\n':\n"
                   "        os.write(1, b'half')\n        os._exit(1)\n"
                   "    (sys.stderr if line.startswith('err') else sys.stdout).write(line)\n"
                   "    sys.stdout.flush()\n")
        self.wait_for_size(self.file("out"), len("ready\n"))
        return os.open(ear, os.O_RDWR)

    def test_a_follower_sees_the_end_of_the_file_and_each_new_line_once(self):
        mouth = self.talker()
        self.addCleanup(os.close, mouth)
        _, lines = self.follow("api", "--raw")
        self.assertEqual(self.lines_until(lines, "ready")[-1], "ready")
        for number in range(200):
            os.write(mouth, f"line {number}\n".encode())
        self.assertEqual(self.lines_until(lines, "line 199"),
                         [f"line {number}" for number in range(200)])

    def test_a_follower_is_shown_the_half_line_of_a_dead_worker_as_a_line(self):
        mouth = self.talker()
        self.addCleanup(os.close, mouth)
        _, lines = self.follow("api", "--raw")
        self.lines_until(lines, "ready")
        os.write(mouth, b"now\n") # one that joins may show an unfinished line, and then the whole
        self.lines_until(lines, "now")
        os.write(mouth, b"die\n")
        self.assertEqual(self.lines_until(lines, "ready"), ["half", "ready"])

    def test_err_and_out_choose_what_is_followed(self):
        mouth = self.talker()
        self.addCleanup(os.close, mouth)
        _, errors = self.follow("api", "--raw", "--lines", 0, "--err")
        _, output = self.follow("api", "--raw", "--lines", 0, "--out")

        def heard(lines, text):
            """Says it until the follower, which may not be there yet, has heard it."""
            os.write(mouth, text.encode() + b"\n")
            with_it = []
            while not lines.empty():
                with_it.append(lines.get())
            return text in with_it
        wait_for(lambda: heard(errors, "err there"), deadline=60, what="the follower of stderr")
        wait_for(lambda: heard(output, "there"), deadline=60, what="the follower of stdout")
        os.write(mouth, b"one\nerr one\ntwo\nerr two\n")
        self.assertEqual({line[:3] for line in self.lines_until(errors, "err two")}, {"err"})
        self.assertNotIn("err", {line[:3] for line in self.lines_until(output, "two")})

    def test_json_lines_can_be_parsed(self):
        mouth = self.talker()
        self.addCleanup(os.close, mouth)
        _, lines = self.follow("api", "--json")
        first = json.loads(lines.get(timeout=60))
        self.assertEqual((first["app_name"], first["type"], first["message"]),
                         ("api", "out", "ready"))
        os.write(mouth, b'a "quoted" line\n')
        self.assertEqual(json.loads(lines.get(timeout=60))["message"], 'a "quoted" line')

    def memory_of_daemon(self, kind):
        pid = next(pid for pid in self.processes()
                   if "--manager" in command_line(pid))
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return int(status.partition(f"{kind}:")[2].split()[0])  # kB

    def test_a_follower_that_does_not_read_slows_nobody_down(self):
        go = self.dir / "go"
        os.mkfifo(go)
        size = 64_000_000
        self.start(f"open({str(go)!r}).read()\n"
                   "for _ in range(640):\n    os.write(1, b'x' * 99_999 + b'\\n')\n"
                   "signal.pause()\n")
        follower, _ = self.follow("api", "--lines", 0)
        wait_for(lambda: self.is_followed(follower.pid), what="the follower to be connected")
        follower.send_signal(signal.SIGSTOP)
        try:
            before = self.memory_of_daemon("VmRSS")
            go.write_text("")
            self.wait_for_size(self.file("out"), size)
            # What waits for it is bounded (docs/protocol.md: 16 MiB), however much was written.
            self.assertLess(self.memory_of_daemon("VmHWM") - before, 24 * 1024)
            self.assertEqual(self.row()["status"], "online")
        finally:
            follower.send_signal(signal.SIGCONT)

    def test_a_follower_that_was_held_up_while_all_ended_starts_nothing(self):
        size = 1_000_000
        self.start(f"for _ in range({size} // 100):\n    os.write(1, b'x' * 99 + b'\\n')\n"
                   "signal.pause()\n")
        self.wait_for_size(self.file("out"), size)
        with subprocess.Popen([BIN / "clusterctl", "logs", "--lines", "9000", "--raw"],
                              env=self.environment(), cwd=self.dir, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as follower:
            try:
                wait_for(lambda: self.unread(follower.stdout) > 60_000, what="a full pipe")
                self.ctl("kill")
                follower.communicate(timeout=10)
            finally:
                follower.kill()
            self.assertEqual(follower.returncode, 3)
        self.assertEqual(self.processes(), [])

    @staticmethod
    def unread(pipe):
        count = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
        return int.from_bytes(count, sys.byteorder)

    def is_followed(self, pid):
        """The follower waits for the daemon: it sleeps with a connected socket."""
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return stat[0] == "S" and any(link.startswith("socket:") for link in open_files(pid))


if __name__ == "__main__":
    unittest.main()
