#!/usr/bin/env python3
"""Deaf to SIGINT and SIGTERM, and so are its child and grandchild: only SIGKILL ends them."""
import os
import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
first = os.getpid()
ends = os.pipe()
if os.fork() == 0 and os.fork() == 0:
    os.write(ends[1], b"x")
elif os.getpid() == first:
    os.read(ends[0], 1)  # the grandchild is there
    print("ready", flush=True)
while True:
    signal.pause()
