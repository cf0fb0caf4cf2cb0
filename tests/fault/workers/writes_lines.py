#!/usr/bin/env python3
"""Writes numbered lines to stdout, every eighth to stderr, some hundred a second, until SIGTERM
(which, unlike SIGINT, also ends a Python that is still starting without a word).

Each line names its run, and its text follows from run, stream and number, so that whoever reads the
file can tell a lost, a doubled and a damaged line; now and then one has LONGEST bytes. How many
lines of each stream have been written whole stands in $PROGRESS/RUN, also after a SIGKILL.
"""
import os
import signal
import struct
import time

PAUSE_S = 0.003
STREAMS = ("out", "err")
COUNTS = struct.Struct("QQ")  # of STREAMS


def line(run, stream, number, longest):
    """Line `number` of that stream, without its newline. Most are short."""
    size = longest if number % 499 == 498 else 5_000 if number % 61 == 60 else number % 50
    return f"{run} {stream} {number} {'x' * size}.".encode()


def write_whole(fd, data):
    while data:
        data = data[os.write(fd, data):]


def main():
    longest = int(os.environ["LONGEST"])
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    run = f"{os.getpid()}-{time.monotonic_ns():x}"
    progress = os.open(f"{os.environ['PROGRESS']}/{run}", os.O_WRONLY | os.O_CREAT, 0o644)
    counts = [0, 0]
    while not asked:
        at = sum(counts) % 8 == 7
        write_whole(1 + at, line(run, STREAMS[at], counts[at], longest) + b"\n")
        counts[at] += 1
        os.pwrite(progress, COUNTS.pack(*counts), 0)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
