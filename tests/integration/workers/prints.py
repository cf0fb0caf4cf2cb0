#!/usr/bin/env python3
"""prints.py COUNT [stay]: COUNT numbered lines on stdout and on stderr, then half a line on stdout;
then it dies without a newline, or stays."""
import os
import signal
import sys

for number in range(int(sys.argv[1])):
    os.write(1, f"out {number}\n".encode())
    os.write(2, f"err {number}\n".encode())
os.write(1, b"half a li")
if "stay" in sys.argv:
    while True:
        signal.pause()
os._exit(3)
