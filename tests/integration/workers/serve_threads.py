#!/usr/bin/env python3
"""The standard library's threaded HTTP server on the socket that it was given (LISTEN_FDS), as many
people write it: keep-alive, and not a thought about signals."""
import http.server
import json
import os
import socket
import time
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/version":
            said = {"version": os.environ.get("VERSION"), "pid": os.getpid()}
        else:
            if url.path == "/slow":
                time.sleep(int(query["ms"]) / 1000)
            said = {"id": query.get("id"), "pid": os.getpid()}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
server.serve_forever()
