#!/usr/bin/env python3
"""memory_swings.py MEGABYTES: spins; takes so much memory at SIGUSR1, gives it back at SIGUSR2."""
import mmap
import signal
import sys

held = []


def take(*_):
    memory = mmap.mmap(-1, int(sys.argv[1]) << 20)
    for page in range(0, len(memory), mmap.PAGESIZE):
        memory[page] = 1
    held.append(memory)


def give_back(*_):
    held.pop().close()


signal.signal(signal.SIGUSR1, take)
signal.signal(signal.SIGUSR2, give_back)
print("ready", flush=True)
while True:
    pass
