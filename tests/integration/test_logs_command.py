#!/usr/bin/env python3
"""`clusterctl logs` over many files: in time order, rotated and compressed ones too, chosen by time
and by pattern, in each form of output, and followed over rotations and new daemons.

Most files are written by the tests themselves, with the daemon's index of times beside them
(ipc/wire/log_times.hpp), behind the back of workers that print nothing."""
import contextlib
import datetime
import gzip
import json
import os
import pty
import signal
import struct
import subprocess
import time
import unittest

from harness import BIN, SANITIZED, wait_for
from test_logs import Printing

NOON = 1_795_348_800_000  # 2026-11-22 12:00 UTC, in milliseconds
MINUTE = 60_000


def leb128(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def stamp(wall_ms):
    """As it stands in the name of a rotated file."""
    at = datetime.datetime.fromtimestamp(wall_ms // 1000, datetime.timezone.utc)
    return f"{at:%Y%m%dT%H%M%S}.{wall_ms % 1000:03}Z"


class History(Printing):
    """Apps that print nothing, and what their files hold."""

    def setUp(self):
        super().setUp()
        # Local times in the output are UTC.
        self.zone = {"TZ": "UTC0"}

    def quiet(self, *names):
        script = self.dir / "quiet.sh"
        script.write_text("exec sleep 1000000\n")
        self.ctl("start", self.ecosystem(*(
            {"name": name, "script": str(script), "interpreter": "sh"} for name in names)))

    def index(self, path, records):
        """Writes the index of times of a file: `records` are (offset, wall ms)."""
        about = path.stat()
        folder = self.home / "logs/.times"
        folder.mkdir(exist_ok=True)
        with (folder / f"{about.st_dev:x}-{about.st_ino:x}").open("wb") as file:
            before = None
            for offset, at in records:
                if before is None:
                    file.write(b"\0" + struct.pack("<QQ", offset, at))
                else:
                    file.write(leb128(offset - before[0]) + leb128(at - before[1]))
                before = offset, at

    def write(self, path, lines, pack=None):
        """`lines`: (wall ms, text). With `pack`, the file is compressed, its name ends so."""
        content = b""
        records = []
        for at, text in lines:
            if not records or records[-1][1] != at:
                records.append((len(content), at))
            content += text.encode() + b"\n"
        path.write_bytes(content)
        if pack == "gz":
            path = path.with_name(path.name + ".gz")
            path.write_bytes(gzip.compress(content))
        elif pack == "zst":
            subprocess.run(["zstd", "-q", "--rm", path], check=True)
            path = path.with_name(path.name + ".zst")
        if pack == "gz":
            path.with_name(path.name[:-3]).unlink()
        self.index(path, records)

    def rotated(self, path, at):
        return path.with_name(f"{path.name}.{stamp(at)}")

    def logs(self, *args, **options):
        """The lines that `logs --nostream` prints on stdout."""
        return self.ctl("logs", "--nostream", *args, env=self.zone, **options).out.splitlines()


class Choice(History):
    def test_lines_of_all_files_come_in_the_order_of_time(self):
        self.quiet("one", "two")
        said = [(NOON + 10 * number, f"{'out' if number % 3 else 'err'} {number}", name)
                for number in range(100) for name in ("one", "two")]
        for name in ("one", "two"):
            for kind, word in (("out", "out"), ("error", "err")):
                self.write(self.file(kind, name), [(at, text) for at, text, who in said
                                                   if who == name and text.startswith(word)])
        # Of the same moment stdout stands before stderr, and the first app before the second.
        wanted = [f"{'01'[name == 'two']}|{name}        | {text}" for _, text, name in said]
        self.assertEqual(self.logs("--silent", "--lines", 1000), wanted)
        self.assertEqual(self.logs("--silent", "--lines", 7), wanted[-7:])
        self.assertEqual(self.logs("--silent"), wanted[-15:])
        self.assertEqual(self.logs("--lines", 0), [])
        err = [line for line in wanted if "| err" in line]
        self.assertEqual(self.logs("--silent", "--lines", 5, "--err"), err[-5:])
        of_two = [line for line in wanted if line.startswith("1|")]
        self.assertEqual(self.logs("--silent", "--lines", 5, "two"), of_two[-5:])
        self.assertEqual(self.logs("--silent", "--lines", 5, "one", "/^tw/"), wanted[-5:])

    def test_rotated_and_compressed_files_are_read_as_far_back_as_asked_for(self):
        self.quiet("api", "job")
        lines = [(NOON + number * 1000, f"line {number}") for number in range(600)]
        log = self.file("out")
        for file, pack in enumerate(["gz", "zst", "zst", None]):
            part = lines[file * 100:file * 100 + 100]
            self.write(self.rotated(log, part[-1][0] + 1), part, pack)
        self.write(log, lines[400:500])
        self.write(self.file("out", "job"), lines[500:])
        wanted = [text for _, text in lines]
        for count in (1, 100, 101, 200, 250, 399, 400, 450, 600, 10_000):
            with self.subTest(count):
                self.assertEqual(self.logs("--raw", "--lines", count), wanted[-count:])
        self.assertEqual(self.logs("--raw", "--lines", 3, "--grep", "9$"),
                         [f"line {n}" for n in (579, 589, 599)])
        self.assertEqual(self.logs("--raw", "api", "--lines", 3, "--grep", "LINE [0-9]$",
                                   "--ignore-case"), ["line 7", "line 8", "line 9"])

    def test_since_and_until_choose_by_time(self):
        self.quiet("api")
        now = int(time.time() * 1000)
        log = self.file("out")
        old = [(now - (200 - number) * MINUTE, f"line {number}") for number in range(100)]
        self.write(self.rotated(log, old[-1][0] + 1), old, "zst")
        new = [(now - (200 - number) * MINUTE, f"line {number}") for number in range(100, 200)]
        self.write(log, new)

        def ages(first, last):  # minutes ago, without those that are about to change
            return [f"line {200 - age}" for age in range(first, last - 1, -1)]
        self.assertEqual(self.logs("--raw", "--since", "30m30s"), ages(30, 1))
        self.assertEqual(self.logs("--raw", "--since", "2h30s"), ages(120, 1))
        self.assertEqual(self.logs("--raw", "--since", "2h30s", "--until", "1h30s"),
                         ages(120, 61))
        self.assertEqual(self.logs("--raw", "--since", "2h30s", "--lines", 4), ages(4, 1))
        self.assertEqual(self.logs("--raw", "--until", "1h30s", "--lines", 2), ages(62, 61))
        at = datetime.datetime.fromtimestamp(now / 1000 - 90 * 60 - 10, datetime.timezone.utc)
        self.assertEqual(self.logs("--raw", "--since", f"{at:%Y-%m-%dT%H:%M:%SZ}"), ages(90, 1))
        self.assertEqual(self.logs("--raw", "--since", f"{at:%Y-%m-%d %H:%M:%S}"), ages(90, 1))
        # It does not follow when the end is known.
        self.assertEqual(self.ctl("logs", "--raw", "--until", "199m30s").out, "line 0\n")

    def test_without_an_index_a_file_is_as_old_as_its_last_change(self):
        self.quiet("one", "two")
        for name, at in (("one", NOON), ("two", NOON + 1)):
            self.file("out", name).write_text(f"first of {name}\nlast of {name}\n")
            for index in (self.home / "logs").glob(".times/*"):
                index.unlink()
            os.utime(self.file("out", name), (at / 1000, at / 1000))
        self.assertEqual(self.logs("--raw"), ["first of one", "last of one", "first of two",
                                              "last of two"])

    def test_a_file_of_both_streams_is_shown_once(self):
        both = self.dir / "both.log"
        self.start("signal.pause()\n", out_file=str(both), error_file=str(both))
        both.write_text("said\n")
        self.assertEqual(self.logs("--raw"), ["said"])

    def test_what_is_wrong_is_said(self):
        self.assertEqual(self.logs("--silent"), [])  # nothing at all runs
        self.quiet("api")
        rows = [
            (["nobody"], 1, "nobody not found"),
            (["/^no/"], 1, "/^no/ not found"),
            (["--grep", "a(b"], 2, "wrong at character 4: missing closing parenthesis"),
            (["--since", "tomorrow"], 2, "--since must be an age (10m, 2h, 1d)"),
            (["--until", "5"], 2, "--until must be an age"),
        ]
        for args, code, text in rows:
            with self.subTest(args):
                done = self.ctl("logs", *args, check=False)
                self.assertEqual(done.code, code)
                self.assertIn(text, done.err)
        damaged = self.rotated(self.file("out"), NOON).with_name("api-out.log." + stamp(NOON) + ".gz")
        damaged.write_bytes(b"no gzip")
        self.file("out").write_text("all the same\n")
        done = self.ctl("logs", "--nostream", "--raw")
        self.assertEqual(done.out, "all the same\n")
        self.assertEqual(done.err.count("unpack"), 1)


class Forms(History):
    def setUp(self):
        super().setUp()
        self.quiet("api")
        self.write(self.file("out"), [(NOON + 5, "say \"hi\"")])
        self.write(self.file("error"), [(NOON + 1005, "oh \x1b[2J no")])

    def test_each_form_is_pm2s(self):
        keyed = "timestamp=2026-11-22-12:00:00+0000 app=api id=0 type=out message=say \"hi\""
        rows = [
            ([], "0|api        | say \"hi\""),
            (["--raw"], "say \"hi\""),
            (["--format"], keyed),
            (["--timestamp"], "2026-11-22-12:00:00 0|api        | say \"hi\""),
            (["--timestamp", "HH:mm:ss.SSS"], "12:00:00.005 0|api        | say \"hi\""),
            (["--raw", "--timestamp", "[at] H"], "at 12 say \"hi\""),
            (["--highlight", "hi"], "0|api        | say \"hi\""),  # no terminal
        ]
        for options, line in rows:
            with self.subTest(options):
                self.assertEqual(self.logs("--silent", "--out", *options), [line])
        self.assertIn("type=error message=oh \x1b[2J no", self.logs("--format", "--err")[0])
        done = self.ctl("logs", "--nostream", "--raw")
        self.assertEqual((done.out, done.err), ("say \"hi\"\n", "oh \x1b[2J no\n"))

    def test_json_is_pm2s_and_has_the_time_of_old_lines(self):
        objects = [json.loads(line) for line in self.logs("--json")]
        self.assertEqual(objects, [
            {"message": "say \"hi\"", "timestamp": "2026-11-22T12:00:00.005Z", "type": "out",
             "process_id": 0, "app_name": "api"},
            {"message": "oh \x1b[2J no", "timestamp": "2026-11-22T12:00:01.005Z", "type": "err",
             "process_id": 0, "app_name": "api"}])
        self.assertEqual(list(objects[0]),
                         ["message", "timestamp", "type", "process_id", "app_name"])

    def on_terminal(self, *args):
        """What it writes to a terminal."""
        main, side = pty.openpty()
        environment = self.environment(self.zone | {"TERM": "xterm", "NO_COLOR": None})
        with subprocess.Popen([BIN / "clusterctl", "logs", "--nostream", *args], stdin=side,
                              stdout=side, stderr=side, env=environment, cwd=self.dir):
            os.close(side)
            seen = b""
            with contextlib.suppress(OSError), open(main, "rb", buffering=0) as terminal:
                while piece := terminal.read(65536):
                    seen += piece
        return seen.decode()

    def test_a_terminal_gets_colours_and_no_commands_of_the_app(self):
        seen = self.on_terminal("--highlight", "hi", "--timestamp", "HH:mm")
        self.assertIn("\x1b[90m12:00\x1b[0m \x1b[32m0|api        \x1b[0m\x1b[32m| \x1b[0m"
                      "say \"\x1b[7mhi\x1b[0m\"", seen)
        self.assertIn("\x1b[31m| \x1b[0moh \\x1b[2J no", seen)
        plain = self.on_terminal("--no-color", "--highlight", "hi")
        self.assertNotIn("\x1b", plain)


class Size(History):
    SIZE = 20_000_000 if SANITIZED else 100_000_000

    def test_a_long_history_begins_at_once_and_takes_little_memory(self):
        self.quiet("api")
        line = b"x" * 99 + b"\n"
        with self.file("out").open("wb") as file:
            for _ in range(self.SIZE // 1_000_000):
                file.write(line * 10_000)
        for options, count in (([], 15), (["--lines", 10_000_000], self.SIZE // 100),
                               (["--since", "1d"], self.SIZE // 100)):
            with self.subTest(options):
                begin = time.monotonic()
                process = subprocess.Popen(
                    [BIN / "clusterctl", "logs", "--nostream", "--raw", *map(str, options)],
                    env=self.environment(), cwd=self.dir, stdout=subprocess.PIPE)
                process.stdout.read(1)
                # 0.1 s on a machine of our own; this one may be anybody's.
                self.assertLess(time.monotonic() - begin, 10.0 if SANITIZED else 2.0)
                size = 1
                while piece := process.stdout.read(1 << 20):
                    size += len(piece)
                process.stdout.close()
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                self.assertEqual((size, process.returncode), (count * 100, 0))
                if not SANITIZED:
                    self.assertLess(used.ru_maxrss, 64 * 1024)  # kB

    def test_a_reader_that_has_enough_ends_it(self):
        self.quiet("api")
        self.file("out").write_text("x\n" * 1_000_000)
        done = subprocess.run(f"{BIN}/clusterctl logs --raw --lines 1000000 | head -1", shell=True,
                              env=self.environment(), cwd=self.dir, capture_output=True,
                              timeout=60)
        self.assertEqual((done.stdout, done.stderr), (b"x\n", b""))


class Following(History):
    def say(self, mouth, *lines):
        for line in lines:
            os.write(mouth, line.encode() + b"\n")

    def put_aside(self):
        """As a rotation, only that the daemon does not know."""
        log = self.file("out")
        log.rename(self.rotated(log, int(time.time() * 1000)))

    def talker(self):
        """A worker that prints each line that is written to the descriptor that comes back."""
        ear = self.dir / "ear"
        os.mkfifo(ear)
        self.start(f"ear = os.open({str(ear)!r}, os.O_RDWR)\n"
                   "for line in os.fdopen(ear):\n"
                   "    os.write(1, line.encode()[:-1] if line.endswith('>\\n') else"
                   " line.encode())\n")
        mouth = os.open(ear, os.O_RDWR)
        self.addCleanup(os.close, mouth)
        return mouth

    def heard(self, mouth, lines, text):
        """Says it until the follower has heard it."""
        def try_it():
            self.say(mouth, text)
            seen = []
            while not lines.empty():
                seen.append(lines.get())
            return text in seen
        wait_for(try_it, deadline=60, what=f"a follower that hears {text!r}")

    def test_what_comes_is_filtered_as_what_was(self):
        mouth = self.talker()
        _, lines = self.follow("--raw", "--lines", 0, "--grep", "^y")
        self.heard(mouth, lines, "y there")
        self.say(mouth, "no", "y one", "neither", "y two")
        self.assertEqual([line for line in self.lines_until(lines, "y two") if line != "y there"],
                         ["y one", "y two"])

    def test_an_unfinished_line_is_shown_and_once_more_when_it_is_whole(self):
        mouth = self.talker()
        self.say(mouth, "hello", "name>")
        self.wait_for_size(self.file("out"), len("hello\nname>"))
        _, lines = self.follow("--raw")
        self.assertEqual(self.lines_until(lines, "name>"), ["hello", "name>"])
        self.say(mouth, " fred", "end")
        self.assertEqual(self.lines_until(lines, "end"), ["name> fred", "end"])

    def test_it_goes_on_over_files_that_are_emptied_and_put_aside_and_a_new_daemon(self):
        mouth = self.talker()
        self.say(mouth, "first")
        self.wait_for_size(self.file("out"), len("first\n"))
        _, lines = self.follow("--raw")
        self.lines_until(lines, "first")
        self.file("out").write_text("")
        self.say(mouth, "emptied")
        self.assertEqual(self.lines_until(lines, "emptied"), ["emptied"])
        self.put_aside()
        self.say(mouth, "put aside")
        self.assertEqual(self.lines_until(lines, "put aside"), ["put aside"])
        for number in range(3):
            self.kill_manager()  # which opens a file anew
            self.say(mouth, f"daemon {number}")
            self.assertEqual(self.lines_until(lines, f"daemon {number}"), [f"daemon {number}"])
            self.put_aside()

    def test_what_is_written_while_a_long_history_is_printed_follows_it_once(self):
        mouth = self.talker()
        old = [f"old {number} {'x' * 80}" for number in range(50_000)]
        self.file("out").write_text("\n".join(old) + "\n")
        process, lines = self.follow_slowly("--raw", "--lines", 100_000)
        new = [f"new {number}" for number in range(1000)]
        size = self.file("out").stat().st_size
        self.say(mouth, *new[:500])
        self.wait_for_size(self.file("out"), size + sum(len(line) + 1 for line in new[:500]))
        self.put_aside()
        self.kill_manager()
        self.say(mouth, *new[500:])
        self.wait_for_size(self.file("out"), sum(len(line) + 1 for line in new[500:]))
        seen = [next(lines) for _ in range(len(old) + len(new))]
        self.assertEqual(seen, old + new)
        self.say(mouth, "end")
        self.assertEqual(next(lines), "end")

    def follow_slowly(self, *args):
        """A follower of which nothing is read before it is asked for; it has begun."""
        process = subprocess.Popen([BIN / "clusterctl", "logs", *map(str, args)],
                                   env=self.environment(), cwd=self.dir, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

        def end():
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
            process.stdout.close()
        self.addCleanup(end)
        first = process.stdout.readline()

        def lines():
            yield first.rstrip("\n")
            for line in process.stdout:
                yield line.rstrip("\n")
        return process, lines()


if __name__ == "__main__":
    unittest.main()
