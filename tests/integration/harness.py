"""What every integration test stands on: real programs, a home of its own, nothing left behind.

CLUSTER_BIN names the directory that holds clusterctl, clusterd and clusterapp. Each test gets a
temporary directory with a short path (a Unix socket path is limited to 107 bytes) and its own
CLUSTER_HOME in it. When a test has ended, no process that carries that directory in its
environment, command line or working directory may be left; one that is fails the test.

Tests wait for conditions with `wait_for`, never for time to pass.
"""

import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("CLUSTER_BIN", ROOT / "build/dev/bin")).resolve()
# AddressSanitizer's own bookkeeping grows with every allocation: bounds on memory are wider there.
SANITIZED = (BIN / "clusterd").exists() and b"__asan_init" in (BIN / "clusterd").read_bytes()
WORKERS = pathlib.Path(__file__).resolve().parent / "workers"

sys.path.insert(1, str(ROOT / "tests/fault"))
import client  # noqa: E402
import proc  # noqa: E402


class Output(NamedTuple):
    code: int
    out: str
    err: str


def wait_for(condition, deadline=20.0, what="the condition"):
    """Returns the first true answer of `condition`; fails after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline:g} s for {what}; last answer: {answer!r}")
        time.sleep(0.01)


leases = []


def leased(port):
    """False when a test that runs elsewhere has the port, or anybody listens on it. The name of an
    abstract socket is the lease: it is one process's alone, and goes with it."""
    lease = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lease.bind(f"\0clusterctl-test-port-{port}")
        with socket.socket() as probe:
            probe.bind(("", port))
    except OSError:
        lease.close()
        return False
    leases.append(lease)
    return True


def free_port(twin=0):
    """A TCP port that is this process's while it lives; with `twin`, the one so far above it too.

    Not of those which the kernel gives to clients: the end of any connection of any other test may
    be there by the time a server wants to listen.
    """
    range_of_clients = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    end = min(int(range_of_clients.split()[0]), 32768) - twin
    for _ in range(10_000):
        port = random.randrange(10_000, end)
        if leased(port) and (not twin or leased(port + twin)):
            return port
    raise AssertionError(f"found no free port from 10000 to {end}")


def http_get(port, path="/", timeout=10.0):
    """(status, body as text) of one request to 127.0.0.1."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def http_answer(port, path="/"):
    """`http_get`, or None while nobody answers there: a condition for `wait_for`."""
    try:
        return http_get(port, path)
    except (OSError, http.client.HTTPException):
        return None


def is_alive(pid):
    """False for a zombie too: it has ended, only its parent has not looked yet."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def processes_of(mark):
    """Pids of live processes that carry `mark` in environment, command line or directory."""
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            directory = pathlib.Path(entry.path)
            traces = (directory / "environ").read_bytes() + (directory / "cmdline").read_bytes()
            traces += os.fsencode(os.readlink(directory / "cwd"))
            if os.fsencode(mark) in traces and is_alive(int(entry.name)):
                found.append(int(entry.name))
    return sorted(found)


