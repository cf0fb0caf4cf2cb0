#!/usr/bin/env python3
"""crash.py CODE [SECONDS]: writes to stderr and exits with CODE, at once or after SECONDS. A CODE
like SIGSEGV is the signal to die of."""
import os
import signal
import sys
import time

code = sys.argv[1]
if len(sys.argv) > 2:
    time.sleep(float(sys.argv[2]))
print(f"about to end with {code}", file=sys.stderr, flush=True)
if code.startswith("SIG"):
    os.kill(os.getpid(), signal.Signals[code])
    signal.pause()
os._exit(int(code))
