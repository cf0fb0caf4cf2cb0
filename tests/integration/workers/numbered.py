#!/usr/bin/env python3
"""Writes numbered lines to stdout, two megabytes a second, until SIGINT. Then it ends the line that
it is in, and leaves how many there are in $PROGRESS/RUN; each line begins with that RUN."""
import os
import signal
import time

LINES = 20  # of each write
PAUSE_S = 0.002


def line(run, number):
    return b"%s %d %s\n" % (run, number, b"x" * (number % 331))


def write_whole(data):
    while data:
        data = data[os.write(1, data):]


def main():
    asked = []
    signal.signal(signal.SIGINT, lambda *_: asked.append(True))
    run = f"{time.monotonic_ns():016}-{os.getpid()}".encode()
    count = 0
    while not asked:
        write_whole(b"".join(line(run, count + n) for n in range(LINES)))
        count += LINES
        time.sleep(PAUSE_S)
    path = os.path.join(os.fsencode(os.environ["PROGRESS"]), run)
    with open(path + b".part", "w") as out:
        out.write(str(count))
    os.rename(path + b".part", path)


if __name__ == "__main__":
    main()