def command_line(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return "?"


def open_files(pid):
    """What the descriptors of a process lead to. One that closes meanwhile is not among them."""
    links = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.add(os.readlink(entry.path))
    return links


class ClusterTestCase(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ct.", dir="/tmp"))
        self.home = self.dir / "home"
        self.log = self.home / "clusterd.log"

    def tearDown(self):
        failed = self._has_failed()
        left = self._end_everything()
        if (failed or left) and self.log.exists():
            print(f"--- {self.id()}: clusterd.log", file=sys.stderr)
            print(self.log.read_text(errors="replace")[-20_000:], file=sys.stderr)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.assertEqual(left, [], "processes are left behind")

    def _has_failed(self):
        result = self._outcome.result
        return any(getattr(test, "test_case", test) is self
                   for test, _ in result.failures + result.errors)

    def _end_everything(self):
        """Ends the daemon the proper way, then names and kills what is still there."""
        if self.home.exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.ctl("kill", check=False, timeout=30)
        with contextlib.suppress(AssertionError):
            # The last ones have been sent SIGKILL, which takes the kernel a moment.
            wait_for(lambda: not self.processes(), deadline=2.0)
        left = [f"{pid}: {command_line(pid)}" for pid in self.processes()]
        def none_left():
            for pid in (pids := self.processes()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not pids
        wait_for(none_left, what="the death of what was left behind")
        return left

    # What a test uses.

    def environment(self, extra=None):
        """That of a user with nothing special, and this test's home. None removes a variable."""
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("CLUSTER_", "PM2_", "LISTEN_", "NOTIFY_"))}
        # A sanitized daemon keeps what it has freed, to catch late uses; it must stay small enough
        # for the tests that look at its memory.
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
        merged = (kept | {"CLUSTER_HOME": str(self.home), "ASAN_OPTIONS": sanitizer}
                  | (extra or {}))
        return {name: value for name, value in merged.items() if value is not None}

    def ctl(self, *args, check=True, env=None, input=None, timeout=60.0, cwd=None):
        """Runs clusterctl. With `check`, an exit code other than 0 fails the test."""
        command = [str(BIN / "clusterctl"), *map(str, args)]
        source = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        done = subprocess.run(command, env=self.environment(env), timeout=timeout,
                              cwd=cwd or self.dir, capture_output=True, text=True,
                              errors="replace", **source)
        if check and done.returncode != 0:
            self.fail(f"{' '.join(command)} exited with {done.returncode}\n"
                      f"stdout: {done.stdout}\nstderr: {done.stderr}")
        return Output(done.returncode, done.stdout, done.stderr)

    def json(self, *args, **options):
        """What a reading command prints with --json."""
        return json.loads(self.ctl(*args, "--json", **options).out)

    def begin(self, *command):
        """A clusterctl that the test does not wait for yet; `finish` does."""
        process = subprocess.Popen([BIN / "clusterctl", *map(str, command)], cwd=self.dir,
                                   env=self.environment(), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def finish(self, process, code=0):
        """Waits for the end of a `begin`; returns its stderr."""
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, code, out + err)
        return err

    def ecosystem(self, *apps, name="ecosystem.json"):
        """Writes a file that declares `apps` (dicts); returns its path."""
        path = self.dir / name
        path.write_text(json.dumps({"apps": list(apps)}, indent=2))
        return path

    def worker(self, name):
        """The path of a program from tests/integration/workers."""
        return str(WORKERS / name)

    def about(self):
        """What the daemon says of itself in its hello; waits until there is one that serves."""
        def hello():
            with contextlib.suppress(client.Broken), client.Client(self.home) as daemon:
                daemon.call("ping")
                return daemon.about
        return wait_for(hello, what="a daemon that serves")

    def daemon_pids(self):
        """Guardian and manager, whichever of them live."""
        return [pid for pid in self.processes() if "clusterd" in command_line(pid).split(" ")[0]]

    def state_text(self):
        """Of state.json, or of its last good copy while another one takes its place; "" of none."""
        for name in "state.json", "state.json.bak":
            with contextlib.suppress(FileNotFoundError):
                return (self.home / name).read_text()
        return ""

    def kill_manager(self):
        """kill -9 of it; the next one serves when this returns."""
        before = self.about()["pid"]
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: self.about()["pid"] != before, what="another manager")

    def kill_both_daemons(self, meanwhile=lambda: None):
        """kill -9 of manager and guardian; neither sees the other's death."""
        daemons = proc.Snapshot(self.home).daemons()
        self.assertEqual(len(daemons), 2)
        for number in signal.SIGSTOP, signal.SIGKILL:
            for daemon in daemons:
                os.kill(daemon.pid, number)
        wait_for(lambda: not proc.Snapshot(self.home).daemons(), what="the death of both")
        meanwhile()

    def processes(self):
        """Pids of everything that belongs to this test: daemon, workers, their children."""
        return processes_of(str(self.dir))

    def wait_for(self, condition, deadline=20.0, what="the condition"):
        return wait_for(condition, deadline, what)

    def free_port(self):
        return free_port()
