"""Whether the log files of writes_lines.py hold every line once and in order, run by run, over all
files that were set aside (not compressed, and all kept).
"""

import os
import re
import time
from dataclasses import dataclass, field

import proc
from writes_lines import COUNTS, STREAMS, line

DEADLINE_S = 10


@dataclass
class Run:
    """What the files have shown of one run so far: for each stream, its lines, and whether it was
    cut."""
    seen: list = field(default_factory=lambda: [0, 0])
    cut: list = field(default_factory=lambda: [False, False])


class LineCheck:
    """All log files of one app."""

    def __init__(self, logs, progress, app, longest):
        self.logs = logs
        self.progress = progress
        self.app = app
        self.longest = longest
        self.files = {}  # by path: (file, stream, start of a line that is not whole yet)
        self.runs = {}
        self.finished = set()
        self.lines = 0

    def close(self):
        for file, _, _ in self.files.values():
            file.close()

    def pids(self):
        """Of all runs so far."""
        return {pid_of(file.name) for file in self.progress.iterdir()}

    def check(self, killed=frozenset(), forsaken=frozenset()):
        """Faults found in what was written up to now. `killed` are pids that had no chance to end
        their last line. What was in the pipe of a `forsaken` one is gone: neither a daemon nor the
        worker was there to hold it."""
        counts, alive = self._counts()
        faults, end = [], time.monotonic() + DEADLINE_S
        while True:
            faults += self._read_all(killed)
            missing = [fault for run, count in counts.items()
                       if pid_of(run) not in forsaken and (fault := self._missing(run, count))]
            if faults or not missing or time.monotonic() > end:
                break
            time.sleep(0.02)
        # They cannot grow any more, and all of them has been seen.
        self.finished |= set(counts) - alive
        return faults + missing

    def _counts(self):
        """({run: lines written whole, per stream}, the runs that go on), of those not checked to
        their end."""
        counts, alive = {}, set()
        for file in self.progress.iterdir():
            if file.name in self.finished:
                continue
            if runs_on(file.name):
                alive.add(file.name)
            data = file.read_bytes()
            counts[file.name] = COUNTS.unpack(data) if data else (0, 0)
        return counts, alive

    def _missing(self, run, count):
        seen = self.runs.get(run, Run()).seen
        for stream, had, wanted in zip(STREAMS, seen, count):
            if had < wanted:
                return f"run {run}, {stream}: {had} lines in the file, {wanted} were written"
        return None

    def _read_all(self, killed):
        for at, kind in enumerate(("out", "error")):
            for path in self.logs.glob(f"{self.app}-{kind}*.log"):
                if path not in self.files:
                    self.files[path] = (self._after(path, None), at, b"")
        return [f"{path.name}: {fault}" for path in self.files
                for fault in self._read(path, killed)]

    def _read(self, path, killed):
        file, at, rest = self.files[path]
        while following := self._after(path, file):
            rest += file.read()
            file.close()
            file = following
        *lines, rest = (rest + file.read()).split(b"\n")
        self.files[path] = (file, at, rest)
        self.lines += len(lines)
        return filter(None, (self._fault_in(text, at, killed) for text in lines))

    @staticmethod
    def _after(path, file):
        """Opens what follows `file` in a log (None: what comes first in it); None: nothing does,
        since it is being written."""
        wanted = os.fstat(file.fileno()).st_ino if file else None
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:  # a rotation in the midst of looking makes us look again
            names = files_of(path)
            try:
                inodes = [None, *(it.stat().st_ino for it in names)]
                if names != files_of(path):  # what was first may not be any more
                    continue
                if wanted and inodes[-1] == wanted:
                    return None
                if wanted in inodes:
                    at = inodes.index(wanted)
                    found = names[at].open("rb")
                    if os.fstat(found.fileno()).st_ino == inodes[at + 1]:
                        return found
                    found.close()
            except FileNotFoundError:
                pass
        raise AssertionError(f"{path.name}: the file read so far is not there any more")

    def _fault_in(self, text, at, killed):
        name = name_in(text)
        if not re.fullmatch("[0-9]+-[0-9a-f]+", name) or not (self.progress / name).exists():
            # Cut within the name of its run, unless it is no line of a run at all.
            begun = name and any(it.name.startswith(name) and pid_of(it.name) in killed
                                 for it in self.progress.iterdir())
            return None if begun else f"a strange line {shorten(text)}"
        run = self.runs.setdefault(name, Run())
        wanted = line(name, STREAMS[at], run.seen[at], self.longest)
        cut = run.cut[at]
        if text == wanted and not cut:
            run.seen[at] += 1
            return None
        if wanted.startswith(text) and not cut and pid_of(name) in killed:
            run.cut[at] = True
            return None
        return (f"run {name}, line {run.seen[at]}: {shorten(text)} instead of {shorten(wanted)}"
                + (", after it was cut" if cut else ""))


def files_of(path):
    """Of one log, oldest first."""
    return [*sorted(path.parent.glob(f"{path.name}.*Z")), path]


def name_in(text):
    return text.partition(b" ")[0].decode(errors="replace")


def pid_of(run):
    return int(run.partition("-")[0])


def runs_on(run):
    try:
        return proc.stat(pid_of(run))[1] != proc.ZOMBIE
    except OSError:
        return False


def shorten(text):
    return f"{text[:60]!r} ({len(text)} bytes)"
