"""Two instances of an unmodified Node app behind one port: ours, PM2's cluster mode, and Node's own
cluster with SCHED_NONE, turn by turn. The load comes from wrk; PM2 from npm, into the scratch folder.
"""

import collections
import contextlib
import http.client
import json
import re
import shutil
import socket
import subprocess
import time

from report import Row, Samples
from setting import GIVEN_UP_AFTER, HERE

PM2 = "pm2@7"
APP = HERE / "node" / "app.js"
PRIMARY = HERE / "node" / "primary.js"


def node(setting):
    """Two instances of a Node app on one port, against PM2's cluster mode and Node's SCHED_NONE"""
    missing = [program for program in ("wrk", "node") if not shutil.which(program)]
    if missing:
        print(f"  left out, it needs {' and '.join(missing)}: apt-get install wrk nodejs")
        return
    pm2 = install_pm2(setting)
    peers = {"ours": ours, "SCHED_NONE": sched_none} | ({"PM2": pm2} if pm2 else {})
    fresh = {name: Samples() for name in peers}
    kept = {name: Samples() for name in peers}
    spread = Samples()
    for _ in range(setting.pick(5, 2)):
        for name, serve in peers.items():
            with serve(setting) as port:
                seconds = setting.pick(6, 3)
                fresh[name].add(requests_per_second(port, seconds, "Connection: close"))
                kept[name].add(requests_per_second(port, seconds))
                if name == "ours":
                    spread.add(spread_of(port))
    for title, rates in (("new connections", fresh), ("kept-alive", kept)):
        yield Row(f"{title}, ours", "requests/s", rates["ours"], rates["SCHED_NONE"],
                  "Node's SCHED_NONE", compare="times", goal=0.9)
        if pm2:
            yield Row(f"{title}, ours", "requests/s", rates["ours"], rates["PM2"], PM2,
                      compare="times", goal=2.7 if title == "new connections" else None)
    yield Row("new connections of the busiest instance per one of the idlest", "", spread,
              goal=1.5)


def requests_per_second(port, seconds, *headers):
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", f"http://127.0.0.1:{port}/"]
    for header in headers:
        command += ["-H", header]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def spread_of(port):
    """Most answers of one instance per fewest, over new connections under load."""
    load = subprocess.Popen(["wrk", "-t1", "-c16", "-d4s", "-H", "Connection: close",
                             f"http://127.0.0.1:{port}/"], stdout=subprocess.DEVNULL)
    counts = collections.Counter()
    while load.poll() is None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
            client.request("GET", "/")
            counts[json.loads(client.getresponse().read())["pid"]] += 1
    return max(counts.values()) / max(min(counts.values()), 1) if len(counts) > 1 else float("inf")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_both(port):
    """Until two instances have answered."""
    end, seen = time.monotonic() + GIVEN_UP_AFTER, set()
    while len(seen) < 2:
        if time.monotonic() > end:
            raise SystemExit(f"only {len(seen)} of two instances answer")
        with contextlib.suppress(OSError, http.client.HTTPException), \
                contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
            client.request("GET", "/")
            seen.add(json.loads(client.getresponse().read())["pid"])


@contextlib.contextmanager
def ours(setting):
    port = free_port()
    file = setting.dir / "node.json"
    file.write_text(json.dumps({"apps": [{"name": "app", "script": str(APP), "instances": 2,
                                          "env": {"PORT": port}}]}))
    with setting.daemon() as daemon:
        daemon.timed("start", file)
        wait_for_both(port)
        yield port


@contextlib.contextmanager
def sched_none(setting):
    port = free_port()
    environment = setting.environment | {"PORT": str(port), "NODE_CLUSTER_SCHED_POLICY": "none"}
    primary = subprocess.Popen(["node", PRIMARY, APP], env=environment)
    try:
        wait_for_both(port)
        yield port
    finally:
        primary.kill()
        primary.wait()


def install_pm2(setting):
    """How to serve under PM2; None, with a word about it, where npm cannot bring it."""
    folder = setting.dir / "pm2"
    folder.mkdir()
    npm = shutil.which("npm")
    done = npm and subprocess.run([npm, "install", "--no-audit", "--no-fund", PM2], cwd=folder,
                                  env=setting.environment, capture_output=True, text=True)
    if not npm or done.returncode != 0:
        print(f"  {PM2} is left out: {done.stderr[-200:] if npm else 'there is no npm'}")
        return None
    program = folder / "node_modules/.bin/pm2"

    @contextlib.contextmanager
    def serve(setting):
        port = free_port()
        environment = setting.environment | {"PORT": str(port), "PM2_HOME": str(folder / "home")}

        def pm2(*arguments):
            subprocess.run([program, *arguments], env=environment, check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        pm2("start", APP, "-i", "2", "--name", "app")
        try:
            wait_for_both(port)
            yield port
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                pm2("kill")

    return serve
