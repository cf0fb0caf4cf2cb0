#!/usr/bin/env python3
"""memory_hog.py MEGABYTES [child]: touches so much memory and keeps it, itself or in a child."""
import os
import signal
import sys

if "child" not in sys.argv or os.fork() == 0:
    held = b"x" * (int(sys.argv[1]) << 20)
    print("holding", len(held), flush=True)
while True:
    signal.pause()
