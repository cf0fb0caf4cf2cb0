"""Cases about many processes that do nothing: memory, starting, stopping, reading, at rest.

One visit of a supervisor serves several cases: it is started with N `stamp` workers, looked at, and
ended. Visits are made once per run, whichever case asks first, turn by turn over all contenders.
"""

import collections
import contextlib
import os
import signal
import time

from peers import Job
from processes import (GIVEN_UP_AFTER, GivenUp, Stamps, context_switches, cpu_seconds, pss_kib,
                       timed_spawn)
from report import Row, Samples
from setting import TRUE

MS = 1e3
QUIET = 1.0  # seconds after a start until memory is that of rest
CASES_OF_A_VISIT = {"memory", "starting", "killing", "reading"}
READ = ("list", "jlist", "describe")


class Turns:
    """How often a count is visited, and who is visited with it."""

    def __init__(self, turns, reads=0, peers=True, wanted=CASES_OF_A_VISIT):
        self.turns, self.reads, self.peers, self.wanted = turns, reads, peers, wanted


def plan(setting):
    memory = {"memory"}
    plans = {0: Turns(setting.pick(3, 1), wanted=memory),
             1: Turns(1, setting.pick(200, 60), wanted={"reading"}),
             10: Turns(1, wanted=memory),
             100: Turns(setting.pick(3, 2), setting.pick(40, 20)),
             500: Turns(1, peers=not setting.quick),
             1000: Turns(1, peers=not setting.quick)}
    most = min(10_000, setting.ours.limit)
    return plans | ({} if setting.quick else {most: Turns(1, 5)})


def visit(setting, count):
    """Results by (what, name of the contender)."""
    if count not in setting.visits:
        results = collections.defaultdict(Samples)
        turns = plan(setting)[count]
        for _ in range(turns.turns):
            contenders = setting.those_for(count, None if turns.peers else [])
            if setting.wanted & {"starting", "killing"} and count >= 100:
                contenders = [setting.bare, *contenders]
            for peer in contenders:
                if peer.name in results.get("given up", {}):
                    continue
                try:
                    call(setting, peer, count, turns, results)
                except (GivenUp, RuntimeError, OSError) as reason:
                    setting.leave_out(f"{peer.name} with {count:,} processes: {reason}")
                    results.setdefault("given up", set()).add(peer.name)
                setting.sweep()
        setting.visits[count] = results
    return setting.visits[count]


def call(setting, peer, count, turns, results):
    with Stamps(setting.fresh_folder("stamps")) as stamps:
        with peer.fleet(Job([setting.helper("stamp"), str(stamps.path)], count)) as fleet:
            begin = time.monotonic()
            fleet.start()
            stamps.next(count, GIVEN_UP_AFTER)
            results["start", peer.name].add((time.monotonic() - begin) * MS)
            if peer is not setting.bare and setting.wanted & turns.wanted & {"memory", "reading"}:
                own = fleet.supervisors()  # some are asked for it, which wakes them
                time.sleep(QUIET)
                look(setting, peer, fleet, own, turns, results)
            time.sleep(max(0, begin + 1.2 * peer.restarts_after - time.monotonic()))
            begin = time.monotonic()
            fleet.stop()
            if count:
                stamps.wait_gone()
            results["stop", peer.name].add((time.monotonic() - begin) * MS)


def look(setting, peer, fleet, own, turns, results):
    if "memory" in setting.wanted & turns.wanted:
        results["rest", peer.name].add(pss_kib(own))
    reads = turns.reads if "reading" in setting.wanted else 0
    for word in READ:
        if word in fleet.commands and fleet.job.count:
            once = fleet.run(word)
            # Some take a second for one answer: as many as fit into the time of the quick ones.
            for _ in range(max(min(reads, int(0.5 / once)), min(reads, 2))):
                results["true", word].add(timed_spawn(TRUE, fleet.environment) * MS)
                results[word, peer.name].add(fleet.run(word) * MS)
    if "memory" in setting.wanted & turns.wanted:
        results["read", peer.name].add(pss_kib(own))


def of_peers(setting, results, what):
    return {peer.name: results[what, peer.name] for peer in setting.peers
            if results[what, peer.name].values}


def counted(count):
    return f"{count:,} process" + ("es" if count != 1 else "")


def memory(setting):
    """Memory of everything that supervises (PSS)"""
    goals = {0: 3072, 100: 4096, 500: 6144, 10_000: 40 * 1024}
    for count, turns in plan(setting).items():
        if "memory" not in turns.wanted:
            continue
        results = visit(setting, count)
        if not results["rest", "ours"].values:
            continue
        what = counted(count) if count else "nothing running"
        yield Row(f"PSS, {what}", "KiB", results["rest", "ours"], goal=goals.get(count),
                  peers=of_peers(setting, results, "rest"))
        if count:
            yield Row(f"PSS, {what}, right after reading", "KiB", results["read", "ours"],
                      peers=of_peers(setting, results, "read"))


