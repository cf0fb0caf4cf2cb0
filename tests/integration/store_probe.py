"""Runs tests/support/store_probe.cpp and reads what it prints."""

import os
import signal
import subprocess
from typing import NamedTuple

from harness import BIN, ClusterTestCase, wait_for


class StoreTestCase(ClusterTestCase):
    def setUp(self):
        super().setUp()
        self.probes = []

    def tearDown(self):
        for probe in self.probes:
            probe.kill()
        super().tearDown()


class Failed(NamedTuple):
    what: str
    id: str
    kind: str
    took_ms: int
    at_ms: int
    text: str


class Probe:
    """A running `store_probe`; its answers so far are read from a file, so that it never waits."""

    def __init__(self, test, *args, **env):
        self.path = test.dir / f"probe.{len(os.listdir(test.dir))}"
        self.log = self.path.with_suffix(".log")
        with open(self.path, "wb") as out, open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(BIN / "store_probe"), *map(str, args)], stdin=subprocess.DEVNULL, stdout=out,
                stderr=log, cwd=test.dir, env=environment(test, **env))
        test.probes.append(self)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def lines(self):
        """Those that are whole; its log has a { at the front."""
        text = self.path.read_text()
        return [line for line in text[:text.rfind("\n") + 1].splitlines()
                if not line.startswith("{")]

    def logged(self):
        return self.path.read_text() + self.log.read_text()

    def acknowledged(self, what="", after_ms=0):
        """Ids of what was acknowledged: "user", "apply-done", …"""
        rows = [line.split() for line in self.lines() if line.startswith("ok ")]
        return [row[2] for row in rows
                if (not what or row[1] == what) and int(row[3]) > after_ms]

    def failures(self, kind=""):
        rows = [line.split(" ", 6)[1:] for line in self.lines() if line.startswith("failed ")]
        found = [Failed(what, id, kind, int(took), int(at), text)
                 for what, id, kind, took, at, text in rows]
        return [one for one in found if not kind or one.kind == kind]

    def missing(self):
        return [line for line in self.lines() if line.startswith("missing ")]

    def wait_for_work(self, count=20, what="user", after_ms=0, deadline=30):
        """Until so many calls were acknowledged after a moment (milliseconds since 1970)."""
        try:
            wait_for(lambda: len(self.acknowledged(what, after_ms)) >= count, deadline,
                     f"{count} x {what} acknowledged")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.lines()[-3:]} {self.logged()[-2000:]}") from None

    def end(self):
        """Lets it finish what it has begun; returns the lines of its end by their first word."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        assert code == 0, f"exit {code}: {self.logged()[-4000:]}"
        rows = [line.split(" ") for line in self.lines()]
        return {"retries": next(float(row[1]) for row in rows if row[0] == "retries"),
                "states": [" ".join(row[1:]) for row in rows if row[0] == "state"]}


def environment(test, **env):
    """Settings of the store are only those that the test gives."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("DATABASE_", "PG", "LISTEN_", "NOTIFY_"))}
    kept.update(CLUSTER_HOME=str(test.home), DATA_DIR=str(test.dir / "data"))
    return {name: value for name, value in (kept | env).items() if value is not None}


def run_probe(test, *args, timeout=60, **env):
    """(exit code, stdout without its log, stderr)."""
    done = subprocess.run([str(BIN / "store_probe"), *map(str, args)], cwd=test.dir,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, env=environment(test, **env))
    out = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("{"))
    return done.returncode, out, done.stderr + done.stdout


def make_jobs(test, count=2, most=1_000_000, **env):
    code, out, err = run_probe(test, "jobs", count, most, **env)
    test.assertEqual(code, 0, out + err)
    return out.split()


# What must hold at any time, whatever was cut off in the middle: each query finds the offenders.
INVARIANTS = {
    "a job's count is that of its applications":
        "SELECT id FROM jobs j WHERE applications <> "
        "(SELECT count(*) FROM applications a WHERE a.job_id = j.id)",
    "every application is in the history, once":
        "SELECT a.id FROM applications a WHERE 1 <> "
        "(SELECT count(*) FROM application_history h WHERE h.application_id = a.id)",
    "the history has nothing else":
        "SELECT h.application_id FROM application_history h LEFT JOIN applications a "
        "ON a.id = h.application_id WHERE a.id IS NULL",
    "no job has more than it takes":
        "SELECT id FROM jobs WHERE applications > max_applications",
    "a full job is closed":
        "SELECT id FROM jobs WHERE (applications >= max_applications) <> (status = 'closed')",
}
