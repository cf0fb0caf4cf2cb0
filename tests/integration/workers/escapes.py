#!/usr/bin/env python3
"""Starts a grandchild that gets away: a session of its own, no parent, an empty environment. Prints
its pid and stays."""
import os
import signal
import time

reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(writer, f"{os.getpid()}\n".encode())
        os.closerange(0, 1000)
        os.execve("/bin/sleep", ["sleep", "1000000"], {})
    os._exit(0)
os.wait()
print("escaped", os.read(reader, 100).decode().strip(), flush=True)
while True:
    signal.pause()
