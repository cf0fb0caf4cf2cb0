#!/usr/bin/env python3
"""Sends READY=1 to $NOTIFY_SOCKET and sleeps."""
import os
import signal
import socket

address = os.environ["NOTIFY_SOCKET"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
    peer.sendto(b"READY=1", "\0" + address[1:] if address[0] == "@" else address)
signal.signal(signal.SIGINT, signal.SIG_DFL)
while True:
    signal.pause()
