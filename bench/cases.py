"""The cases: each measures a claim and yields rows. CASES is the table of all of them.

Wherever there is a lower bound, it is measured in the same run, turn by turn with ours, so that
what else the machine does hits both.
"""

import json
import os
import signal
import subprocess
import time

from log_cases import logs
from report import Row, Samples
from serving_cases import node
from setting import SLEEP, TRUE, context_switches, cpu_seconds, pss_kib, timed_spawn

MS = 1e3


def memory(setting):
    """PSS of guardian and manager together"""
    for count, goal in ((0, 3072), (100, None), (500, 6144)):
        fresh, used = Samples(), Samples()
        for _ in range(setting.pick(3, 1)):
            with setting.daemon() as daemon:
                daemon.timed("ping")
                if count:
                    daemon.timed("start", setting.apps_file(count))
                fresh.add(pss_kib(daemon.pids()))
                for _ in range(3):
                    daemon.timed("jlist")
                used.add(pss_kib(daemon.pids()))
        what = f"{count} processes" if count else "nothing running"
        yield Row(f"PSS, {what}", "KiB", fresh, goal=goal)
        yield Row(f"PSS, {what}, after three `jlist`", "KiB", used, goal=goal)


def reading(setting):
    """`clusterctl jlist` and `list` against `true`, spawned in the same way"""
    for count in (1, 100):
        ours, bounds = {}, {}
        with setting.daemon() as daemon:
            daemon.timed("start", setting.apps_file(count))
            for _ in range(setting.pick(300, 100)):
                for command in ("jlist", "list"):
                    bounds.setdefault(command, Samples()).add(
                        timed_spawn(TRUE, daemon.environment) * MS)
                    ours.setdefault(command, Samples()).add(daemon.timed(command) * MS)
        for command, samples in ours.items():
            goal = 5 if (command, count) == ("jlist", 100) else None
            yield Row(f"`{command}`, {count} running", "ms", samples, bound=bounds[command],
                      bound_name="`true`", compare="difference", goal=goal)


def starting(setting):
    """100 times `sleep` from one file against a bare posix_spawn loop"""
    file = setting.apps_file(100)
    warm, asked, cold, spawned, rested = (Samples() for _ in range(5))
    for _ in range(setting.pick(15, 5)):
        with setting.loop("up", 100, *SLEEP) as loop:
            words = loop.stdout.readline().split()
            spawned.add(int(words[1]) / 1e6)
            rested.add(int(words[3]) / 1e6)
        with setting.daemon() as daemon:
            daemon.timed("ping")
            warm.add(daemon.timed("start", file) * MS)
        with setting.daemon() as daemon:
            daemon.timed("ping")
            begin = time.monotonic()
            daemon.timed("start", "--no-wait", file)
            while any(row["status"] != "online" for row in daemon.ask("list")["processes"]):
                time.sleep(0.001)
            asked.add((time.monotonic() - begin) * MS)
        with setting.daemon() as daemon:
            cold.add(daemon.timed("start", file) * MS)
    bare, resting = "posix_spawn loop", "posix_spawn loop, until all sleep"
    yield Row("start of 100, until all are online", "ms", asked, spawned, bare, goal=2)
    yield Row("start of 100, until all are at rest (the default)", "ms", warm, spawned, bare,
              goal=2)
    yield Row("the same", "ms", warm, rested, resting)
    yield Row("start of 100, daemon included", "ms", cold, spawned, bare, goal=2)


def respawn(setting):
    """From SIGKILL to the first line of the successor's main"""
    fifo = setting.dir / "stamps"
    os.mkfifo(fifo)
    command = [setting.helper("stamp"), str(fifo)]
    reader = os.open(fifo, os.O_RDWR)  # O_RDWR: neither side ever waits for the other to open
    ours, bound = Samples(), Samples()

    def next_stamp():
        pid, moment = os.read(reader, 64).split()
        return int(pid), int(moment)

    def crash(pid, samples):
        time.sleep(0.02)  # whoever watches it has settled
        begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        os.kill(pid, signal.SIGKILL)
        successor, moment = next_stamp()
        samples.add((moment - begin) / 1e6)
        return successor

    try:
        with setting.daemon() as daemon, setting.loop("keep", 1, *command):
            bare = next_stamp()[0]
            daemon.timed("start", "--no-wait",
                         setting.apps_file(1, command, max_restarts=1_000_000))
            managed = next_stamp()[0]
            for _ in range(setting.pick(200, 50)):
                bare = crash(bare, bound)
                managed = crash(managed, ours)
    finally:
        os.close(reader)
        fifo.unlink()
    bare = "waitpid + posix_spawn"
    yield Row("crash to respawn", "ms", ours, bound, bare, goal=2)
    yield Row("the same, quickest against quickest", "ms", ours, bound, bare, compare="quickest")


