#!/usr/bin/env python3
"""Says something every second, and complains now and then."""
import itertools
import sys
import time

for number in itertools.count():
    print(f"order {number} has been paid", flush=True)
    if number % 10 == 9:
        print(f"order {number}: the payment took long", file=sys.stderr, flush=True)
    time.sleep(1)
