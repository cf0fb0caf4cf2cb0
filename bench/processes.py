"""What /proc tells about processes, and how a benchmark never loses one.

The bench makes itself the subreaper: whatever a supervisor starts and turns into a daemon stays
below the bench, so that it can be found, measured and ended.
"""

import contextlib
import ctypes
import os
import pathlib
import select
import signal
import time

GIVEN_UP_AFTER = 60.0
PR_SET_CHILD_SUBREAPER = 36  # man 2 prctl


class GivenUp(Exception):
    """Something did not come within its time; the message says what."""


def become_subreaper():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def parents():
    """pid -> (pid of its parent, comm, state) of every process."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                text = pathlib.Path("/proc", entry, "stat").read_text(errors="replace")
                comm, _, rest = text.partition("(")[2].rpartition(") ")
                state, parent = rest.split()[:2]
                found[int(entry)] = int(parent), comm, state
    return found


def descendants(roots, without=()):
    """`roots` and all below them that live; those whose comm is in `without` left out."""
    known = parents()
    children = {}
    for pid, (parent, _, _) in known.items():
        children.setdefault(parent, []).append(pid)
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return [pid for pid in found
            if pid in known and known[pid][1] not in without and known[pid][2] != "Z"]


def end_all(roots):
    """SIGKILL for `roots` and everything below; returns when all are reaped or were nobody's."""
    while pids := [pid for pid in descendants(roots) if pid != os.getpid()]:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    reap()


def reap():
    """Takes the status of what was handed to us; what subprocess waits for, it finds gone."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def wait_ended(pids, seconds=GIVEN_UP_AFTER):
    """Until each of `pids` has ended; a zombie has."""
    end = time.monotonic() + seconds
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            watch = os.pidfd_open(pid)
            try:
                left = max(end - time.monotonic(), 0)
                if not select.select([watch], [], [], left)[0]:
                    raise GivenUp(f"process {pid} still runs after {seconds:g} s")
            finally:
                os.close(watch)


def thread_files(pids, name):
    """That file of /proc for every thread of `pids`, as text."""
    texts = []
    for pid in pids:
        for path in pathlib.Path(f"/proc/{pid}/task").glob(f"*/{name}"):
            with contextlib.suppress(OSError):
                texts.append(path.read_text())
    return texts


def pss_kib(pids):
    """Memory with shared pages divided among those who share them (man 5 proc, smaps_rollup)."""
    total = 0
    for pid in pids:
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines()
                      if line.startswith("Pss:"))
    return total


def forget_peak(pids):
    for pid in pids:
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_kib(pids):
    """The largest resident size of each since forget_peak, added up."""
    return sum(int(line.split()[1]) for pid in pids
               for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
               if line.startswith("VmHWM:"))


def cpu_seconds(pids):
    return sum(int(text.split()[0]) for text in thread_files(pids, "schedstat")) / 1e9


def context_switches(pids):
    return sum(int(line.split()[1]) for text in thread_files(pids, "status")
               for line in text.splitlines() if "ctxt_switches" in line)


def timed_spawn(command, environment, output=os.devnull, check=True, tell=None):
    """Seconds from posix_spawn to waitpid. Both sides of each comparison go through here. `tell`
    is called with the pid."""
    command = [os.fspath(word) for word in command]
    actions = [(os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
               (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    begin = time.monotonic()
    pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
    if tell:
        tell(pid)
    status = os.waitpid(pid, 0)[1]
    taken = time.monotonic() - begin
    if check and status != 0:
        raise RuntimeError(f"{' '.join(command[:9])}: {os.waitstatus_to_exitcode(status)}")
    return taken


class Stamps:
    """A FIFO in which each `stamp` worker says when its main began, and which it holds open as
    long as it lives: the quickest way to learn that a thousand have come or gone."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        os.mkfifo(self.path)
        self.reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.keeper = os.open(self.path, os.O_WRONLY)  # no end of file between two workers
        self.begun = b""
        self.early = []

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        os.close(self.reader)
        if self.keeper is not None:
            os.close(self.keeper)
        self.path.unlink()

    def _read(self, seconds):
        if not select.select([self.reader], [], [], max(seconds, 0))[0]:
            return False
        *lines, self.begun = (self.begun + os.read(self.reader, 1 << 16)).split(b"\n")
        self.early += [tuple(map(int, line.split())) for line in lines if line]
        return True

    def next(self, count=1, seconds=GIVEN_UP_AFTER):
        """The next `count` of (pid, nanoseconds of CLOCK_MONOTONIC)."""
        end = time.monotonic() + seconds
        while len(self.early) < count:
            if not self._read(end - time.monotonic()):
                raise GivenUp(f"{len(self.early)} of {count} workers came up in {seconds:g} s")
        stamps, self.early = self.early[:count], self.early[count:]
        return stamps

    def forget(self):
        """What came so far is not waited for any more."""
        while self._read(0):
            pass
        self.early = []

    def count_for(self, seconds):
        """How many workers come up from now on until `seconds` are over."""
        self.forget()
        end, count = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            self._read(end - time.monotonic())
            count, self.early = count + len(self.early), []
        return count

    def wait_gone(self, seconds=GIVEN_UP_AFTER):
        """Until no worker is left: nobody has the FIFO open for writing. Use it once."""
        os.close(self.keeper)
        self.keeper = None
        end = time.monotonic() + seconds
        while select.select([self.reader], [], [], max(end - time.monotonic(), 0))[0]:
            with contextlib.suppress(BlockingIOError):
                if not os.read(self.reader, 1 << 16):
                    return
        raise GivenUp(f"workers still run after {seconds:g} s")
