#!/usr/bin/env python3
"""Counts requests in Redis, or for itself where $REDIS_HOST is not set. Its socket comes from
clusterctl, so two instances share it and a reload loses no request; another one is for probes."""
import http.server
import itertools
import json
import os
import signal
import socket
import threading

FIRST_PASSED_FD = 3  # see sd_listen_fds(3)
own_hits = itertools.count(1)


def count():
    host = os.environ.get("REDIS_HOST")
    if not host:
        return next(own_hits)
    with socket.create_connection((host, 6379), timeout=2) as redis:
        redis.sendall(b"INCR hits\r\n")
        return int(redis.makefile("rb").readline()[1:])  # ":42"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = {"pid": os.getpid()}
        if self.path != "/health":
            answer["hits"] = count()
        body = json.dumps(answer).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        if self.path != "/health":
            print(format % args)


def serve(descriptor):
    listener = socket.socket(fileno=descriptor)
    server = http.server.ThreadingHTTPServer(listener.getsockname(), Handler,
                                             bind_and_activate=False)
    server.socket.close()  # its own, which was never bound
    server.socket = listener
    server.serve_forever()


# When it comes, clusterctl has seen to it that nothing is in hand.
signal.signal(signal.SIGINT, signal.SIG_DFL)
print("up")
for number in range(int(os.environ["LISTEN_FDS"])):
    threading.Thread(target=serve, args=[FIRST_PASSED_FD + number]).start()
