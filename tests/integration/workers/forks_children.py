#!/usr/bin/env python3
"""A tree that is easy to lose: a child, a grandchild, one in a session of its own, and one that
was forked twice, so that its parent is gone. Prints {"pids": {...}} when all of them are there.

With an exit code as argument the first process then ends with it and leaves the others alone.
"""
import json
import os
import signal
import sys

reader, writer = os.pipe()


def report(name):
    os.write(writer, f"{name} {os.getpid()}\n".encode())


def rest():
    while True:
        signal.pause()


def child():
    report("child")
    if os.fork() == 0:
        report("grandchild")
    rest()


def session():
    os.setsid()
    report("session")
    rest()


def daemon():
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    report("daemon")
    rest()


for role in (child, session, daemon):
    if os.fork() == 0:
        role()
lines = b""
while lines.count(b"\n") < 4:
    lines += os.read(reader, 4096)
pids = dict(line.split() for line in lines.decode().splitlines())
print(json.dumps({"pids": {name: int(pid) for name, pid in pids.items()}}), flush=True)
if len(sys.argv) > 1:
    os._exit(int(sys.argv[1]))
rest()
