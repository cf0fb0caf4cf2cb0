"""What runs while the faults happen: apps of every kind, and clients of those that serve."""

import os
import pathlib
import shutil
import sys
from dataclasses import dataclass, field

from harness import BIN, WORKERS, free_port, http_answer, wait_for
from line_check import LineCheck
from load import Load

OWN = pathlib.Path(__file__).resolve().parent / "workers"
CLIENTS = "new=1,kept=2"
CLIENT_COUNT = 3
THINK_MS = 25
# A worker that is replaced before it is up, and these say nothing when they are, has so long to get
# up and serve who waits for it: seconds, under the sanitizers with another suite beside them.
DRAIN_MS = 5000
LONGEST_MERGED = 40_000  # a shared file keeps lines whole that fit into a pipe
LONGEST_ALONE = 150_000
EVERYTHING = ("start", "stop", "restart", "reload", "scale", "delete")


@dataclass
class AppKind:
    """An app and what the runner may do with it."""
    name: str
    spec: dict
    commands: tuple = EVERYTHING
    processes: int = 1  # of one worker
    port: int = 0  # under load all the time; 0: never
    echo: bool = True  # its answers hold the id of the request
    most: int = 3  # instances

    @property
    def instances(self):
        return self.spec["instances"]


@dataclass
class Watched:
    """The clients of one app, and the losses known so far."""
    load: Load
    failed: int = 0
    raced: int = 0


@dataclass
class Workload:
    home: str
    directory: pathlib.Path
    kinds: list = field(default_factory=list)
    watched: dict = field(default_factory=dict)  # by the app's name
    checks: list = field(default_factory=list)  # a LineCheck for each app that writes

    def prepare(self):
        self.kinds = [*self._serving(), *self._others()]

    def _serving(self):
        """Apps that are always there: not one request to them may be refused."""
        steady = ("reload", "scale")
        yield self._app("api", BIN / "clusterapp", instances=2, steady=steady, echo=False)
        yield self._app("py", WORKERS / "serve_asyncio.py", instances=2, steady=steady,
                        balance="reuseport", reload={"soak": 50, "max_surge": 1})
        if shutil.which("node"):
            yield self._node_app(steady)

    def _app(self, name, script, steady=None, echo=True, **attributes):
        port = free_port()
        spec = self._spec(name, script, listen=[f"127.0.0.1:{port}"], **attributes)
        return AppKind(name, spec, port=port if steady else 0, echo=echo,
                       commands=steady or EVERYTHING)

    def _node_app(self, steady):
        port = free_port()
        spec = self._spec("node", WORKERS / "serve_node.js", instances=2, exec_mode="cluster",
                          env={"PORT": str(port)})
        return AppKind("node", spec, port=port, commands=steady)

    def _others(self):
        yield self._app("site", BIN / "clusterapp")
        yield self._writer("lines", LONGEST_MERGED, instances=2, merge_logs=True)
        yield self._writer("solo", LONGEST_ALONE,
                           rotate={"size": "256K", "keep": 100_000, "compress": False})
        yield AppKind("tree", self._spec("tree", WORKERS / "forks_children.py",
                                         interpreter_args=["-I", "-S"], pids_max=50),
                      processes=5, most=2)  # in a cgroup, where there is one
        yield AppKind("deaf", self._spec("deaf", OWN / "deaf.sh", kill_timeout=150, instances=2))
        yield AppKind("base", self._spec("base", OWN / "says_ready.py", wait_ready=True,
                                         listen_timeout="10s", interpreter_args=["-I", "-S"]),
                      commands=("restart", "reload", "scale"))
        yield AppKind("after", self._spec("after", WORKERS / "sleeps.sh", depends_on=["base"]))

    def _writer(self, name, longest, **attributes):
        progress = self.directory / f"progress-{name}"
        progress.mkdir()
        logs = pathlib.Path(self.home) / "logs"
        self.checks.append(LineCheck(logs, progress, name, longest))
        return AppKind(name, self._spec(
            name, OWN / "writes_lines.py", interpreter_args=["-I", "-S"], kill_signal="SIGTERM",
            env={"PROGRESS": str(progress), "LONGEST": str(longest)}, **attributes))

    def _spec(self, name, script, **attributes):
        # Patience with workers that are killed again and again; none with slow ones.
        spec = {"name": name, "script": str(script), "cwd": str(self.directory),
                "interpreter": interpreter_of(script), "max_restarts": 1_000_000,
                "min_uptime": 50, "drain_timeout": DRAIN_MS, "reload": {"soak": 50},
                "instances": 1}
        return spec | attributes

    def environment(self):
        """That of whoever starts the apps: small, and with the mark that tells whose they are."""
        return {"CLUSTER_HOME": self.home, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def begin_load(self):
        for kind in self.kinds:
            if kind.port:
                # The first process of a Node app opens the socket; from then on it is there.
                wait_for(lambda port=kind.port: http_answer(port), what=f"{kind.name} to answer")
                load = Load(kind.port, kinds=CLIENTS, think=THINK_MS, no_echo=not kind.echo)
                self.watched[kind.name] = Watched(load)

    def end_load(self):
        """{app: Result}. A second call returns the same ones."""
        return {name: watched.load.stop() for name, watched in self.watched.items()}


def interpreter_of(script):
    """An absolute path, as the protocol wants it; "none" for a program."""
    by_suffix = {".py": sys.executable, ".js": shutil.which("node"), ".sh": "/bin/sh"}
    return by_suffix.get(pathlib.Path(script).suffix, "none")
