"""Cases about processes that die: how soon there is a successor, and what a storm of them costs."""

import contextlib
import http.client
import json
import os
import signal
import threading
import time

from peers import Job
from processes import GIVEN_UP_AFTER, GivenUp, Stamps, cpu_seconds, timed_spawn
from report import Row, Samples
from setting import HERE, TRUE, free_port

MS = 1e3


def respawn(setting):
    """From SIGKILL to the first line of the successor's main"""
    contenders = [setting.bare, *setting.those_for(1)]
    taken = {peer.name: Samples() for peer in contenders}
    with contextlib.ExitStack() as stack:
        running = {}
        for peer in contenders:
            stamps = stack.enter_context(Stamps(setting.fresh_folder("stamps")))
            job = Job([setting.helper("stamp"), str(stamps.path)], attributes={"keep": True})
            stack.enter_context(peer.fleet(job)).start()
            running[peer] = [stamps, stamps.next()[0][0], time.monotonic()]
        for _ in range(setting.pick(12, 5)):
            for peer, state in running.items():
                # Those that wait a second before they start a process again that died within one
                # are never asked for that; the two that are quick get some more turns.
                for _ in range(8 if not peer.restarts_after and peer.name in ("bare", "ours")
                               else 1):
                    time.sleep(0.02)
                    time.sleep(max(0, state[2] + 1.2 * peer.restarts_after - time.monotonic()))
                    state[1:] = crash(state[0], state[1], taken[peer.name])
    bound = taken.pop("bare")
    ours = taken.pop("ours")
    yield Row("crash to respawn", "ms", ours, bound, "waitpid + posix_spawn", goal=2, peers=taken)
    yield Row("crash to respawn, in time", "ms", ours, goal=2, peers=taken)
    yield Row("crash to respawn, quickest against quickest", "ms", ours, bound,
              "waitpid + posix_spawn", compare="quickest")


def crash(stamps, pid, samples):
    """The successor's pid and when it began."""
    begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    os.kill(pid, signal.SIGKILL)
    successor, moment = stamps.next()[0]
    samples.add((moment - begin) / 1e6)
    return successor, time.monotonic()


def answer(setting):
    """From SIGKILL of a Node server, its only instance, to the first answer of its successor"""
    if not setting.node():
        return
    contenders = [setting.bare, *setting.those_for(1)]
    taken = {peer.name: Samples() for peer in contenders}
    refused = {peer.name: Samples() for peer in contenders}
    with contextlib.ExitStack() as stack:
        running = {}
        for peer in contenders:
            port = free_port()
            job = Job([setting.node(), str(HERE / "node/app.js")], env={"PORT": str(port)},
                      cluster=peer.name == "ours", attributes={"keep": True})
            stack.enter_context(peer.fleet(job)).start()
            running[peer] = [port, first_answer(port, None)[0], time.monotonic()]
        for _ in range(setting.pick(8, 3)):
            for peer, state in running.items():
                time.sleep(max(0, state[2] + 1.2 * peer.restarts_after - time.monotonic()))
                time.sleep(0.1)
                begin = time.monotonic()
                os.kill(state[1], signal.SIGKILL)
                state[1], lost = first_answer(state[0], state[1])
                state[2] = time.monotonic()
                taken[peer.name].add((state[2] - begin) * MS)
                refused[peer.name].add(lost)
    for samples in (taken, refused):
        samples["bound"] = samples.pop("bare")
    peers = {name: samples for name, samples in taken.items() if name not in ("ours", "bound")}
    yield Row("crash to the first answer", "ms", taken["ours"], taken["bound"],
              "waitpid + posix_spawn", peers=peers)
    yield Row("connections refused meanwhile, tried each ms", "", refused["ours"], goal=0,
              compare="slowest", peers={name: refused[name] for name in peers})


