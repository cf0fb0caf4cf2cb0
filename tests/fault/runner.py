"""One run: step by step until something is wrong, or to the end."""

import collections
import pathlib
import random
import shutil
import statistics
import sys
import tempfile
import time

import client
import faults
import proc
from model import Model
from oracle import Oracle, Violation
from steps import Steps
from workload import Workload

SLOW_CHECK_EVERY = 25
HISTORY = 8
CLEAN_UP_S = 20


class Runner:
    def __init__(self, options):
        self.options = options
        if options.home:
            options.home.mkdir(parents=True)
        self.directory = options.home or pathlib.Path(tempfile.mkdtemp(prefix="cf.", dir="/tmp"))
        self.directory = self.directory.resolve()
        self.home = self.directory / "home"
        self.workload = Workload(str(self.home), self.directory)
        self.workload.prepare()
        self.model = Model(self.workload.kinds)
        self.oracle = Oracle(self.home, self.model, self.workload)
        self.history = collections.deque(maxlen=HISTORY)
        self.begin = time.monotonic()
        self.step = 0
        self.start_daemon()
        self.steps = Steps(self.home, self.model, self.workload, random.Random(options.seed),
                           options.only)

    def start_daemon(self):
        code, said = faults.clusterctl(self.home, "ping")
        if code:
            raise SystemExit(f"the daemon does not start: {said}")

    def run(self):
        """True when all is well."""
        try:
            self.oracle.after(self.do(self.steps.start_everything))
            self.workload.begin_load()
            for self.step in range(1, self.options.steps + 1):
                self.oracle.after(self.do(self.steps.take))
                if self.step % SLOW_CHECK_EVERY == 0:
                    self.oracle.check_slow_things()
            self.oracle.check_slow_things()
            self.workload.end_load()
            self.kill()
            self.oracle.check_end()
        except (Violation, client.Broken, client.Refused) as violation:
            self.tell(violation)
            return False
        finally:
            self.workload.end_load()
        self.summarize()
        return True

    def do(self, take):
        began = time.monotonic()
        told, expectation = take()
        self.history.append(f"step {self.step} at {began:.3f}: {told}")
        if self.options.verbose:
            print(self.history[-1], flush=True)
        return expectation

    def kill(self):
        code, said = faults.clusterctl(self.home, "kill")
        if code:
            raise Violation(f"clusterctl kill ended with {code}: {said}")

    def tell(self, violation):
        # The violation first and last: reports keep one end of a long output.
        told = f"VIOLATION in step {self.step}: {violation}"
        print(told, *self.history, self.oracle.scene(), told,
              f"everything is in {self.directory}; repeat: {sys.argv[0]} --seed"
              f" {self.options.seed} --steps {self.options.steps}",
              sep="\n", file=sys.stderr, flush=True)

    def summarize(self):
        seconds = time.monotonic() - self.begin
        gaps = sorted(gap * 1e3 for gap in self.oracle.gaps) or [0]
        done = sum(result.done for result in self.workload.end_load().values())
        lines = sum(check.lines for check in self.workload.checks)
        print(f"seed {self.options.seed}: {self.step} steps in {seconds:.0f} s, {done} requests,"
              f" {lines} lines, {self.oracle.daemons_started} cold starts;"
              f" gap p50 {statistics.median(gaps):.0f} ms, p99"
              f" {gaps[int(0.99 * (len(gaps) - 1))]:.0f} ms, max {gaps[-1]:.0f} ms", flush=True)

    def clean_up(self, keep):
        """No process of ours stays, whatever has happened."""
        end = time.monotonic() + CLEAN_UP_S
        while left := proc.Snapshot(self.home).processes.values():
            for process in left:
                faults.kill(process)
            if time.monotonic() > end:
                raise SystemExit(f"cannot be killed: {[it.arguments for it in left]}")
            time.sleep(0.01)
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)