def reading(setting):
    """Commands that read, each a process of its own, against `true`"""
    goals = {("list", 1): 2, ("list", 100): 4, ("jlist", 100): 7}
    for count, turns in plan(setting).items():
        if not turns.reads:
            continue
        results = visit(setting, count)
        for word in READ:
            ours = results[word, "ours"]
            if ours.values:
                goal = 100 if count >= 1000 else goals.get((word, count))
                yield Row(f"`{word}`, {count:,} running", "ms", ours, results["true", word],
                          "`true`", goal, "measured", of_peers(setting, results, word))


def starting(setting):
    """Cold start, until the main of the last process has begun and the command is back"""
    for count in (count for count in plan(setting) if count >= 100):
        results = visit(setting, count)
        if results["start", "ours"].values:
            yield Row(f"start of {count:,}, daemon included", "ms", results["start", "ours"],
                      results["start", "bare"], "posix_spawn loop", goal=2,
                      peers=of_peers(setting, results, "start"))


def killing(setting):
    """Stop of everything and the supervisor, until the last process is gone"""
    for count in (count for count in plan(setting) if count >= 100):
        results = visit(setting, count)
        if results["stop", "ours"].values:
            yield Row(f"`kill` of {count:,}", "ms", results["stop", "ours"],
                      results["stop", "bare"], "kill + waitpid", 150 if count == 100 else None,
                      "measured", of_peers(setting, results, "stop"))


def rest(setting):
    """What supervising costs while nothing happens"""
    for count, seconds in setting.pick({100: 20, 1000: 10}, {100: 10}).items():
        found = at_rest(setting, count, seconds)
        scale = 60 / seconds
        ours = found.pop("ours")
        for title, unit, part in (("CPU", "ms a minute", 0), ("context switches", "a minute", 1)):
            yield Row(f"{title} at rest, {counted(count)}", unit, Samples([ours[part] * scale]),
                      goal=0, peers={name: Samples([values[part] * scale])
                                     for name, values in found.items()})


def at_rest(setting, count, seconds):
    """name -> (ms of CPU, context switches), all contenders at the same time."""
    found = {}
    with contextlib.ExitStack() as stack:
        fleets = {}
        for peer in setting.those_for(count):
            stamps = stack.enter_context(Stamps(setting.fresh_folder("stamps")))
            job = Job([setting.helper("stamp"), str(stamps.path)], count)
            fleet = stack.enter_context(peer.fleet(job))
            fleet.start()
            stamps.next(count)
            fleets[peer.name] = fleet
        time.sleep(6)  # states have been written, start-up pages given back
        pids = {name: fleet.supervisors() for name, fleet in fleets.items()}
        before = {name: (cpu_seconds(own), context_switches(own)) for name, own in pids.items()}
        time.sleep(seconds)
        for name, own in pids.items():
            found[name] = ((cpu_seconds(own) - before[name][0]) * MS,
                           context_switches(own) - before[name][1])
    setting.sweep()
    return found


def many(setting):
    """Very many processes: every command, and one crash"""
    count = min(10_000, setting.ours.limit, setting.pick(10_000, 2_000))
    if count < 10_000 and not setting.quick:
        setting.leave_out(f"10,000 processes: {setting.descriptors:,} descriptors (`ulimit -Hn`) "
                          f"are enough for {setting.ours.limit:,}")
    commands = ("ping", "list", "jlist", "describe", "pid", "env", "list --json", "reset",
                "restart", "stop")
    taken = {name: Samples() for name in commands}
    crash, bound = Samples(), Samples()
    with Stamps(setting.fresh_folder("stamps")) as stamps:
        command = [setting.helper("stamp"), str(stamps.path)]
        with setting.ours.fleet(Job(command, count)) as fleet:
            fleet.start_without_waiting()
            stamps.next(count, 3 * GIVEN_UP_AFTER)
            time.sleep(2 * QUIET)
            for _ in range(setting.pick(5, 3)):
                for name in commands:
                    taken[name].add(fleet.run(name) * MS)
            time.sleep(QUIET)
            stamps.forget()
            crash_some(fleet, stamps, setting.pick(20, 10), crash)
    setting.sweep()
    for name in commands:
        yield Row(f"`{name}` with {count:,} processes", "ms", taken[name], goal=100)
    yield Row(f"crash to respawn with {count:,} processes", "ms", crash, goal=10)


def crash_some(fleet, stamps, times, crash):
    pid = next(row["pid"] for row in reversed(fleet.ask("list")["processes"]) if row["pid"])
    for _ in range(times):
        time.sleep(0.05)
        begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        os.kill(pid, signal.SIGKILL)
        pid, moment = stamps.next()[0]
        crash.add((moment - begin) / 1e6)
