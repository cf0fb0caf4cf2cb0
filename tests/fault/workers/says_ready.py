#!/usr/bin/env python3
"""Sends READY=1 to $NOTIFY_SOCKET and sleeps.

Like sd_notify(3), whose callers are told to ignore what it returns, it goes on when nobody is
there to hear it.
"""
import contextlib
import os
import signal
import socket

address = os.environ["NOTIFY_SOCKET"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer, contextlib.suppress(OSError):
    peer.sendto(b"READY=1", "\0" + address[1:] if address[0] == "@" else address)
signal.signal(signal.SIGINT, signal.SIG_DFL)
while True:
    signal.pause()
