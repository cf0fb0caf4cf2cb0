"""The processes of one home, as /proc shows them."""

import contextlib
import os
import pathlib
from typing import NamedTuple

ZOMBIE = "Z"


class Process(NamedTuple):
    pid: int
    parent: int
    state: str
    start_time: int  # clock ticks since boot
    arguments: list
    worker_id: int | None  # from its environment; None for a daemon or a command

    @property
    def is_daemon(self):
        return self.worker_id is None and os.path.basename(self.arguments[0]) == "clusterd"

    @property
    def is_manager(self):
        return self.is_daemon and "--manager" in self.arguments


class Snapshot:
    """All live processes that carry the home in environment or command line."""

    def __init__(self, home):
        self.home = os.fsencode(home)
        self.processes = {}
        self.zombies = []  # (pid, parent), of anybody
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    self._look_at(int(entry.name))

    def _look_at(self, pid):
        environment = read(pid, "environ")
        command = read(pid, "cmdline")
        if not command:
            parent, state, _ = stat(pid)
            if state == ZOMBIE:
                self.zombies.append((pid, parent))
            return
        variables = environment.split(b"\0")
        arguments = command.rstrip(b"\0").split(b"\0")
        if b"CLUSTER_HOME=" + self.home not in variables and self.home not in arguments:
            return
        worker_id = next((int(it[6:]) for it in variables if it.startswith(b"pm_id=")), None)
        self.processes[pid] = Process(pid, *stat(pid), list(map(os.fsdecode, arguments)), worker_id)

    def daemons(self):
        """A child of a manager looks like one until it has become its program: it is none."""
        likely = {it.pid: it for it in self.processes.values() if it.is_daemon}
        return [it for it in likely.values()
                if it.parent not in likely or not likely[it.parent].is_manager]

    def managers(self):
        return [it for it in self.daemons() if it.is_manager]

    def guardians(self):
        return [it for it in self.daemons() if not it.is_manager]

    def trees(self):
        """{worker id: its processes}."""
        found = {}
        for process in self.processes.values():
            if process.worker_id is not None:
                found.setdefault(process.worker_id, []).append(process)
        return found

    def unburied(self):
        """Zombies that a daemon of this home should have waited for."""
        parents = {it.pid for it in self.daemons()}
        return [pid for pid, parent in self.zombies if parent in parents]


def read(pid, name):
    return pathlib.Path(f"/proc/{pid}/{name}").read_bytes()


def stat(pid):
    """(parent, state, start time)."""
    fields = read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]), fields[0].decode(), int(fields[19])


def is_same(process):
    """That very process is still there, and nobody who has got its pid."""
    with contextlib.suppress(OSError):
        _, state, start_time = stat(process.pid)
        return start_time == process.start_time and state != ZOMBIE
    return False


def open_files(pid):
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0
