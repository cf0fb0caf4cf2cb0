"""clusterapp as the integration tests start it: alone, on a free port of 127.0.0.1, with a DATA_DIR
of its own, its log in a file (a pipe that nobody reads would hold it up), and plain sockets to it.
"""

import contextlib
import fcntl
import http.client
import json
import os
import re
import socket
import subprocess
import sys

import openapi
from harness import BIN, ClusterTestCase, wait_for

# Puts the sockets where LISTEN_FDS says that they are, as a supervisor does between fork and exec.
HAND_OVER = """
import os, sys
count = int(sys.argv[1])
for index in range(count):
    os.dup2(int(sys.argv[2 + index]), 3 + index)
    os.close(int(sys.argv[2 + index]))
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(count)
os.execv(sys.argv[2 + count], sys.argv[2 + count:])
"""


#: What it says on stderr when nothing is wrong: that it serves one host alone.
ONE_HOST = ("Rate limiter uses the embedded store", "Socket.IO running without Redis")


class Client:
    """A plain socket: sends what it is told and reads answers one by one."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(10)
        self.rest = b""
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise

    def send(self, data):
        self.socket.sendall(data)
        return self

    def get(self, path, *headers):
        lines = [f"GET {path} HTTP/1.1", "Host: test", *headers]
        return self.send("\r\n".join(lines + ["", ""]).encode())

    def _more(self):
        data = self.socket.recv(65536)
        self.rest += data
        return data

    def answer(self, body=True):
        """(status, headers with lower-case names, body) of the next answer."""
        while b"\r\n\r\n" not in self.rest:
            if not self._more():
                raise EOFError(f"no answer, only {self.rest!r}")
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        size = int(headers.get("content-length", 0)) if body else 0
        while len(self.rest) < size:
            if not self._more():
                raise EOFError("half an answer")
        text, self.rest = self.rest[:size].decode(), self.rest[size:]
        return int(first.split()[1]), headers, text

    def at_end(self):
        """True when the server has closed its side in the polite way and sent nothing more."""
        return self.rest == b"" and self.socket.recv(1) == b""

    def close(self):
        self.socket.close()


class Answer:
    """What came back: `status`, `headers` (lower-case names), `text`, and `json` of it."""

    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text

    @property
    def json(self):
        return json.loads(self.text)

    def __repr__(self):
        return f"Answer({self.status}, {self.text!r})"


class App:
    """One running clusterapp, or another `program` with its settings. `case` ends it."""

    count = 0

    def __init__(self, case, sockets=(), args=(), program="clusterapp", **env):
        App.count += 1
        self.port = None
        self.out = case.dir / f"app-{App.count}.out"
        self.err = case.dir / f"app-{App.count}.err"
        settings = {"HOST": "127.0.0.1", "PORT": "0", "DATA_DIR": str(case.dir / "data")} | env
        command = [str(BIN / program), *args]
        high = [fcntl.fcntl(one, fcntl.F_DUPFD, 100) for one in sockets]
        if high:
            command = [sys.executable, "-c", HAND_OVER, str(len(high)), *map(str, high), *command]
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(command, env=case.environment(settings), cwd=case.dir,
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            pass_fds=high)
        for fd in high:
            os.close(fd)
        self.pid = self.process.pid

    def log(self):
        """The entries that it has written to stdout so far."""
        lines = self.out.read_text(errors="replace").split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def complaints(self):
        """The entries on stderr, without those that say that it serves one host alone."""
        return [json.loads(line) for line in self.wrong().split("\n")[:-1]]

    def wrong(self):
        """The text of stderr, without those."""
        lines = self.err.read_text().splitlines(keepends=True)
        return "".join(line for line in lines if not any(text in line for text in ONE_HOST))

    def said(self, message, deadline=20.0):
        """The first entry with this message; waits for it."""
        def look():
            found = [entry for entry in self.log() if entry["message"] == message]
            if not found and self.process.poll() is not None:
                raise AssertionError(f"it has ended: {self.err.read_text()}{self.out.read_text()}")
            return found
        return wait_for(look, deadline, f'"{message}" in its log')[0]

    def listens(self):
        """The first address that it listens on; waits for it. Sets `port` if it has one."""
        def look():
            if self.process.poll() is not None:
                raise AssertionError(f"it has ended: {self.err.read_text()}{self.out.read_text()}")
            return [entry["message"] for entry in self.log()
                    if entry["message"].startswith("listening on ")]
        label = wait_for(look, what="a listening socket")[0].split()[2]
        port = re.search(r":(\d+)$", label)
        self.port = int(port[1]) if port else None
        return label

    def request(self, method, path, body=None, token=None, headers=None, check=True, timeout=10.0):
        """One request on a connection of its own; a body that is no text becomes JSON. With
        `check` the answer must be as the OpenAPI description says."""
        send = {"Connection": "close"} | (headers or {})
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
            send.setdefault("Content-Type", "application/json")
        if token is not None:
            send["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            connection.request(method, path, body, send)
            raw = connection.getresponse()
            answer = Answer(raw.status, {name.lower(): value for name, value in raw.getheaders()},
                            raw.read().decode())
        if check:
            openapi.check(method, path, answer.status, answer.headers, answer.text)
        return answer

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.request("POST", path, body, **options)

    def terminate(self):
        self.process.terminate()
        return self

    def ended(self, deadline=20.0):
        """(exit code, what is `wrong`) once it has ended by itself."""
        return self.process.wait(deadline), self.wrong()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class AppTestCase(ClusterTestCase):
    def setUp(self):
        super().setUp()
        self.apps = []
        self.clients = []

    def tearDown(self):
        for client in self.clients:
            client.close()
        for app in self.apps:
            app.kill()
        super().tearDown()

    program = "clusterapp"

    def start(self, sockets=(), args=(), **env):
        """Starts the program; by default on a free port of 127.0.0.1."""
        app = App(self, sockets, args, self.program, **env)
        self.apps.append(app)
        return app

    def started(self, **env):
        """Starts it and waits until it listens. Sets self.port."""
        app = self.start(**env)
        app.listens()
        self.port = app.port
        return app

    def client(self, address=None):
        client = Client(address or ("127.0.0.1", self.port))
        self.clients.append(client)
        return client
