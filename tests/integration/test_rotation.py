#!/usr/bin/env python3
"""Log files are set aside, compressed and removed as declared, and not one byte is lost or doubled
on the way; they can be emptied, moved and opened again, by logrotate too."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

from harness import SANITIZED, WORKERS, ClusterTestCase, wait_for

sys.path.insert(1, str(WORKERS))
from numbered import line  # noqa: E402

STAMP = re.compile(r"\.\d{8}T\d{6}\.\d{3}Z(\.zst|\.gz)?$")


def plain(path):
    """What is in a log file, compressed or not, or compressed since we looked."""
    if not path.exists():
        path = next(it for it in (pathlib.Path(f"{path}{end}") for end in (".zst", ".gz", ""))
                    if it.exists())
    tool = {".zst": ["zstd", "-dcq"], ".gz": ["gzip", "-dcq"]}.get(path.suffix)
    if not tool:
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        return plain(path)
    return subprocess.run([*tool, path], check=True, stdout=subprocess.PIPE).stdout


def rotated(path):
    """The files set aside of a log file, oldest first; of two forms of one, the compressed one."""
    files = sorted(it for it in path.parent.glob(path.name + ".*") if STAMP.search(it.name))
    names = {it.name for it in files}
    return [it for it in files if not {it.name + ".zst", it.name + ".gz"} & names]


def all_of(path):
    return b"".join(map(plain, [*rotated(path), path]))


class Rotating(ClusterTestCase):
    maxDiff = 2000

    def file(self, name="api", kind="out"):
        return self.home / "logs" / f"{name}-{kind}.log"

    def talker(self, name="api", env=None, **attributes):
        """A worker that prints what is written to the descriptor that comes back."""
        ear = self.dir / f"ear-{name}"
        os.mkfifo(ear)
        script = self.dir / f"{name}.py"
        script.write_text("import os\n"
                          f"ear = os.open({str(ear)!r}, os.O_RDWR)\n"
                          "os.write(1, b'ready\\n')\n"
                          "while True:\n"
                          "    data = os.read(ear, 65536)\n"
                          "    while data:\n"
                          "        data = data[os.write(1, data):]\n")
        app = {"name": name, "script": str(script), "interpreter": "python3",
               "kill_signal": "SIGKILL"}
        self.ctl("start", self.ecosystem(app | attributes, name=f"{name}.json"), env=env)
        mouth = os.open(ear, os.O_RDWR)
        self.addCleanup(os.close, mouth)
        path = pathlib.Path(attributes.get("out_file", self.file(name)))
        wait_for(lambda: self.holds(path, b"ready\n"), what="the worker")
        return mouth

    @staticmethod
    def holds(path, text):
        """Somewhere in all that was written; it may be on its way from one file to the next."""
        with contextlib.suppress(FileNotFoundError, subprocess.CalledProcessError):
            return text in all_of(path)

    def say(self, mouth, data):
        while data:
            data = data[os.write(mouth, data[:60_000]):]

    def say_apart(self, mouth, *texts, name="api"):
        """Each in a batch of its own: a file is left between two of them only."""
        def said(text):
            with contextlib.suppress(FileNotFoundError):  # between the old file and the new one
                return self.file(name).read_bytes().endswith(text)
        for text in texts:
            self.say(mouth, text)
            wait_for(lambda: said(text), what="what was said")

    def wait_for_all(self, path, content, what="the lines"):
        def all_there():
            try:
                return all_of(path) == content
            except (FileNotFoundError, subprocess.CalledProcessError):
                return False  # it was just being renamed
        wait_for(all_there, deadline=60, what=what)

    def wait_until_compressed(self, path, suffix=".zst"):
        wait_for(lambda: rotated(path) and all(it.suffix == suffix for it in rotated(path))
                 and not list(path.parent.glob(path.name + "*.tmp")), deadline=60,
                 what=f"all files to end in {suffix}")


class Exactness(Rotating):
    def start(self, name, **attributes):
        progress = self.dir / f"progress-{name}"
        progress.mkdir()
        app = {"name": name, "script": str(WORKERS / "numbered.py"), "interpreter": sys.executable,
               "interpreter_args": ["-I", "-S"], "env": {"PROGRESS": str(progress)},
               "kill_timeout": 20_000, "min_uptime": 100}
        return app | attributes

    def runs(self, name):
        """{run: lines written}, in the order in which they began."""
        files = sorted((self.dir / f"progress-{name}").iterdir())
        return {os.fsencode(it.name): int(it.read_text()) for it in files}

    def test_every_byte_is_there_once_over_rotations_kill_9_restarts_and_reloads(self):
        small = {"size": "64K", "keep": 10_000}
        solo = self.start("solo", rotate=small | {"compress": "zstd"})
        pair = self.start("pair", rotate=small | {"compress": "gzip"}, instances=2,
                          merge_logs=True, reload={"soak": 100})
        slow = self.start("slow", rotate={"size": "1M", "keep": 10_000, "compress": False})
        self.ctl("start", self.ecosystem(solo, pair, slow))
        for round_ in range(4 if SANITIZED else 8):
            before = len(rotated(self.file("solo")))
            wait_for(lambda: len(rotated(self.file("solo"))) >= before + 4, deadline=60,
                     what="more files")
            self.kill_manager()
            if round_ == 1:
                self.ctl("reload", "pair")
            if round_ == 2:
                self.ctl("restart", "solo")
        self.ctl("stop", "all")
        for name in "solo", "slow":  # one writer at a time
            wanted = b"".join(line(run, number) for run, count in self.runs(name).items()
                              for number in range(count))
            self.assertTrue(all_of(self.file(name)) == wanted, f"{name}: not what was written")
        self.assert_lines_of_each_run(all_of(self.file("pair")), self.runs("pair"))
        self.assertGreater(len(rotated(self.file("pair"))), 10)
        for path in rotated(self.file("solo")):
            self.assertTrue(plain(path).endswith(b"\n"), f"{path.name} ends in a line")

    def assert_lines_of_each_run(self, content, runs):
        seen = dict.fromkeys(runs, 0)
        for text in content.splitlines(keepends=True):
            run = text.partition(b" ")[0]
            self.assertIn(run, seen)
            self.assertEqual(text, line(run, seen[run]))
            seen[run] += 1
        self.assertEqual(seen, runs)

    def test_long_lines_are_not_cut_by_a_rotation(self):
        mouth = self.talker(rotate={"size": "64K", "compress": False, "keep": 1000})
        text = b"".join(b"%06d %s\n" % (n, b"y" * (n * 7919 % 150_000)) for n in range(60))
        self.say(mouth, text)
        self.wait_for_all(self.file(), b"ready\n" + text)
        files = rotated(self.file())
        self.assertGreater(len(files), 10)
        for path in files:
            self.assertTrue(path.read_bytes().endswith(b"\n"), path.name)

    def test_what_never_ends_a_line_is_rotated_in_the_end(self):
        mouth = self.talker(rotate={"size": "64K", "compress": False})
        self.say(mouth, b"z" * 20_000_000)
        self.wait_for_all(self.file(), b"ready\n" + b"z" * 20_000_000)
        self.assertEqual(len(rotated(self.file())), 1)


class Old(Rotating):
    def fill(self, mouth, begin, count):
        text = b"".join(b"line %07d\n" % n for n in range(begin, begin + count))
        self.say(mouth, text)
        return text

    @staticmethod
    def is_at_the_end(path, text):
        """What the file holds is the end of `text`."""
        with contextlib.suppress(FileNotFoundError):  # between the old file and the new one
            last = path.read_bytes()[-1000:]
            return last and text.endswith(last)

    def test_so_many_stay_as_are_kept_and_gzip_and_zstd_read_them(self):
        for suffix, compress in ((".gz", "gzip"), (".zst", "zstd")):
            with self.subTest(compress):
                name = compress
                mouth = self.talker(name, rotate={"size": 20_000, "keep": 3, "compress": compress})
                text = b"ready\n"
                for part in range(10):  # one rotation each, at least
                    text += self.fill(mouth, part * 2000, 2000)
                    wait_for(lambda: self.is_at_the_end(self.file(name), text), what="the lines")
                self.wait_until_compressed(self.file(name), suffix)
                wait_for(lambda: len(rotated(self.file(name))) == 3, what="three files")
                left = all_of(self.file(name))
                self.assertGreater(len(left), 60_000)
                self.assertTrue(text.endswith(left))
                old = rotated(self.file(name))[0].stat()
                self.assertEqual(old.st_mode, self.file(name).stat().st_mode)

    def test_false_sets_nothing_aside_and_nothing_compressed_stays_plain(self):
        never = self.talker("never", rotate=False)
        without = self.talker("without", rotate={"size": 10_000, "compress": False, "keep": 99})
        for mouth, name in ((never, "never"), (without, "without")):
            text = self.fill(mouth, 0, 5000)
            self.wait_for_all(self.file(name), b"ready\n" + text)
        self.assertEqual(rotated(self.file("never")), [])
        self.assertEqual({it.suffix for it in rotated(self.file("without"))},
                         {it.suffix for it in rotated(self.file("without"))} - {".zst", ".gz"})

    def test_keep_0_keeps_nothing(self):
        mouth = self.talker(rotate={"size": 1000, "keep": 0})
        self.say_apart(mouth, b"x" * 1000 + b"\n", b"last\n")
        self.assertEqual(self.file().read_bytes(), b"last\n")
        self.assertEqual(rotated(self.file()), [])

    def test_by_time_also_where_nothing_is_written_any_more(self):
        mouth = self.talker(rotate={"every": "1s", "compress": False})
        self.wait_for_all(self.file(), b"ready\n")

        def is_empty():
            with contextlib.suppress(FileNotFoundError):  # between a rename and the next file
                return self.file().stat().st_size == 0
        wait_for(is_empty, what="an empty file")
        self.say(mouth, b"next\n")
        wait_for(lambda: len(rotated(self.file())) == 2, what="the second file")
        self.assertEqual([it.read_bytes() for it in rotated(self.file())], [b"ready\n", b"next\n"])
        time.sleep(1.1)  # a period in which nothing happens sets nothing aside
        self.assertEqual(len(rotated(self.file())), 2)

    def test_both_streams_and_all_workers_of_one_file_rotate_together(self):
        target = self.dir / "both.log"
        script = self.dir / "both.py"
        script.write_text("import os, signal\n"
                          "me = os.environ['NODE_APP_INSTANCE']\n"
                          "for number in range(3000):\n"
                          "    os.write(1, f'{me} out {number}\\n'.encode())\n"
                          "    os.write(2, f'{me} err {number}\\n'.encode())\n"
                          "signal.pause()\n")
        app = {"name": "api", "script": str(script), "interpreter": "python3", "instances": 2,
               "out_file": str(target), "error_file": str(target), "merge_logs": True,
               "rotate": {"size": "16K", "compress": False, "keep": 1000}}
        self.ctl("start", self.ecosystem(app))
        wanted = sorted(f"{me} {kind} {number}" for me in range(2) for kind in ("out", "err")
                        for number in range(3000))

        def lines():
            return sorted(all_of(target).decode().splitlines())
        wait_for(lambda: len(lines()) >= len(wanted), deadline=60, what="all lines")
        self.assertEqual(lines(), wanted)
        self.assertGreater(len(rotated(target)), 1)

    def test_what_a_killed_daemon_has_left_is_finished_by_the_next_one(self):
        mouth = self.talker(rotate={"size": 10_000, "compress": False})
        self.say_apart(mouth, b"a" * 10_000 + b"\n", b"b\n")
        old = rotated(self.file())[0]
        self.ctl("kill")
        pathlib.Path(f"{old}.zst.tmp").write_bytes(b"half")
        orphan = pathlib.Path(f"{self.file()}.20200101T000000.000Z.zst.tmp")
        orphan.write_bytes(b"half")
        self.ctl("start", self.dir / "api.py", "--name", "api", "--interpreter", "python3")
        self.wait_until_compressed(self.file())
        wait_for(lambda: not orphan.exists(), what="the half file to go")
        self.assertEqual(plain(rotated(self.file())[0]), b"ready\n" + b"a" * 10_000 + b"\n")

    def test_a_file_that_cannot_be_renamed_grows_further_and_that_is_said_once(self):
        target = self.dir / ("n" * 240 + ".log")  # with a stamp behind it, it is too long
        mouth = self.talker(out_file=str(target), rotate={"size": 1000})
        text = b"ready\n"
        for part in range(3):
            text += self.fill(mouth, part * 100, 100)
            self.wait_for_all(target, text)
        told = [it for it in self.log.read_text().splitlines() if "cannot rotate" in it]
        self.assertEqual(len(told), 1)
        self.assertIn("file name too long", told[0])
        process = self.json("describe", "api")["processes"][0]
        self.assertIn("file name too long", process["log_fault"])
        self.assertIn("log fault", self.ctl("describe", "api").out)

    def test_all_logs_together_stay_below_the_cap_and_the_oldest_go_first(self):
        cap = 100_000
        one = self.talker("one", env={"CLUSTER_LOGS_MAX_TOTAL": str(cap)},
                          rotate={"size": 20_000, "compress": False, "keep": 1000})
        two = self.talker("two", rotate={"size": 20_000, "compress": False, "keep": 1000})
        self.fill(one, 0, 10_000)
        wait_for(lambda: rotated(self.file("one")), what="the first app's files")
        oldest = rotated(self.file("one"))[0]
        text = b"ready\n" + self.fill(two, 0, 10_000)

        def total():
            size = 0
            for it in self.log.parent.glob("logs/*.log*"):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile: it is waited for
                    size += it.stat().st_size
            return size
        # Looked at whenever a file is set aside, and when a manager begins: here when all is written,
        # so that nothing comes after the last look.
        wait_for(lambda: all_of(self.file("two")).endswith(text[-100:]), what="all lines of two")
        self.kill_manager()
        wait_for(lambda: not oldest.exists() and total() <= cap, deadline=30, what="room")
        self.assertTrue(text.endswith(all_of(self.file("two"))))
        wait_for(lambda: "all logs together are above 100000 bytes" in self.log.read_text(),
                 what="the line about what was removed, which comes after that")


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def times_of(path, home):
    """[(offset, wall ms)] of the index of a log file."""
    about = path.stat()
    data = (home / "logs/.times" / f"{about.st_dev:x}-{about.st_ino:x}").read_bytes()
    at, times = 0, []
    while at < len(data):
        if data[at] == 0:
            offset, wall = (int.from_bytes(data[at + 1 + 8 * n:at + 9 + 8 * n], "little")
                            for n in range(2))
            at += 17
            times = [it for it in times if it[0] < offset]
        else:
            size, at = varint(data, at)
            elapsed, at = varint(data, at)
            offset, wall = times[-1][0] + size, times[-1][1] + elapsed
        times.append((offset, wall))
    return times


class Times(Rotating):
    def test_the_index_tells_when_what_was_written_and_stays_with_the_file(self):
        began = int(time.time() * 1000)
        mouth = self.talker(rotate={"size": "64K", "compress": "zstd", "keep": 99})
        sizes = []
        for number in range(5):
            time.sleep(0.02)  # more than the index tells apart
            sizes.append(self.file().stat().st_size)
            self.say_apart(mouth, b"line %d\n" % number)
            # It is made behind the bytes.
            wait_for(lambda: times_of(self.file(), self.home)[-1][0] == sizes[-1], what="its record")
        times = times_of(self.file(), self.home)
        ended = int(time.time() * 1000)
        self.assertEqual([offset for offset, _ in times], [0, *sizes])
        walls = [wall for _, wall in times]
        self.assertEqual(walls, sorted(walls))
        self.assertTrue(began <= walls[0] and walls[-1] <= ended)

        self.kill_manager()
        size = self.file().stat().st_size
        self.say(mouth, b"after\n")
        wait_for(lambda: self.file().stat().st_size > size, what="the line")
        wait_for(lambda: times_of(self.file(), self.home)[-1][0] == size, what="its record")
        before = times_of(self.file(), self.home)
        self.assertEqual(before[:-1], times)

        self.say_apart(mouth, b"x" * 70_000 + b"\n", b"new file\n")
        self.wait_until_compressed(self.file())
        old = rotated(self.file())[0]
        self.assertEqual(times_of(old, self.home)[:len(before)], before)
        wait_for(lambda: times_of(self.file(), self.home)[0][0] == 0, what="the new file's index")
        self.assertLess(abs(old.stat().st_mtime - time.time()), 60)

    def test_an_emptied_file_begins_its_index_anew_and_removed_files_have_none(self):
        mouth = self.talker(rotate={"size": "64K", "keep": 1, "compress": False})
        self.say(mouth, b"one\n")
        self.wait_for_all(self.file(), b"ready\none\n")
        self.ctl("flush", "api")
        self.say(mouth, b"two\n")
        self.wait_for_all(self.file(), b"two\n")
        wait_for(lambda: [it[0] for it in times_of(self.file(), self.home)] == [0],
                 what="an index that begins anew")
        for _ in range(4):
            self.say_apart(mouth, b"x" * 70_000 + b"\n", b"y\n")
        self.assertEqual(len(rotated(self.file())), 1)
        self.assertEqual(self.file().read_bytes(), b"y\n")

        def indexed():
            logs = [it.stat() for it in (self.home / "logs").iterdir() if it.is_file()]
            there = {f"{it.st_dev:x}-{it.st_ino:x}" for it in logs if it.st_size}
            return {it.name for it in (self.home / "logs/.times").iterdir()} == there
        wait_for(indexed, what="an index of each file that holds something, and no other")


class Commands(Rotating):
    def test_flush_empties_the_files_of_all_or_of_the_target(self):
        one = self.talker("one", rotate={"size": 5000, "compress": False})
        self.talker("two")
        self.say_apart(one, b"a" * 5000 + b"\n", b"b\n", name="one")
        done = self.ctl("flush", "one")
        self.assertIn(f"emptied {self.file('one')} (2", done.out)
        self.assertEqual(self.file("one").read_bytes(), b"")
        self.assertEqual(len(rotated(self.file("one"))), 1)
        self.assertEqual(self.file("two").read_bytes(), b"ready\n")

        told = self.json("flush", "one", "--rotated")
        self.assertEqual([it["rotated"] for it in told["files"]
                          if it["path"] == str(self.file("one"))], [1])
        self.assertEqual(rotated(self.file("one")), [])

        told = self.json("flush")
        self.assertIn(str(self.log), [it["path"] for it in told["files"]])
        self.assertEqual(self.file("two").read_bytes(), b"")
        self.assertEqual(self.log.read_bytes(), b"")
        self.say(one, b"goes on\n")
        self.wait_for_all(self.file("one"), b"goes on\n")
        self.assertEqual(self.ctl("flush", "three", check=False).code, 1)

    def moved(self, mouth, ask, number):
        """Moves the file away and asks for it; what was said before is in the old one, the rest in
        the new one."""
        old = self.dir / f"moved-{number}"
        self.say(mouth, b"before\n")
        wait_for(lambda: self.file().read_bytes().endswith(b"before\n"), what="the line before")
        self.file().rename(old)
        self.say(mouth, b"between\n")
        wait_for(lambda: old.read_bytes().endswith(b"between\n"), what="the line between")
        ask()
        wait_for(self.file().exists, what="the file to be there again")
        self.say(mouth, b"after\n")
        wait_for(lambda: self.file().read_bytes() == b"after\n", what="the line after")
        self.assertTrue(old.read_bytes().endswith(b"before\nbetween\n"))

    def test_reload_logs_and_sigusr2_open_what_stands_at_the_path_now(self):
        mouth = self.talker()
        guardian = int((self.home / "clusterd.pid").read_text())
        asks = [lambda: self.ctl("reloadLogs"),
                lambda: os.kill(guardian, signal.SIGUSR2),
                lambda: os.kill(self.about()["pid"], signal.SIGUSR2)]
        for number, ask in enumerate(asks):
            self.moved(mouth, ask, number)
        self.assertIn(str(self.file()), self.json("reloadLogs")["files"])

    def test_a_removed_file_is_made_again_when_something_is_written(self):
        mouth = self.talker()
        self.file().unlink()
        self.say(mouth, b"here\n")
        wait_for(lambda: self.file().exists() and self.file().read_bytes() == b"here\n",
                 what="the new file")

    def test_the_next_rotation_of_the_system_is_fine_with_a_line_in_two_writes(self):
        mouth = self.talker()
        self.say(mouth, b"half a ")
        wait_for(lambda: self.file().read_bytes().endswith(b"half a "), what="the half line")
        old = self.dir / "old"
        self.file().rename(old)
        self.ctl("reloadLogs")  # the rest is not there yet: the new file begins with it
        self.say(mouth, b"line\n")
        wait_for(lambda: self.file().read_bytes() == b"line\n", what="the rest")


@unittest.skipUnless(shutil.which("logrotate") or pathlib.Path("/usr/sbin/logrotate").exists(),
                     "logrotate is not there")
class Logrotate(Rotating):
    def run_logrotate(self, *rules):
        config = self.dir / "logrotate.conf"
        user = "su root root" if os.geteuid() == 0 else ""
        config.write_text("\n".join([f"{self.home}/logs/*.log {{", user, *rules, "}"]) + "\n")
        config.chmod(0o644)
        subprocess.run([shutil.which("logrotate") or "/usr/sbin/logrotate", "--force", "--state",
                        self.dir / "logrotate.state", config], check=True,
                       env=self.environment())

    def both_files(self, wanted):
        wait_for(lambda: (pathlib.Path(f"{self.file()}.1").read_bytes(),
                          self.file().read_bytes()) == wanted, what=f"{wanted}")

    def test_with_copytruncate(self):
        mouth = self.talker(rotate=False)
        self.run_logrotate("rotate 3", "copytruncate")
        self.say(mouth, b"after\n")
        self.both_files((b"ready\n", b"after\n"))

    def test_with_create_and_reload_logs(self):
        mouth = self.talker(rotate=False)
        ctl = f"{os.environ['CLUSTER_BIN']}/clusterctl"
        self.run_logrotate("rotate 3", "create 0640", "sharedscripts", "postrotate",
                           f"CLUSTER_HOME={self.home} {ctl} reloadLogs", "endscript")
        self.say(mouth, b"after\n")
        self.both_files((b"ready\n", b"after\n"))

    def test_with_create_and_sigusr2(self):
        mouth = self.talker(rotate=False)
        self.run_logrotate("rotate 3", "create 0640", "sharedscripts", "postrotate",
                           f"kill -USR2 $(cat {self.home}/clusterd.pid)", "endscript")
        wait_for(lambda: "SIGUSR2" in self.log.read_text(), what="the signal")
        self.say(mouth, b"after\n")
        self.both_files((b"ready\n", b"after\n"))


if __name__ == "__main__":
    unittest.main()
