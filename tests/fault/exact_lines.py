#!/usr/bin/env python3
"""Numbered lines of many workers at full speed, while the manager is killed again and again and the
apps are reloaded; afterwards every file is compared byte by byte with what was written.

    tests/fault/exact_lines.py                          20 million lines of 8 workers, 50 deaths
    tests/fault/exact_lines.py --lines 400000 --deaths 5

Half of the workers write plain lines, the others lines with a date, JSON, and to a combined file.
All files are rotated all the time, most of them compressed.
Exits with 1 when a byte is missing or too much.
"""

import argparse
import gzip
import pathlib
import re
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import harness  # noqa: E402

DATE = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d: ", re.MULTILINE)
JSON = re.compile(rb'^\{"message":"([^"]*)",.*\}$', re.MULTILINE)
PLANS = [{}, {"time": True}, {}, {"log_type": "json"}, {}, {"log_file": True}, {},
         {"log_file": True, "time": True}]

COMPRESSIONS = ["zstd", "gzip", False]

# Each process is a run of its own. Asked to end, it ends its batch and writes down how far it came;
# the app has written enough when `total` lines of it are there.
WRITER = """
import os, signal
name, total = os.environ["name"], int(os.environ["TOTAL"])
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(1))
before = sum(int(open(f).read()) for f in os.listdir(".") if f.startswith(name + "-"))
run, n = os.getpid(), 0
while not asked and before + n < total:
    data = b"".join(b"%d %d\\n" % (run, number) for number in range(n, n + 500))
    while data:
        data = data[os.write(1, data):]
    n += 500
with open(f".{name}-{run}", "w") as file:
    file.write(str(n))
os.rename(f".{name}-{run}", f"{name}-{run}")
open(name + ".done", "w").close() if before + n >= total else None
while not asked:
    signal.pause()
"""


def unpacked(path):
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout
    return path.read_bytes()


def whole(path):
    """A log file with all that was set aside of it. Nobody writes to it any more."""
    while True:
        parts = {}
        for part in sorted(path.parent.glob(f"{path.name}.*")):
            if part.suffix != ".tmp":  # the compressed one sorts behind, and is the better one
                parts[part.name.removesuffix(".zst").removesuffix(".gz")] = part
        try:
            return b"".join(unpacked(parts[name]) for name in sorted(parts)) + path.read_bytes()
        except FileNotFoundError:
            continue  # it was compressed meanwhile


class Exact(harness.ClusterTestCase):
    given = None

    def runTest(self):
        work = self.dir / "work"
        work.mkdir()
        script = self.dir / "writer.py"
        script.write_text(WRITER)
        names = [f"w{number}" for number in range(self.given.workers)]
        total = self.given.lines // self.given.workers
        apps = [{"name": name, "script": str(script), "interpreter": sys.executable,
                 "cwd": str(work), "env": {"TOTAL": str(total)}, "reload": {"soak": 50},
                 "kill_timeout": 60_000,
                 "rotate": {"size": self.given.rotate, "keep": 10_000,
                            "compress": COMPRESSIONS[at % len(COMPRESSIONS)]}}
                | PLANS[at % len(PLANS)]
                for at, name in enumerate(names)]
        begin = time.monotonic()
        self.ctl("start", self.ecosystem(*apps))
        done = [work / f"{name}.done" for name in names]
        deaths = reloads = 0
        while not all(file.exists() for file in done):
            if deaths < self.given.deaths:
                self.kill_manager()
                deaths += 1
                if deaths % 5 == 4:
                    self.ctl("reload", names[reloads % len(names)], timeout=300)
                    reloads += 1
            time.sleep(0.05)
        taken = time.monotonic() - begin
        lines = sum(self.check(work, name) for name in names)
        aside = len(list((self.home / "logs").glob("*.log.*")))
        print(f"{lines} lines, {deaths} deaths of the manager, {reloads} reloads, {aside} files set "
              f"aside, {taken:.0f} s")

    def check(self, work, name):
        runs = {int(file.name.partition("-")[2]): int(file.read_text())
                for file in work.glob(f"{name}-*")}
        wanted = sum(runs.values())
        files = [self.home / "logs" / f"{name}-out.log", self.home / "logs" / f"{name}.log"]
        for path in filter(pathlib.Path.exists, files):
            harness.wait_for(lambda file=path: whole(file).count(b"\n") >= wanted,
                             deadline=120, what=f"{wanted} lines in {path.name}")
            self.check_file(path, runs)
        return wanted

    def check_file(self, path, runs):
        """Old and new process of a reload write at the same time: each run is looked at alone."""
        text = JSON.sub(rb"\1", DATE.sub(b"", whole(path)))
        if len(runs) == 1:
            texts = {run: text for run in runs}
        else:
            texts = {run: b"".join(re.findall(rb"^%d .*\n" % run, text, re.MULTILINE))
                     for run in runs}
        self.assertEqual(sum(map(len, texts.values())), len(text), f"{path.name}: strange lines")
        for run, count in runs.items():
            same = texts[run] == b"".join(b"%d %d\n" % (run, number) for number in range(count))
            self.assertTrue(same, f"{path.name}: run {run} is not what was written")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=20_000_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--deaths", type=int, default=50)
    parser.add_argument("--rotate", default="4M", help="the size at which files are set aside")
    Exact.given = parser.parse_args()
    result = unittest.TextTestRunner().run(Exact())
    raise SystemExit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
