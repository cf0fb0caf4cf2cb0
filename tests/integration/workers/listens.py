#!/usr/bin/env python3
"""Answers HTTP on the socket that it was given (LISTEN_FDS) with its pid and instance number."""
import http.server
import os
import signal
import socket
import sys

if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS", "0") == "0":
    sys.exit("no socket was passed to me")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.getpid()} {os.environ.get('NODE_APP_INSTANCE')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
print("ready", flush=True)
server.serve_forever(poll_interval=60)
