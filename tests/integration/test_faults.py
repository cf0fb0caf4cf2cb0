#!/usr/bin/env python3
"""Random faults against a daemon at work: tests/fault/run.py, with another seed each time.

CLUSTER_FAULT_STEPS is their number (1,000, or 60 in a sanitized build), CLUSTER_FAULT_SEED repeats
a run.
"""
import os
import random
import subprocess
import sys
import unittest

from harness import BIN, ROOT, SANITIZED

STEPS = int(os.environ.get("CLUSTER_FAULT_STEPS", "60" if SANITIZED else "1000"))
SEED = int(os.environ.get("CLUSTER_FAULT_SEED", random.randrange(1 << 32)))


class Faults(unittest.TestCase):
    def test_random_kills_lose_and_double_nothing(self):
        print(f"seed {SEED}", flush=True)
        command = [sys.executable, ROOT / "tests/fault/run.py", "--seed", SEED, "--steps", STEPS]
        done = subprocess.run(list(map(str, command)), env=os.environ | {"CLUSTER_BIN": str(BIN)},
                              stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
