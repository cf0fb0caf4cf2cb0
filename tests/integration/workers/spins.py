#!/usr/bin/env python3
"""Uses as much of one CPU as it gets."""
while True:
    pass
