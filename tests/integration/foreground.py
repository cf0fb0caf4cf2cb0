"""What the tests of `clusterctl run` stand on: apps in the foreground, also in a pid namespace."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess

from harness import BIN, SANITIZED, ClusterTestCase, wait_for
import client

GRACE = 60  # seconds that anything here may take
LINES = 20_000 if SANITIZED else 100_000  # of each of two workers
JAMMING_LINES = 200_000  # more than all buffers on the way take, however slow the way is


def app(name, script, **attributes):
    """An app that is a line of shell."""
    return {"name": name, "script": "/bin/sh", "interpreter": "none", "args": ["-c", script],
            **attributes}


def once(name, script, **attributes):
    return app(name, script, autorestart=False, **attributes)


# Runs until it gets a signal; `on_int` is what it does then. A job in the background would not hear
# SIGINT (POSIX, 2.11).
def until_told(on_int="exit 0"):
    return f"trap '{on_int}' INT TERM; echo up; while :; do sleep 0.1; done"


class RunTestCase(ClusterTestCase):
    wrapper = ()

    def run_apps(self, *apps, options=(), command=("run",), target=None, env=None, cwd=None,
                 **popen):
        """Starts `clusterctl run` of a file with these apps; it writes to self.out and self.err."""
        self.out, self.err = self.dir / "stdout", self.dir / "stderr"
        target = target or self.ecosystem(*apps)
        words = [*self.wrapper, str(BIN / "clusterctl"), *command, str(target), *map(str, options)]
        with contextlib.ExitStack() as files:
            streams = {"stdout": files.enter_context(self.out.open("wb")),
                       "stderr": files.enter_context(self.err.open("wb"))} | popen
            process = subprocess.Popen(words, cwd=cwd or self.dir, env=self.environment(env),
                                       stdin=subprocess.DEVNULL, **streams)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def said(self):
        return self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def await_text(self, text, count=1):
        wait_for(lambda: self.said().count(text) >= count, what=f"{text!r} {count} times")

    def code_of(self, process):
        try:
            return process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            self.fail(f"it does not end; it has said:\n{self.said()}")

    def assert_code(self, process, code):
        self.assertEqual(self.code_of(process), code, self.said())
        self.assertEqual(self.processes(), [], "left behind")

    def rows(self):
        with contextlib.suppress(client.Broken):
            return client.ask(self.home, "list")["processes"]
        return None


COUNTING = """import sys
for n in range({count}): sys.stdout.write('{name} %d ' % n + 'x' * (n % 90) + '\\n')"""


def counting(name, count, **attributes):
    return {"name": name, "script": "/usr/bin/env", "interpreter": "none", "autorestart": False,
            "args": ["python3", "-c", COUNTING.format(name=name, count=count)], **attributes}


def namespace():
    """The words that give a program its own pid namespace, and what is wrong with that here."""
    if not shutil.which("unshare"):
        return (), "there is no unshare"
    words = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        words[1:1] = ["--user", "--map-root-user"]
    tried = subprocess.run([*words, "true"], capture_output=True, text=True)
    return words, tried.stderr.strip() or (tried.returncode and f"unshare: {tried.returncode}")


NAMESPACE, REFUSED = namespace()


class NamespaceTestCase(RunTestCase):
    wrapper = NAMESPACE

    def init(self, process):
        """Its pid as we see it."""
        path = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        return int(wait_for(path.read_text, what="pid 1").split()[0])

    def inside(self, process, *command):
        enter = ["nsenter", "--target", str(self.init(process)), "--mount", "--pid"]
        if os.geteuid() != 0:
            enter += ["--user", "--preserve-credentials"]
        return subprocess.run([*enter, *map(str, command)], env=self.environment(), timeout=GRACE,
                              capture_output=True, text=True, check=False)

    def ctl_inside(self, process, *words):
        done = self.inside(process, BIN / "clusterctl", *words)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def end(self, process, code=0):
        os.kill(self.init(process), signal.SIGTERM)
        self.assert_code(process, code)

    def zombies(self, process):
        """(pid, parent) of those in the namespace."""
        stats = self.inside(process, "sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null").stdout
        return re.findall(r"^(\d+) \(.*\) Z (\d+)", stats, re.MULTILINE)
