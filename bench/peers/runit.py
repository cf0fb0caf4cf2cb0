"""runit: runsvdir with one runsv per process, from its Debian package, without loggers but for the
cases about logs."""

import os
import signal

from processes import wait_ended

from . import packages
from .base import Fleet, Peer, tool


def write_services(folder, job, logger):
    """A service directory per process. The names sort as they were made."""
    for number in range(job.count):
        service = folder / f"app-{number:05}"
        write_script(service / "run", job.shell())
        if logger:
            write_script(service / "log" / "run", logger)


def write_script(path, command):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


class RunitFleet(Fleet):
    def variables(self):
        return {"PATH": f"{self.peer.bin}:{self.peer.environment['PATH']}"}

    def prepare(self):
        self.services = self.folder / "services"
        dated = "-tt " if self.job.logs == "dated" else ""
        logger = f"exec svlogd {dated}{self.folder}/log" if self.job.logs else ""
        if logger:
            (self.folder / "log").mkdir()
            (self.folder / "log" / "config").write_text("s0\n")  # no rotation
        self.services.mkdir()
        write_services(self.services, self.job, logger)
        os.utime(self.services, (0, 0))  # else runsvdir waits until this second is over
        paths = sorted(self.services.iterdir())
        sv = self.peer.bin / "sv"
        self.commands = {"list": [sv, "status", *paths], "describe": [sv, "status", *paths[:1]]}

    def start(self):
        self.spawn(self.peer.bin / "runsvdir", self.services)

    def stop(self):
        watched = self.supervisors()
        self.process.send_signal(signal.SIGHUP)  # man 8 runsvdir: TERM to each runsv, then exit
        self.process.wait()
        wait_ended(watched)

    def log_files(self):
        return [self.folder / "log"]

    def listed(self, text):
        return len(set(line.split(":")[1] for line in text.splitlines() if ": " in line))


class Runit(Peer):
    name = "runit"
    fleet_class = RunitFleet
    formats = ("plain", "dated")
    limit = 1000  # runsvdir's own (MAXSERVICES)
    restarts_after = 1.0  # runsv

    def __init__(self, setting):
        super().__init__(setting)
        root = packages.debian(setting.cache, "runit")
        self.bin = root / "usr/bin"
        tool(self.bin / "runsvdir")
