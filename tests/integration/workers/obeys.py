#!/usr/bin/env python3
"""Does what its variables say. Serves HTTP on all sockets of LISTEN_FDS, or on PORT, if any.

JOURNAL  a file that gets the lines "started NAME PID", "ready NAME PID" and "ended NAME PID"
CRASH    the instance that ends with 7 at once
GO       a file to wait for; then it serves, sends READY=1 and prints "listening on 3001"
SAY_ON   the descriptor for that, 1 by default
EXIT     an exit code to end with after that
SICK     while the file SICK.INSTANCE is there, every answer is 503
QUIET    while this file is there, no WATCHDOG=1 is sent; each one prints "beat"
LINGER   seconds from SIGINT to the end

SIGUSR1 makes it take 64 MB of memory.
"""
import http.server
import json
import os
import signal
import socket
import struct
import sys
import threading
import time

env = os.environ
instance = env.get("NODE_APP_INSTANCE", "0")
held = []


def write(event):
    if "JOURNAL" in env:
        with open(env["JOURNAL"], "a") as journal:
            journal.write(f"{event} {env['name']} {os.getpid()}\n")


def end(*_):
    time.sleep(float(env.get("LINGER", 0)))
    write("ended")
    os._exit(0)


def notify(text):
    address = env["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.sendto(text, "\0" + address[1:] if address[0] == "@" else address)


def about(listener):
    """The options of a listening socket, as the kernel has them."""
    said = {"inode": os.fstat(listener.fileno()).st_ino}
    if listener.family == socket.AF_INET6:
        said["ipv6_only"] = listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    if listener.family != socket.AF_UNIX:
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        said["backlog"] = struct.unpack_from("I", info, 28)[0]  # tcpi_sacked, man 7 tcp
    return said


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        sick = "SICK" in env and os.path.exists(f"{env['SICK']}.{instance}")
        said = {"pid": os.getpid(), "instance": instance, "names": env.get("LISTEN_FDNAMES"),
                "listener": about(self.server.socket)}
        if self.connection.family != socket.AF_UNIX:
            said["nodelay"] = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        body = json.dumps(said).encode()
        print(503 if sick else 200, self.path, flush=True)
        self.send_response(503 if sick else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def listeners():
    if "LISTEN_FDS" in env:
        return [socket.socket(fileno=3 + at) for at in range(int(env["LISTEN_FDS"]))]
    if "PORT" in env:
        return [socket.create_server(("127.0.0.1", int(env["PORT"])))]
    return []


def serve(listener):
    server = http.server.ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever(poll_interval=60)


signal.signal(signal.SIGINT, end)
signal.signal(signal.SIGUSR1, lambda *_: held.append(b"x" * (64 << 20)))
write("started")
if env.get("CRASH") == instance:
    print("about to end with 7", file=sys.stderr, flush=True)
    os._exit(7)
os.write(int(env.get("SAY_ON", 1)), b"not yet listening on 3001\n")
while "GO" in env and not os.path.exists(env["GO"]):
    time.sleep(0.01)
for passed in listeners():
    threading.Thread(target=serve, args=[passed], daemon=True).start()
write("ready")
if "NOTIFY_SOCKET" in env:
    notify(b"READY=1\nSTATUS=at work")
os.write(int(env.get("SAY_ON", 1)), b"listening on 3001\n")
if "EXIT" in env:
    os._exit(int(env["EXIT"]))
while "WATCHDOG_USEC" in env:
    if not os.path.exists(env["QUIET"]):
        notify(b"WATCHDOG=1")
        os.write(1, b"beat\n")
    time.sleep(0.05)
while True:
    signal.pause()
