"""Two instances of an unmodified Node app behind one port: ours, PM2's cluster mode, and Node's own
cluster with SCHED_NONE, turn by turn. The load comes from wrk."""

import collections
import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import time

from peers import Job
from processes import GIVEN_UP_AFTER, cpu_seconds, descendants, end_all
from report import EQUAL, Row, Samples
from setting import HERE, free_port

APP = HERE / "node" / "app.js"
PRIMARY = HERE / "node" / "primary.js"
LOADS = {"new connections": ("Connection: close",), "kept-alive": ()}


def node(setting):
    """Two instances of a Node app on one port, against PM2's cluster mode and Node's SCHED_NONE"""
    if not setting.node():
        return
    if not shutil.which("wrk"):
        setting.leave_out("throughput: there is no wrk (apt-get install wrk)")
        return
    contenders = [setting.ours, *(peer for peer in setting.peers if peer.cluster)]
    rates, costs, spread = {}, {}, Samples()
    servers = [("SCHED_NONE", lambda: sched_none(setting)),
               *((peer.name, lambda peer=peer: served(setting, peer)) for peer in contenders)]
    for turn in range(setting.pick(6, 1)):
        first = turn % len(servers)  # who is measured first has an advantage on some machines
        for name, serve in servers[first:] + servers[:first]:
            with serve() as port:
                for load, headers in LOADS.items():
                    rate, cost = measured(port, 2, *headers)
                    rates.setdefault((load, name), Samples()).add(rate)
                    costs.setdefault((load, name), Samples()).add(cost)
                if name == "ours":
                    spread.add(spread_of(port))
            setting.sweep()
    for load in LOADS:
        def of_peers(found):
            return {peer.name: found[load, peer.name] for peer in contenders[1:]}
        yield Row(f"{load}", "requests/s", rates[load, "ours"], rates[load, "SCHED_NONE"],
                  "SCHED_NONE", 1 - EQUAL, "times", of_peers(rates))
        yield Row(f"{load}, CPU of server and supervisor per request", "µs", costs[load, "ours"],
                  costs[load, "SCHED_NONE"], "SCHED_NONE", 1 + EQUAL, "ratio",
                  of_peers(costs))
    ours, pm2 = rates["new connections", "ours"], rates.get(("new connections", "PM2"))
    if pm2:
        yield Row("new connections, against PM2", "requests/s", ours, pm2, "PM2", 3, "times")
    yield Row("new connections of the busiest instance per one of the idlest", "", spread,
              goal=1.5)


def measured(port, seconds, *headers):
    """Requests a second, and microseconds of CPU of all that serves them for each."""
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", f"http://127.0.0.1:{port}/"]
    for header in headers:
        command += ["-H", header]
    servers = [pid for pid in descendants([os.getpid()]) if pid != os.getpid()]
    before = cpu_seconds(servers)
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = cpu_seconds(servers) - before
    requests = int(re.search(r"(\d+) requests in", out)[1])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), spent / requests * 1e6


def spread_of(port):
    """Most answers of one instance per fewest, over new connections under load."""
    load = subprocess.Popen(["wrk", "-t1", "-c16", "-d2s", "-H", "Connection: close",
                             f"http://127.0.0.1:{port}/"], stdout=subprocess.DEVNULL)
    counts = collections.Counter()
    while load.poll() is None:
        counts[ask(port)] += 1
    return max(counts.values()) / max(min(counts.values()), 1) if len(counts) > 1 else float("inf")


def ask(port):
    """The pid of who answers."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as client:
        client.request("GET", "/")
        return json.loads(client.getresponse().read())["pid"]


def wait_for_both(port):
    """Until two instances have answered."""
    end, seen = time.monotonic() + GIVEN_UP_AFTER, set()
    while len(seen) < 2:
        if time.monotonic() > end:
            raise SystemExit(f"only {len(seen)} of two instances answer")
        with contextlib.suppress(OSError, http.client.HTTPException):
            seen.add(ask(port))


@contextlib.contextmanager
def served(setting, peer):
    port = free_port()
    job = Job([setting.node(), str(APP)], 2, env={"PORT": str(port)}, cluster=True)
    with peer.fleet(job) as fleet:
        fleet.start()
        wait_for_both(port)
        yield port


@contextlib.contextmanager
def sched_none(setting):
    port = free_port()
    environment = setting.environment | {"PORT": str(port), "NODE_CLUSTER_SCHED_POLICY": "none"}
    primary = subprocess.Popen([setting.node(), PRIMARY, APP], env=environment,
                               start_new_session=True)
    try:
        wait_for_both(port)
        yield port
    finally:
        end_all([primary.pid])
        primary.wait()
