"""Kills of the daemons, in every order."""

import contextlib
import os
import signal
import subprocess
import time

import proc
from harness import BIN

SPREAD_S = 0.03
DEATH_S = 5


def kill(process, number=signal.SIGKILL):
    """Sends it to that very process only."""
    if proc.is_same(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def wait_for_death(processes):
    """SIGKILL takes the kernel a moment: until then one that is as good as dead seems to live."""
    end = time.monotonic() + DEATH_S
    while any(map(proc.is_same, processes)):
        if time.monotonic() > end:
            raise SystemExit(f"not dead {DEATH_S} s after SIGKILL: {processes}")
        time.sleep(0.0005)  # much less than a manager takes to come up


class Strike:
    """One way to kill. `name` is shown; `hit` does it."""

    def __init__(self, home, choose):
        self.home = home
        self.choose = choose

    def manager(self):
        self._all(proc.Snapshot(self.home).managers())

    def guardian(self):
        self._all(proc.Snapshot(self.home).guardians())

    def both_at_once(self):
        """Neither sees the other's death."""
        daemons = proc.Snapshot(self.home).daemons()
        self._all(daemons, signal.SIGSTOP)
        self._all(daemons)

    def both_in_a_row(self):
        """The second may see the first one's death, and be about to react."""
        daemons = proc.Snapshot(self.home).daemons()
        self.choose.shuffle(daemons)
        for daemon in daemons:
            kill(daemon)
            time.sleep(self.choose.choice([0, 0.0005, 0.002, 0.005]))
        wait_for_death(daemons)

    def burst(self):
        """Managers one after the other while they come up."""
        for _ in range(self.choose.randint(2, 4)):
            self.manager()
            self.pause()

    def mixed_burst(self):
        for _ in range(self.choose.randint(2, 4)):
            self.choose.choice([self.manager, self.guardian])()
            self.pause()

    def pause(self, most=SPREAD_S):
        time.sleep(self.choose.uniform(0, most))

    @staticmethod
    def _all(processes, number=signal.SIGKILL):
        for process in processes:
            kill(process, number)
        if number == signal.SIGKILL:
            wait_for_death(processes)


KINDS = {"manager": 10, "guardian": 5, "both_at_once": 3, "both_in_a_row": 3, "burst": 2,
         "mixed_burst": 2}
MAY_LEAVE_NOBODY = ("both_at_once", "both_in_a_row", "mixed_burst")


def choose_kind(choose):
    return choose.choices(list(KINDS), KINDS.values())[0]


def clusterctl(home, *arguments, timeout=30):
    """A finished command: (exit code, all it said)."""
    done = subprocess.run([str(BIN / "clusterctl"), *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=os.environ | {"CLUSTER_HOME": str(home)}, timeout=timeout)
    return done.returncode, done.stdout


def begin_clusterctl(home, *arguments):
    return subprocess.Popen([str(BIN / "clusterctl"), *arguments], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env=os.environ | {"CLUSTER_HOME": str(home)})


def kill_pid(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
