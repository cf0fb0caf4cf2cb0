#!/usr/bin/env python3
"""broken_version.py HOW: a new version that is no good. HOW is `crash` (ends at once with 7),
`deaf` (never gets ready) or `soak` (says that it is ready by NOTIFY_SOCKET, then ends with 7)."""
import os
import signal
import socket
import sys
import time

how = sys.argv[1]
if how == "deaf":
    signal.pause()
if how == "soak":
    path = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", "\0" + path[1:] if path[0] == "@" else path)
    time.sleep(0.1)
print(f"{how}: about to end with 7", file=sys.stderr, flush=True)
os._exit(7)
