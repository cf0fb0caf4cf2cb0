"""One connection to the daemon (docs/protocol.md), which may break at any time."""

import json
import socket


class Broken(Exception):
    """There is no daemon, or the connection ended before the answer."""


class Refused(Exception):
    """The daemon has answered with an error."""

    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['message']} {json.dumps(error.get('data'))}")
        self.code = error["code"]


class Client:
    def __init__(self, home, timeout=10.0):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.file = None
        self.about = None  # the answer to hello, once another one has come
        self.requests = 0
        try:
            self.socket.connect(f"{home}/clusterd.sock")
        except OSError as error:
            self.socket.close()
            raise Broken(f"connect: {error}") from None
        self.file = self.socket.makefile("rb")
        self._send("hello", {"protocol": 1, "client": "fault runner"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.file:
            self.file.close()
        self.socket.close()

    def begin(self, method, **params):
        """Sends a request; `finish` waits for its answer."""
        self._send(method, params)

    def finish(self):
        """The result of the last request."""
        while True:
            message = self._receive()
            if "method" in message:
                continue  # progress
            if message["id"] != self.requests:
                self.about = message.get("result")
                continue
            if "error" in message:
                raise Refused(message["error"])
            return message["result"]

    def call(self, method, **params):
        self.begin(method, **params)
        return self.finish()

    def _send(self, method, params):
        self.requests += 1
        request = {"jsonrpc": "2.0", "id": self.requests, "method": method, "params": params}
        try:
            self.socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise Broken(f"send: {error}") from None

    def _receive(self):
        try:
            line = self.file.readline()
        except OSError as error:
            raise Broken(f"receive: {error}") from None
        if not line.endswith(b"\n"):
            raise Broken("the connection has ended")
        return json.loads(line)


def ask(home, method, **params):
    """One request on a connection of its own."""
    with Client(home) as client:
        return client.call(method, **params)
