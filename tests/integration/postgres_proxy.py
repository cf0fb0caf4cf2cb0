"""A TCP proxy before PostgreSQL that loses the connection exactly at a COMMIT: before it gets to the
server, or after the server has done it and before anybody is told.

Both are found by the bytes (PostgreSQL's protocol 3, message formats): what asks for the COMMIT goes
out together with `marker`, which the test puts into the row; its CommandComplete comes back as such.
"""

import contextlib
import socket
import threading

# 'C', the length of what follows with itself, the command's tag.
COMMITTED = b"C\0\0\0\x0bCOMMIT\0"


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes on to `server`, until `cut_at` is set."""

    def __init__(self, server, marker):
        self.server, self.marker = server, marker
        self.cut_at = None  # "going out", "coming back", or None: never
        self.stays_away = False  # after the cut nobody gets through
        self.away = False
        self.cuts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = []
        self.sockets = []
        self._spawn(self._accept)

    def _spawn(self, run, *args):
        thread = threading.Thread(target=run, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):  # `close` ends it
            while True:
                client, _ = self.listener.accept()
                if self.away:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.server))
                self.sockets += [client, server]
                link = _Link(self, client, server)
                self._spawn(link.pump, client, server, link.is_going_out)
                self._spawn(link.pump, server, client, link.is_coming_back)

    def has_cut(self):
        self.away = self.stays_away
        self.cut_at = None
        self.cuts += 1

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
        for one in self.sockets:
            one.close()


class _Link:
    """One connection of the app's and what it has asked for."""

    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.asked = False  # the marker has gone to the server
        self.sent = self.came = b""  # the ends of what was passed on: a word may come in two parts

    def is_going_out(self, data):
        whole, self.sent = self.sent + data, data[-100:]
        if self.proxy.marker in whole:
            self.asked = True
        return self.asked and self.proxy.cut_at == "going out"

    def is_coming_back(self, data):
        whole, self.came = self.came + data, data[-100:]
        return self.asked and self.proxy.cut_at == "coming back" and COMMITTED in whole

    def pump(self, source, target, is_it):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_it(data):
                    self.proxy.has_cut()
                    break
                target.sendall(data)
        for one in (self.client, self.server):  # closed by the proxy, once nobody uses them
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