def first_answer(port, old):
    """The pid of who answers first and is not `old`, and how many connections were refused."""
    refused, end = 0, time.monotonic() + GIVEN_UP_AFTER
    while time.monotonic() < end:
        try:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port,
                                                               timeout=5)) as client:
                client.request("GET", "/")
                pid = json.loads(client.getresponse().read())["pid"]
                if pid != old:
                    return pid, refused
        except ConnectionRefusedError:
            refused += 1
        except (OSError, http.client.HTTPException, ValueError):
            pass
        time.sleep(0.001)
    raise GivenUp(f"port {port} does not answer after {GIVEN_UP_AFTER:g} s")


def storm(setting):
    """200 workers that exit at once, over and over"""
    count, seconds = 200, setting.pick(20, 2)
    results = {}
    for peer in [setting.bare, *setting.those_for(count)]:
        long = peer in (setting.bare, setting.ours)
        results[peer.name] = one_storm(setting, peer, count, seconds if long else 0.4 * seconds)
        setting.sweep()
    bound, ours = results.pop("bare"), results.pop("ours")
    bare, true = "waitpid + posix_spawn", "`true`"

    def row(title, unit, key, bound=None, bound_name="", **judged):
        peers = {name: found[key] for name, found in results.items()}
        return Row(f"storm of 200, {title}", unit, ours[key], bound, bound_name, peers=peers,
                   **judged)

    yield row("CPU of the supervisor per respawn", "ms", "cpu", bound["cpu"], bare, goal=1,
              compare="measured")
    # How often is a policy (runit and s6 wait a second), so nobody wins here.
    yield row("respawns", "/s", "rate", bound["rate"], bare, compare="rate", contest=False)
    yield row("`list`, slowest", "ms", "list", ours["true"], true, goal=20, compare="slowest")
    yield row("`list` shows, least", "%", "shown", goal=100, compare="complete")


def one_storm(setting, peer, count, seconds):
    """What one supervisor makes of it."""
    found = {key: Samples() for key in ("cpu", "rate", "list", "shown", "true")}
    command = [setting.helper("stamp"), None, "once"]
    with Stamps(setting.fresh_folder("stamps")) as stamps:
        command[1] = str(stamps.path)
        job = Job(command, count, attributes={"keep": True, "startsecs": 0})
        with peer.fleet(job) as fleet, watching(fleet, count, found) as begin_asking:
            if peer is setting.ours:
                fleet.start_without_waiting()
            else:
                fleet.start()
            stamps.count_for(1.0)
            begin_asking.set()
            own = fleet.supervisors()
            before, begin = cpu_seconds(own), time.monotonic()
            spawned = stamps.count_for(seconds)
            taken = time.monotonic() - begin
            found["rate"].add(spawned / taken)
            found["cpu"].add((cpu_seconds(own) - before) / max(spawned, 1) * MS)
    return found


@contextlib.contextmanager
def watching(fleet, count, found):
    """Asks for the list, over and over, in a thread of its own, from `begin` on."""
    word = "jlist" if "jlist" in fleet.commands else "list"
    begin, ended = threading.Event(), threading.Event()
    output, asked = str(fleet.folder) + ".list", []

    def ask():
        begin.wait(GIVEN_UP_AFTER)
        while not ended.wait(0.1):
            found["true"].add(timed_spawn(TRUE, fleet.environment) * MS)
            found["list"].add(fleet.run(word, output, check=False, tell=asked.append) * MS)
            if ended.is_set():
                return  # it was cut short: it took at least so long
            with open(output, encoding="utf-8", errors="replace") as file:
                shown = fleet.listed(file.read())
            if shown is not None:
                found["shown"].add(100 * shown / count)

    thread = threading.Thread(target=ask, daemon=True)
    if word in fleet.commands:
        thread.start()
    try:
        yield begin
    finally:
        ended.set()
        begin.set()
        if thread.is_alive() and asked:
            thread.join(2)  # of those that take longer, no more is needed
            if thread.is_alive():
                os.kill(asked[-1], signal.SIGKILL)
                thread.join(GIVEN_UP_AFTER)
