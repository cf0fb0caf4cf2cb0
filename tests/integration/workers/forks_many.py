#!/usr/bin/env python3
"""forks_many.py COUNT: starts so many processes that do nothing, prints how many there are, and
stays."""
import os
import signal
import sys

started = 0
for _ in range(int(sys.argv[1])):
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        signal.pause()
    started += 1
print("started", started, flush=True)
while True:
    signal.pause()
