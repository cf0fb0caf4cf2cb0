"""s6: s6-svscan with one s6-supervise per process, from its Debian packages, without loggers but
for the cases about logs.

Debian's s6-svscan runs /usr/bin/s6-supervise and no other. As nothing is installed, a copy of it is
used in which that name is replaced by ./.s6-supervise, a link in the scan directory; no instruction
is another.
"""

import os

from processes import wait_ended

from . import packages
from .base import Fleet, Missing, Peer, tool
from .runit import write_services


INSTALLED = b"/usr/bin/s6-supervise"
BESIDE = b"./.s6-supervise"


class S6Fleet(Fleet):
    def variables(self):
        return {"PATH": f"{self.peer.bin}:{self.peer.environment['PATH']}",
                "LD_LIBRARY_PATH": str(self.peer.libraries)}

    def prepare(self):
        self.services = self.folder / "services"
        dated = "T " if self.job.logs == "dated" else ""
        logger = f"exec s6-log {dated}n20 s268435455 {self.folder}/log" if self.job.logs else ""
        self.services.mkdir()
        write_services(self.services, self.job, logger)
        first = self.services / "app-00000"
        (self.services / BESIDE.decode()).symlink_to(self.peer.bin / "s6-supervise")
        self.commands = {"describe": [self.peer.bin / "s6-svstat", first]}  # there is no list

    def start(self):
        self.spawn(self.peer.svscan, "-c", str(max(2 * self.job.count + 10, 500)),
                   self.services)

    def stop(self):
        watched = self.supervisors()
        self.commands["stop"] = [self.peer.bin / "s6-svscanctl", "-t", self.services]
        self.run("stop")
        wait_ended(watched)

    def log_files(self):
        return [self.folder / "log"]


class S6(Peer):
    name = "s6"
    fleet_class = S6Fleet
    formats = ("plain", "dated")
    restarts_after = 1.0  # s6-supervise

    def __init__(self, setting):
        super().__init__(setting)
        root = packages.debian(setting.cache, "s6", "execline", "libs6-2.11", "libskarnet2.13",
                               "libexecline2.9")
        self.bin = root / "usr/bin"
        self.libraries = next(root.glob("usr/lib/*/libs6.so.*"), root).parent
        self.svscan = setting.dir / "s6-svscan"
        program = tool(self.bin / "s6-svscan").read_bytes()
        if INSTALLED not in program:
            raise Missing("its s6-svscan looks for s6-supervise elsewhere than in /usr/bin")
        padded = BESIDE.ljust(len(INSTALLED), b"\0")
        self.svscan.write_bytes(program.replace(INSTALLED, padded))
        os.chmod(self.svscan, 0o755)
