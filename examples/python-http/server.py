#!/usr/bin/env python3
"""Python's own http.server on every socket that clusterctl hands over. No signal handler."""
import http.server
import json
import os
import socket
import threading

FIRST_PASSED_FD = 3  # see sd_listen_fds(3)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open

    def do_GET(self):
        body = json.dumps({"path": self.path, "pid": os.getpid()}).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(descriptor):
    listener = socket.socket(fileno=descriptor)
    server = http.server.ThreadingHTTPServer(listener.getsockname(), Handler,
                                             bind_and_activate=False)
    server.socket.close()  # its own, which was never bound
    server.socket = listener
    server.serve_forever()


for number in range(int(os.environ["LISTEN_FDS"])):
    threading.Thread(target=serve, args=[FIRST_PASSED_FD + number]).start()