def rest(setting):
    """Context switches of guardian and manager while 100 processes run and nobody asks"""
    seconds = setting.pick(30, 10)
    with setting.daemon() as daemon:
        daemon.timed("start", setting.apps_file(100))
        pids = daemon.pids()
        time.sleep(1)  # the state has been written
        before, cpu = context_switches(pids), cpu_seconds(pids)
        time.sleep(seconds)
        switches = Samples([context_switches(pids) - before])
        used = Samples([(cpu_seconds(pids) - cpu) * MS])
    yield Row(f"context switches in {seconds} s at rest, 100 processes", "", switches, goal=0)
    yield Row(f"CPU in {seconds} s at rest, 100 processes", "ms", used)


def storm(setting):
    """200 workers that exit at once, over and over"""
    count, seconds = 200, setting.pick(10, 5)
    bound = Samples([bare_storm(setting, count, seconds / 2)])
    jlist, true, complete = Samples(), Samples(), Samples()
    answer = setting.dir / "answer.json"
    with setting.daemon() as daemon:
        daemon.timed("start", "--no-wait",
                     setting.apps_file(count, TRUE, max_restarts=1_000_000))
        time.sleep(1)
        pids = daemon.pids()
        before, cpu = restarts(daemon), cpu_seconds(pids)
        begin = time.monotonic()
        while time.monotonic() < begin + seconds:
            time.sleep(0.1)
            true.add(timed_spawn(TRUE, daemon.environment) * MS)
            jlist.add(daemon.timed("jlist", output=answer) * MS)
            names = {row["name"] for row in json.loads(answer.read_bytes())}
            complete.add(100 * len(names) / count)
        taken = time.monotonic() - begin
        cpu, done = cpu_seconds(pids) - cpu, restarts(daemon) - before
    bound.add(bare_storm(setting, count, seconds / 2))
    yield Row("crash storm of 200, CPU of the daemon per respawn", "ms",
              Samples([cpu / max(done, 1) * MS]), bound, "waitpid + posix_spawn", goal=1,
              compare="measured")
    yield Row("crash storm of 200, respawns", "/s", Samples([done / taken]))
    yield Row("crash storm of 200, `jlist`, slowest", "ms", jlist, true, "`true`", goal=20,
              compare="slowest")
    yield Row("crash storm of 200, `jlist` shows, least", "%", complete, goal=100,
              compare="complete")


def restarts(daemon):
    return sum(row["restarts"] for row in daemon.ask("list")["processes"])


def bare_storm(setting, count, seconds):
    """Milliseconds of CPU per respawn of the same programs by waitpid and posix_spawn."""
    with setting.loop("keep", count, *TRUE) as loop:
        time.sleep(seconds)
        while True:  # see spawn_loop.cpp: one that comes at the wrong moment is lost
            loop.terminate()
            try:
                words = loop.communicate(timeout=0.2)[0].split()
                break
            except subprocess.TimeoutExpired:
                continue
    return int(words[3]) / max(int(words[1]), 1) / 1e6


def killing(setting):
    """`clusterctl kill` with 100 processes, until the command returns"""
    ours, bound = Samples(), Samples()
    for _ in range(setting.pick(15, 5)):
        with setting.loop("up", 100, *SLEEP) as loop:
            loop.stdout.readline()
            bound.add(int(loop.communicate()[0].split()[1]) / 1e6)
        with setting.daemon() as daemon:
            daemon.timed("start", setting.apps_file(100))
            ours.add(daemon.timed("kill") * MS)
    yield Row("`kill` of 100", "ms", ours, bound, "kill + waitpid", goal=150, compare="measured")


CASES = {"memory": memory, "reading": reading, "starting": starting, "respawn": respawn,
         "rest": rest, "storm": storm, "killing": killing, "logs": logs, "node": node}
