"""What the log path carries, beside the same program with its output redirected to a file by a
shell and through `cat`, and beside the loggers of the peers."""

import contextlib
import os
import pathlib
import select
import shutil
import subprocess
import time

from peers import Job
from processes import (GIVEN_UP_AFTER, GivenUp, cpu_seconds, descendants, end_all, forget_peak,
                       peak_kib)
from report import Row, Samples

LINES, BLOCKS = 100, 65536  # bytes of a write
MEGABYTE = bytes(1_000_000)
SETTLED = 0.5  # seconds without growth after the last write until a log counts as complete
KINDS = {  # title: (bytes per write, format, goal against the redirection, megabytes for the slow)
    "64 KiB writes": (BLOCKS, "plain", 0.65, 200),
    "one write per line": (LINES, "plain", None, 20),
    "64 KiB writes, dated": (BLOCKS, "dated", None, 100),
    "64 KiB writes, JSON": (BLOCKS, "json", None, 100),
}


def logs(setting):
    """Lines of 100 bytes from one worker at full speed into its log"""
    for title, (size, form, goal, slow) in KINDS.items():
        megabytes = setting.pick(400, 150) if size == BLOCKS else setting.pick(60, 20)
        slow = min(setting.pick(slow, slow // 4), megabytes)
        results = {}
        for _ in range(setting.pick(3 if form == "plain" else 2, 1)):
            turn(setting, results, form, size, megabytes, slow)
            setting.sweep()
        bound, cat, ours = (results.pop(name) for name in ("redirection", "`cat`", "ours"))
        peers = {"`cat`": cat} if form == "plain" else {}
        peers |= results

        def of(key):
            return {name: found[key] for name, found in peers.items()}
        yield Row(title, "MB/s", ours["rate"], bound["rate"], "redirection", goal, "times",
                  of("rate"), contest=form == "plain" or bool(results))
        yield Row(f"{title}, CPU", "s/GB", ours["cpu"], peers=of("cpu"))
        if form == "plain":
            yield Row(f"{title}, memory of the daemon grows by", "MiB", ours["grown"], goal=1,
                      peers={name: found["grown"] for name, found in results.items()})


def turn(setting, results, form, size, megabytes, slow):
    """One measurement of each contender."""
    def add(name, found):
        for key, value in found.items():
            known = results.setdefault(name, {k: Samples() for k in ("rate", "cpu", "grown")})
            known[key].add(value)

    noise = [setting.helper("noise"), str(megabytes)]
    add("redirection", by_shell(setting, noise, size, megabytes, "exec {} > {}"))
    add("`cat`", by_shell(setting, noise, size, megabytes, "{} | cat > {}"))
    for peer in setting.those_for(1):
        if form in peer.formats:
            amount = slow if peer.name in ("PM2", "runit") else megabytes
            found = by_peer(setting, peer, [noise[0], str(amount)], size, amount, form)
            if found:
                add(peer.name, found)


def by_shell(setting, noise, size, megabytes, line):
    folder = setting.fresh_folder("shell", on_disk=True)
    folder.mkdir()
    target = folder / "log"
    with fresh_fifo(folder / "go") as go:
        command = line.format(" ".join([*noise, str(go), str(size)]), target)
        process = subprocess.Popen(["/bin/sh", "-c", command], start_new_session=True)
        try:
            return measured(setting, go, lambda: [target], megabytes,
                            lambda: descendants([process.pid], ("noise", "sh")))
        finally:
            end_all([process.pid])
            process.wait()
            target.unlink(missing_ok=True)


def by_peer(setting, peer, noise, size, megabytes, form):
    with fresh_fifo(setting.fresh_folder("go")) as go:
        job = Job([*noise, str(go), str(size)], logs=form, attributes={"rotate": False})
        with peer.fleet(job) as fleet:
            if peer is setting.ours:
                fleet.start_without_waiting()
            else:
                fleet.start()
            try:
                return measured(setting, go, fleet.log_files, megabytes, fleet.supervisors)
            except GivenUp as reason:
                setting.leave_out(f"logs of {peer.name}: {reason}")
                return None
            finally:
                empty(fleet.log_files())


def measured(setting, go, files, megabytes, watched):
    """MB a second until the last byte is in a file, seconds of CPU per GB, MiB at most beyond
    what it had at first."""
    time.sleep(SETTLED)  # loggers have come up; the program waits for a reader
    have_memory(setting, megabytes)
    with open(go, "rb") as reader:
        begin = time.monotonic()
        pids = watched()
        forget_peak(pids)
        resident = peak_kib(pids)
        before = cpu_seconds(pids)
        end = last_growth(reader, files, megabytes)
    found = {"rate": megabytes / (end - begin),
             "cpu": (cpu_seconds(pids) - before) / megabytes * 1000}
    return found | {"grown": (peak_kib(pids) - resident) / 1024}


def have_memory(setting, megabytes):
    """The host of a virtual machine takes back what is free. To have it again costs several times
    what writing a page of a log does, and hits whose log is the largest; here, nobody's."""
    folder = setting.fresh_folder("memory", on_disk=True)
    folder.mkdir()
    with (folder / "log").open("wb", buffering=0) as file:
        for _ in range(2 * megabytes):
            file.write(MEGABYTE)
    shutil.rmtree(folder)


def last_growth(reader, files, megabytes):
    """When the logs, complete, grew for the last time."""
    changed, last, written = time.monotonic(), 0, False
    while True:
        now, size = time.monotonic(), total_size(files())
        if size != last:
            changed, last = now, size
        if not written:
            written = bool(select.select([reader], [], [], 0)[0]) and not reader.read(1)
        if written and last >= megabytes * 1_000_000 and now - changed > SETTLED:
            return changed
        if now - changed > GIVEN_UP_AFTER / 4:
            raise GivenUp(f"{last / 1e6:.0f} of {megabytes} MB came through")
        time.sleep(0.002)


def total_size(paths):
    total = 0
    for path in map(pathlib.Path, paths):
        with contextlib.suppress(OSError):
            total += sum(entry.stat().st_size for entry in path.iterdir()) if path.is_dir() \
                else path.stat().st_size
    return total


def empty(paths):
    """Gives the space back, of which such a case takes much."""
    for path in map(pathlib.Path, paths):
        for file in path.iterdir() if path.is_dir() else [path]:
            with contextlib.suppress(OSError):
                os.truncate(file, 0)


@contextlib.contextmanager
def fresh_fifo(path):
    os.mkfifo(path)
    try:
        yield path
    finally:
        path.unlink()
