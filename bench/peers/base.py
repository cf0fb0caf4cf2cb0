"""What a benchmark asks of each supervisor, so that a case reads the same for all of them.

A `Peer` is a program that is there. Its `fleet(job)` is a context in which that job can be started,
looked at and ended; whatever happens, nothing of it is left afterwards.
"""

import dataclasses
import os
import pathlib
import subprocess

from processes import GIVEN_UP_AFTER, descendants, end_all, timed_spawn, wait_ended


class Missing(Exception):
    """This peer cannot be had here; the message says why."""


@dataclasses.dataclass
class Job:
    """What to supervise: `count` processes of one command."""

    command: list
    count: int = 1
    env: dict = dataclasses.field(default_factory=dict)
    logs: str = ""  # "plain", "dated", "json": keep what it prints; "": as the peer does by default
    cluster: bool = False  # command[1] is a Node app, `count` instances of it share its port
    attributes: dict = dataclasses.field(default_factory=dict)  # more for an ecosystem file

    @property
    def comm(self):
        return pathlib.Path(self.command[0]).name[:15]

    def shell(self):
        """The command for a `run` script, as people write them."""
        words = [f"{name}='{value}'" for name, value in self.env.items()]
        return "exec " + " ".join((["env", *words] if words else []) + list(map(str, self.command)))

    def ecosystem(self, one_app=False):
        """As an ecosystem file, which PM2 and clusterctl both read."""
        app = {"script": self.command[0], "args": self.command[1:], "interpreter": "none",
               "max_restarts": 1_000_000, "env": self.env}
        if self.cluster:
            app = {"script": self.command[1], "exec_mode": "cluster", "instances": self.count,
                   "env": self.env}
        app |= {"dated": {"time": True}, "json": {"log_type": "json"}}.get(self.logs, {})
        app |= self.attributes
        apps = 1 if self.cluster else self.count
        return {"apps": [{"name": f"app-{i:05}"} | app for i in range(apps)]}


class Fleet:
    """A job under one supervisor. Subclasses say how; see peers/runit.py for a short one."""

    commands = {}  # "list", "jlist", "describe" -> the command line, for what the peer has

    def __init__(self, peer, folder, job):
        self.peer, self.folder, self.job = peer, pathlib.Path(folder), job
        self.environment = peer.environment | self.variables()
        self.process = None
        self.folder.mkdir()
        self.prepare()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        end_all(self.roots())
        if self.process:
            self.process.wait()
        # The folder stays until the run is over: deleting it would slow down the next one.

    def variables(self):
        """More environment for the supervisor and its commands."""
        return {}

    def prepare(self):
        """Writes the configuration: no part of what is measured."""

    def start(self):
        """Starts the supervisor with everything; returns when its own command has."""
        raise NotImplementedError

    def stop(self):
        """Ends everything and the supervisor; returns when it has ended."""
        raise NotImplementedError

    def roots(self):
        """The topmost processes of the supervisor that live."""
        return [self.process.pid] if self.process else []

    def supervisors(self):
        """Everything that supervises, the workers left out."""
        return descendants(self.roots(), without=(self.job.comm, "sh"))

    def spawn(self, *command):
        """Runs a supervisor that stays in the foreground."""
        log = open(self.folder / "supervisor.log", "ab")
        with log:
            self.process = subprocess.Popen(list(map(os.fspath, command)), env=self.environment,
                                            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)

    def run(self, name, output=os.devnull, check=True, tell=None):
        """Seconds that one of `commands` takes, which must succeed unless `check` is false."""
        return timed_spawn(self.commands[name], self.environment, output, check, tell)

    def wait_ended(self):
        wait_ended(self.roots(), GIVEN_UP_AFTER)

    def log_files(self):
        """Where the output of a job with `logs` goes: files or folders."""
        raise NotImplementedError

    def listed(self, text):
        """How many processes the output of `list` shows, for what is machine-readable."""
        return None


class Peer:
    """A supervisor. `name` is its column in the tables; `limit`: the most processes it is given."""

    name = ""
    fleet_class = Fleet
    limit = None
    formats = ("plain",)  # of logs
    cluster = False  # whether it runs several instances of a Node app on one port
    restarts_after = 0.0  # seconds that a process must have lived to be started again at once

    def __init__(self, setting):
        self.setting = setting
        self.environment = dict(setting.environment)

    def fleet(self, job):
        return self.fleet_class(self, self.setting.fresh_folder(self.name, bool(job.logs)),
                                job)


def tool(*candidates):
    """The first of these programs that exists."""
    found = next((path for path in candidates if pathlib.Path(path).exists()), None)
    if found is None:
        raise Missing(f"{candidates[0]} is not in its package")
    return found
