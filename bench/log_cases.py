"""What the log path carries, beside the same program with its output redirected to a file by a shell
and through `cat`."""

import contextlib
import os
import signal
import subprocess
import time

from report import Row, Samples

LINE = 100  # bytes of a line of noise.cpp
DATED = len("2026-01-01T00:00:00: ")
OBJECT = len('{"message":"","timestamp":"2026-01-01T00:00:00.000Z","type":"out","process_id":0,'
             '"app_name":"noise"}')
PLANS = {  # title: (attributes, bytes more in a line, files, goal)
    "plain": ({}, 0, ["noise-out.log"], 0.6),
    "`time: true`": ({"time": True}, DATED, ["noise-out.log"], 0.3),
    "`log_type: json`": ({"log_type": "json"}, OBJECT, ["noise-out.log"], 0.3),
    "a second file for both streams": ({"log_file": True}, 0, ["noise-out.log", "noise.log"],
                                       0.3),
}


def logs(setting):
    """Lines of 100 bytes from one worker at full speed into its log"""
    megabytes = setting.pick(1000, 300)
    redirected, through_cat = Samples(), Samples()
    ours = {title: Samples() for title in PLANS}
    for _ in range(setting.pick(5, 2)):
        redirected.add(by_shell(setting, megabytes, "exec {} > {}"))
        through_cat.add(by_shell(setting, megabytes, "{} | cat > {}"))
        for title, (attributes, more, files, _) in PLANS.items():
            ours[title].add(by_daemon(setting, megabytes, attributes, more, files))
    bound = "shell redirection"
    yield Row("`| cat >`", "MB/s", through_cat, redirected, bound, compare="times")
    for title, (_, _, _, goal) in PLANS.items():
        yield Row(title, "MB/s", ours[title], redirected, bound, goal=goal, compare="times")


def by_shell(setting, megabytes, line):
    """MB of the program's own output in a second, until the file has all of it."""
    fifo, target = setting.dir / "go", setting.dir / "shell.log"
    with fresh_fifo(fifo):
        command = line.format(f"{setting.helper('noise')} {megabytes} {fifo}", target)
        process = subprocess.Popen(["/bin/sh", "-c", command], start_new_session=True)
        try:
            return measured(fifo, {target: megabytes * 1_000_000}, megabytes)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            target.unlink()


def by_daemon(setting, megabytes, attributes, more, files):
    fifo = setting.dir / "go"
    with fresh_fifo(fifo), setting.daemon() as daemon:
        file = setting.apps_file(1, [setting.helper("noise"), str(megabytes), str(fifo)],
                                 name="noise", **attributes)
        daemon.timed("start", "--no-wait", file)
        size = megabytes * 1_000_000 // LINE * (LINE + more)
        try:
            return measured(fifo, {daemon.home / "logs" / name: size for name in files},
                            megabytes)
        finally:
            daemon.timed("delete", "all")
            for name in files:
                (daemon.home / "logs" / name).unlink()


def measured(fifo, wanted, megabytes):
    with open(fifo, "rb"):
        begin = time.monotonic()
        while any(not file.exists() or file.stat().st_size < size
                  for file, size in wanted.items()):
            time.sleep(0.001)
        return megabytes / (time.monotonic() - begin)


@contextlib.contextmanager
def fresh_fifo(path):
    os.mkfifo(path)
    try:
        yield
    finally:
        path.unlink()
