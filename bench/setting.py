"""Where a benchmark happens: the programs under test, a scratch folder, the peers.

The programs are copied first, so that a build that runs meanwhile changes nothing. What peers need
is brought once into the cache and stays there.
"""

import contextlib
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import tempfile

import peers
from processes import become_subreaper, end_all

HERE = pathlib.Path(__file__).resolve().parent
SLEEP = ["/usr/bin/sleep", "1000000"]
TRUE = ["/usr/bin/true"]
OWN = ("CLUSTER_", "PM2_", "LISTEN_", "NOTIFY_", "NODE_", "DATA_DIR", "PORT")
STANDARD = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Setting:
    """A scratch folder with copies of the programs and the compiled helpers; gone after `with`.
    `wanted`: the names of the cases of this run; `only`: the peers to ask for, None: all."""

    def __init__(self, programs, quick, cache, wanted=(), only=None):
        self.quick, self.wanted, self.only = quick, set(wanted), only
        self.cache = pathlib.Path(cache).expanduser().absolute()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="cb.", dir="/tmp"))  # a short socket path
        self.memory = in_memory()
        self.folders = 0
        self.found = None
        self.visits = {}
        self.left_out = []
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.descriptors = hard if hard != resource.RLIM_INFINITY else 1 << 20
        self.environment = {"PATH": STANDARD} | {name: value for name, value in os.environ.items()
                                                 if not name.startswith(OWN)}
        become_subreaper()
        try:
            for name in ("clusterctl", "clusterd", "clusterapp"):
                shutil.copy2(pathlib.Path(programs) / name, self.dir / name)
            for name in ("spawn_loop", "stamp", "noise", "load"):
                self._compile(name)
            self.ours, self.bare = peers.Ours(self), peers.Bare(self)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.sweep()
        for folder in {self.dir, self.memory or self.dir}:
            shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def sweep():
        """Nothing that a case started outlives it."""
        end_all([os.getpid()])

    def _compile(self, name):
        compiler = shutil.which("clang++-19") or shutil.which("c++")
        if not compiler:
            raise SystemExit("bench/run needs clang++-19 or c++ for its helpers; found neither")
        # No C++ library at run time: these are bounds, and loading it takes longer than spawning.
        subprocess.run([compiler, "-std=c++20", "-O2", "-static-libstdc++", "-static-libgcc",
                        "-Wl,--as-needed", "-o", self.dir / name, HERE / f"{name}.cpp"], check=True)

    def helper(self, name):
        return str(self.dir / name)

    def fresh_folder(self, name, on_disk=False):
        """A path at which there is nothing yet; gone with the scratch folder."""
        self.folders += 1
        return ((not on_disk and self.memory) or self.dir) / f"{name}-{self.folders}"

    def pick(self, full, quick):
        """How often, how long: a full run or a quick one."""
        return quick if self.quick else full

    def leave_out(self, what):
        """Says once what is not measured here, and why."""
        if what not in self.left_out:
            self.left_out.append(what)
            print(f"  left out: {what}", flush=True)

    def node(self):
        """Where node is; None, which is said, when there is none."""
        found = shutil.which("node")
        if not found:
            self.leave_out("apps in Node: there is no node (apt-get install nodejs)")
        return found

    @property
    def peers(self):
        """Those that can be had. The first case that asks may wait for packages."""
        if self.found is None:
            self.found = []
            for kind in peers.PEERS:
                if self.only is not None and kind.name not in self.only:
                    continue
                try:
                    self.found.append(kind(self))
                except peers.Missing as reason:
                    self.leave_out(f"{kind.name}: {reason}")
        return self.found

    def those_for(self, count, among=None):
        """Ours and the peers that can have so many processes."""
        fit = []
        for peer in [self.ours, *(self.peers if among is None else among)]:
            if peer.limit is None or count <= peer.limit:
                fit.append(peer)
            else:
                self.leave_out(f"{peer.name} with {count:,} processes: {peer.limit:,} is the most "
                               "it is given here")
        return fit


def in_memory():
    """A folder for homes and service directories on tmpfs; None where there is none with room.

    Every supervisor creates and removes some files for each process, and ext4 takes ten times as
    long to create one where many were removed within the last minutes (recently_deleted in its
    ialloc.c): on disk each would be measured by what the one before it did."""
    with contextlib.suppress(OSError):
        room = os.statvfs("/dev/shm")
        if room.f_bavail * room.f_frsize >= 1 << 30:
            return pathlib.Path(tempfile.mkdtemp(prefix="cb.", dir="/dev/shm"))
    return None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
