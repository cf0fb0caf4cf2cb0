"""supervisord, from its Debian package, as its documentation shows it for a foreground service."""

import getpass
import signal
import sys

from processes import wait_ended

from . import packages
from .base import Fleet, Peer, tool

CONFIGURATION = """
[supervisord]
nodaemon=true
user={user}
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}
minfds={fds}
minprocs={count}
[unix_http_server]
file={folder}/s
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/s
[program:app]
command={command}
process_name=%(program_name)s-%(process_num)05d
numprocs={count}
autorestart=true
startsecs={least}
environment={environment}
stdout_logfile_maxbytes=0
"""


class SupervisorFleet(Fleet):
    def variables(self):
        return {"PYTHONPATH": str(self.peer.modules)}

    def prepare(self):
        job = self.job
        path = self.folder / "supervisord.conf"
        path.write_text(CONFIGURATION.format(
            user=getpass.getuser(), folder=self.folder, count=job.count, fds=5 * job.count + 100,
            command=" ".join(map(str, job.command)), least=job.attributes.get("startsecs", 1),
            environment=",".join(f'{name}="{value}"' for name, value in job.env.items())))
        control = [sys.executable, self.peer.bin / "supervisorctl", "-c", path]
        self.configuration = path
        self.commands = {"list": [*control, "status"],
                         "describe": [*control, "status", "app:app-00000"]}

    def start(self):
        self.spawn(sys.executable, self.peer.bin / "supervisord", "-c", self.configuration)

    def stop(self):
        watched = self.supervisors()
        self.process.send_signal(signal.SIGTERM)
        wait_ended(watched)

    def log_files(self):
        return list(self.folder.glob("app-00000-stdout*"))

    def listed(self, text):
        return sum(line.startswith("app:") for line in text.splitlines())


class Supervisor(Peer):
    name = "supervisor"
    fleet_class = SupervisorFleet
    restarts_after = 1.0  # startsecs

    def __init__(self, setting):
        super().__init__(setting)
        root = packages.debian(setting.cache, "supervisor", "python3-pkg-resources")
        self.bin = root / "usr/bin"
        self.modules = root / "usr/lib/python3/dist-packages"
        tool(self.bin / "supervisord")
        # Three pipes and two logs for each; with more than 1,000, one command takes 20 s.
        self.limit = min(max((setting.descriptors - 200) // 5, 0), 1000)
