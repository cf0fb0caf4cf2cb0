"""A TCP proxy that can hold back what clients send: it is on its way, and has not arrived."""

import contextlib
import socket
import threading


class HoldingProxy:
    """Listens on `port` of 127.0.0.1 and passes on to `server`. While `way` is not set, what clients
    send waits here; what the server sends always passes."""

    def __init__(self, server):
        self.server = server
        self.way = threading.Event()
        self.way.set()
        self.held = 0  # bytes
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = [self.listener]
        self.threads = []
        self._spawn(self._accept)

    def _spawn(self, run, *args):
        thread = threading.Thread(target=run, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):  # `close` ends it
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server))
                self.sockets += [client, server]
                self._spawn(self._pump, client, server, True)
                self._spawn(self._pump, server, client, False)

    def _pump(self, source, target, may_be_held):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if may_be_held and not self.way.is_set():
                    self.held += len(data)
                    self.way.wait(60)
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self):
        self.way.set()
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
        for one in self.sockets:
            one.close()
