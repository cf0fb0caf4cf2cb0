"""PM2 from npm: its daemon, and its CLI for every command."""

import contextlib
import json

from processes import wait_ended

from . import packages
from .base import Fleet, Peer, tool

PACKAGE = "pm2@7"


class Pm2Fleet(Fleet):
    def variables(self):
        return {"PM2_HOME": str(self.folder / "home"), "PM2_DISABLE_VERSION_CHECK": "true"}

    def prepare(self):
        (self.folder / "apps.json").write_text(json.dumps(self.job.ecosystem()))
        pm2 = self.peer.program
        self.commands = {"ping": [pm2, "ping"], "start": [pm2, "start", self.folder / "apps.json"],
                         "list": [pm2, "list"], "jlist": [pm2, "jlist"],
                         "describe": [pm2, "describe", "app-00000"],
                         "reload": [pm2, "reload", "app-00000"], "update": [pm2, "update"],
                         "kill": [pm2, "kill"]}

    def start(self):
        self.run("start" if self.job.count else "ping")

    def stop(self):
        watched = self.supervisors()
        self.run("kill")
        wait_ended(watched)

    def roots(self):
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "home/pm2.pid").read_text())
            with open(f"/proc/{pid}/cmdline") as line:
                return [pid] if "God Daemon" in line.read() else []
        return []

    def supervisors(self):
        return self.roots()  # it has no process of its own beside each worker

    def log_files(self):
        return list((self.folder / "home/logs").glob("app-00000-out*.log"))

    def listed(self, text):
        return len(json.loads(text))


class Pm2(Peer):
    name = "PM2"
    fleet_class = Pm2Fleet
    formats = ("plain", "dated", "json")
    cluster = True
    limit = 1000  # more take it minutes

    def __init__(self, setting):
        super().__init__(setting)
        self.program = tool(packages.npm(setting.cache, PACKAGE) / ".bin/pm2")
