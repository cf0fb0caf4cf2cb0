"""Where a benchmark happens: the programs under test, a scratch folder, daemons of their own.

The programs are copied first, so that a build that runs meanwhile changes nothing.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SLEEP = ["/usr/bin/sleep", "1000000"]
TRUE = ["/usr/bin/true"]
HELLO = {"protocol": 1, "client": "bench"}
GIVEN_UP_AFTER = 60.0


class Setting:
    """A scratch folder with copies of the programs and the compiled helpers; gone after `with`."""

    def __init__(self, programs, quick):
        self.quick = quick
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="cb.", dir="/tmp"))  # a short socket path
        self.homes = 0
        try:
            for name in ("clusterctl", "clusterd"):
                shutil.copy2(pathlib.Path(programs) / name, self.dir / name)
            for name in ("spawn_loop", "stamp", "noise"):
                self._compile(name)
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("CLUSTER_", "PM2_", "LISTEN_", "NOTIFY_"))}

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        shutil.rmtree(self.dir, ignore_errors=True)

    def _compile(self, name):
        compiler = shutil.which("clang++-19") or shutil.which("c++")
        if not compiler:
            raise SystemExit("bench/run needs clang++-19 or c++ for its helpers; found neither")
        # No C++ library at run time: these are bounds, and loading it takes longer than spawning.
        subprocess.run([compiler, "-std=c++20", "-O2", "-static-libstdc++", "-static-libgcc",
                        "-Wl,--as-needed", "-o", self.dir / name, HERE / f"{name}.cpp"], check=True)

    def helper(self, name):
        return str(self.dir / name)

    def pick(self, full, quick):
        """How often, how long: a full run or a quick one."""
        return quick if self.quick else full

    def apps_file(self, count, command=SLEEP, **attributes):
        """An ecosystem file with `count` apps, each one worker that runs `command`."""
        apps = [{"name": f"app-{i:03}", "script": command[0], "args": command[1:],
                 "interpreter": "none"} | attributes for i in range(count)]
        path = self.dir / f"apps-{count}.json"
        path.write_text(json.dumps({"apps": apps}))
        return str(path)

    def daemon(self):
        self.homes += 1
        return Daemon(self, self.dir / f"home-{self.homes}")

    @contextlib.contextmanager
    def loop(self, *arguments):
        """A running spawn_loop; whatever happens, it and its children are gone afterwards."""
        process = subprocess.Popen([self.helper("spawn_loop"), *map(str, arguments)],
                                   env=self.environment, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdin.close()
            process.stdout.close()


class Daemon:
    """A home of its own. The daemon starts when the first command needs it, as for a user."""

    def __init__(self, setting, home):
        self.home = home
        self.environment = setting.environment | {"CLUSTER_HOME": str(home)}
        self.program = setting.helper("clusterctl")

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            subprocess.run([self.program, "kill"], env=self.environment, timeout=GIVEN_UP_AFTER,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for pid in self._processes():  # only what `kill` could not end
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _processes(self):
        """Everything that carries this home in its environment or its command line."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                traces = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                if os.fsencode(self.home) + b"\0" in traces:
                    found.append(int(entry.name))
        return found

    def timed(self, *arguments, output=os.devnull):
        """Seconds from spawn to end of one clusterctl, which must succeed."""
        return timed_spawn([self.program, *arguments], self.environment, output)

    def ask(self, method, **params):
        """One request over the socket: what a measurement needs without a process of its own."""
        return self._talk([("hello", HELLO), (method, params)])[-1]

    def pids(self):
        """Guardian and manager."""
        (hello,) = self._talk([("hello", HELLO)])
        return [hello["guardian_pid"], hello["pid"]]

    def _talk(self, requests):
        answers = []
        with socket.socket(socket.AF_UNIX) as client, client.makefile("rwb") as stream:
            client.settimeout(GIVEN_UP_AFTER)
            client.connect(str(self.home / "clusterd.sock"))
            for number, (method, params) in enumerate(requests):
                stream.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method,
                                         "params": params}).encode() + b"\n")
                stream.flush()
                answers.append(json.loads(stream.readline())["result"])
        return answers


def timed_spawn(command, environment, output=os.devnull):
    """Seconds from posix_spawn to waitpid. Both sides of each comparison go through here."""
    actions = [(os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
    begin = time.monotonic()
    pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
    status = os.waitpid(pid, 0)[1]
    taken = time.monotonic() - begin
    if status != 0:
        raise RuntimeError(f"{' '.join(command)}: {os.waitstatus_to_exitcode(status)}")
    return taken


def thread_files(pids, name):
    """That file of /proc for every thread of `pids`, as text."""
    return [path.read_text() for pid in pids
            for path in pathlib.Path(f"/proc/{pid}/task").glob(f"*/{name}")]


def pss_kib(pids):
    """Memory with shared pages divided among those who share them (man 5 proc, smaps_rollup)."""
    total = 0
    for pid in pids:
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines()
                      if line.startswith("Pss:"))
    return total


def cpu_seconds(pids):
    return sum(int(text.split()[0]) for text in thread_files(pids, "schedstat")) / 1e9


def context_switches(pids):
    return sum(int(line.split()[1]) for text in thread_files(pids, "status")
               for line in text.splitlines() if "ctxt_switches" in line)
