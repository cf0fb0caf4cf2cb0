"""Cases about requests that are lost: while an app is reloaded or recycled, and while the daemon
dies or is replaced. Two instances of a Node app, clients that open a connection per request."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time

from peers import Job
from processes import GIVEN_UP_AFTER
from report import Row, Samples
from serving_cases import wait_for_both
from setting import HERE, free_port

CLIENTS = 16
APP = HERE / "node/restless.js"
APPS = {"graceful": "which ends when it has answered", "naive": "`server.close()` only",
        "none": "with no handler"}


def reload(setting):
    """Reloads of a Node app with two instances, one after the other under load"""
    for kind, what in APPS.items():
        attributes = {"wait_ready": True, "listen_timeout": 10_000} if kind == "graceful" else {}
        results = {}
        for peer in contenders(setting):
            job = node_job(setting, {"KIND": kind}, attributes)
            results[peer.name] = under_load(setting, peer, job, reload_once)
        yield from rows(setting, f"reload, app {what}", results, duration=True)


def dying(setting):
    """The daemon ends by SIGKILL, or is replaced by another, under a Node app with two instances"""
    for title, act in (("SIGKILL of the daemon", kill_once),
                       ("upgrade of the daemon", upgrade_once)):
        results = {peer.name: under_load(setting, peer, node_job(setting, {"KIND": "graceful"}, {}),
                                         act)
                   for peer in contenders(setting)}
        yield from rows(setting, title, results, duration=act is upgrade_once)


def recycle(setting):
    """A Node app with two instances that leaks, under load: `max_memory_restart`"""
    job = node_job(setting, {"KIND": "graceful", "LEAK": "32"}, {"max_memory_restart": "120M"})
    results = {}
    for peer in contenders(setting):
        if peer is setting.ours or not setting.quick:  # PM2 looks every 30 s
            seconds = setting.pick(33, 5)
            results[peer.name] = under_load(setting, peer, job,
                                            lambda fleet, job: time.sleep(seconds), once=True)
    restarts = {name: Samples([found["restarts"]]) for name, found in results.items()}
    yield from rows(setting, "memory limit", results)
    if restarts:
        yield Row("memory limit, restarts", "", restarts.pop("ours"), peers=restarts, contest=False)


def contenders(setting):
    """Those that can run two instances of a Node app; nobody without node."""
    if not setting.node():
        return []
    return [setting.ours, *(peer for peer in setting.peers if peer.cluster)]


def node_job(setting, env, attributes):
    return Job([setting.node(), str(APP)], 2, env={"PORT": str(free_port())} | env, cluster=True,
               attributes=attributes)


def reload_once(fleet, _):
    fleet.run("reload")


def upgrade_once(fleet, _):
    fleet.run("update")


def kill_once(fleet, job):
    """The manager, and every third time its guardian; until somebody supervises again. PM2's daemon
    has nobody who starts another."""
    if not hasattr(fleet, "pids"):
        os.kill(fleet.roots()[0], signal.SIGKILL)
        time.sleep(2)
        return
    fleet.kills = getattr(fleet, "kills", 0) + 1
    guardian, manager = fleet.pids()
    os.kill(manager if fleet.kills % 3 else guardian, signal.SIGKILL)
    end = time.monotonic() + GIVEN_UP_AFTER
    while time.monotonic() < end:
        time.sleep(0.05)
        with contextlib.suppress(OSError, ValueError, KeyError):
            if fleet.pids() != [guardian, manager]:
                return


def under_load(setting, peer, job, act, once=False):
    """What clients saw while `act` was done over and over, until enough had been asked."""
    enough = setting.pick(20_000, 3_000)
    durations = Samples()
    with peer.fleet(job) as fleet:
        fleet.start()
        wait_for_both(job.env["PORT"])
        load = subprocess.Popen([setting.helper("load"), job.env["PORT"], str(CLIENTS), "/", str(enough)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                start_new_session=True)
        try:
            begin = time.monotonic()
            while not durations.values or not once and not reached(load) and \
                    time.monotonic() - begin < GIVEN_UP_AFTER:
                started = time.monotonic()
                act(fleet, job)
                durations.add(time.monotonic() - started)
                time.sleep(0.1)
                if act is kill_once and not hasattr(fleet, "pids"):
                    break  # it is down
            time.sleep(0.2)
            found = json.loads(load.communicate("", timeout=GIVEN_UP_AFTER)[0].split("\n")[-2])
        finally:
            load.kill()
            load.wait()
        restarts = 0
        if once:
            output = str(fleet.folder) + ".list"
            fleet.run("jlist", output)
            with open(output, encoding="utf-8") as file:
                restarts = sum(row["pm2_env"]["restart_time"] for row in json.load(file))
    setting.sweep()
    for reason in found["reasons"] if peer is setting.ours else ():
        print(f"  lost: {reason}", flush=True)
    return found | {"durations": durations, "restarts": restarts}


def reached(load):
    """Whether it has said "enough"."""
    return bool(select.select([load.stdout], [], [], 0)[0])


def rows(setting, title, results, duration=False):
    if not results:
        return
    ours = results.pop("ours")

    def of(key):
        # Who lost most of them has no latency to be proud of.
        return {name: Samples([found[key]]) for name, found in results.items()
                if key == "failed" or found["failed"] < found["done"]}

    asked = {name: Samples([found["done"] + found["failed"]]) for name, found in results.items()}
    yield Row(f"{title}: requests", "", Samples([ours["done"] + ours["failed"]]), peers=asked,
              contest=False)
    yield Row(f"{title}: lost", "", Samples([ours["failed"]]), goal=0, peers=of("failed"))
    for key in ("p50", "p99"):
        yield Row(f"{title}: {key}", "ms", Samples([ours[key]]), peers=of(key))
    if duration:
        yield Row(f"{title}: takes", "s", ours["durations"],
                  peers={name: found["durations"] for name, found in results.items()})
