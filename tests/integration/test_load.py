#!/usr/bin/env python3
"""The load generator counts each kind of loss where it belongs, and nothing else."""
import base64
import collections
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import tempfile
import threading
import unittest

from harness import free_port, wait_for
from load import Load

RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close sends RST


def chunked(body):
    half = len(body) // 2
    parts = (b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + b"0\r\n\r\n"


class FaultyServer:
    """A server that does wrong by plan, and counts what it did.

    `plan(connection, request)` gets the number of the connection and that of the request on it,
    both from 1, and names a fault or says None.
    """

    def __init__(self, plan, path=None):
        self.plan = plan
        self.inflicted = collections.Counter()
        self.requests_of = collections.Counter()  # connection: requests read from it
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            self.listener.listen(2)  # soon full
        else:
            self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
            self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        number = 0
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                number += 1
                threading.Thread(target=self.serve, args=(client, number), daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
        self.listener.close()

    def serve(self, client, connection):
        with client, client.makefile("rb") as stream, contextlib.suppress(OSError, ValueError):
            request = 0
            # At the end of the stream lines are empty; such a head is the last one.
            while head := b"".join(iter(lambda: stream.readline() or b"\r\n", b"\r\n")).decode():
                request += 1
                self.requests_of[connection] += 1
                fault = self.plan(connection, request)
                self.inflicted[fault] += 1
                if "Upgrade: websocket" in head:
                    return self.serve_websocket(client, stream, head, fault)
                if not self.answer(client, re.search(r"id=(\S+)", head)[1], fault):
                    return None
                if "Connection: close" in head:
                    return None

    def answer(self, client, token, fault):
        """False when the connection shall end."""
        body = json.dumps({"id": token, "pid": os.getpid()}).encode()
        if fault == "wrong id":
            body = body.replace(token.encode(), b"another")
        status = b"500 Oops" if fault == "status" else b"200 OK"
        closes = b"Connection: close\r\n" if fault == "says close" else b""
        whole = b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, closes, len(body), body)
        if fault in ("reset", "reset in body"):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if fault in ("chunked", "cut chunk"):
            whole = chunked(body)
        if fault in ("cut", "cut chunk", "reset in body"):
            client.sendall(whole[:-20])
        elif fault == "garbage":
            client.sendall(b"what?\r\n\r\n")
        elif fault == "until the end":
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        elif fault == "answers and ends":
            client.send(whole, socket.MSG_MORE)  # the end comes in the packet of the answer
        elif fault not in ("reset", "end", "ignore"):
            client.sendall(whole)
        return fault in (None, "ignore", "wrong id", "status", "says close", "chunked")

    def serve_websocket(self, client, stream, head, fault):
        key = re.search(r"Sec-WebSocket-Key: (\S+)", head)[1]
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        client.sendall(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n\r\n"
                       % base64.b64encode(digest))
        for message in range(4):
            first, size = stream.read(2)
            mask = stream.read(4)
            text = bytes(byte ^ mask[i % 4] for i, byte in enumerate(stream.read(size & 0x7F)))
            if first != 0x81 or (fault == "websocket drops a message" and message == 3):
                return
            body = json.dumps({"id": text.decode(), "pid": os.getpid()}).encode()
            answer = b"\x89\0" + bytes([0x81, len(body)]) + body  # a ping before each
            if message == 3 and fault == "websocket says 1001":
                client.sendall(answer + b"\x88\x02" + (1001).to_bytes(2, "big"))
                stream.read()
                return
            client.send(answer, socket.MSG_MORE if message == 3 else 0)
            if message < 3 and stream.read(6)[0] != 0x8A:
                raise ValueError("no pong")


def every(number, fault):
    """A plan: the first request of each n-th connection."""
    return lambda connection, request: (
        fault if connection % number == 0 and request == 1 else None)


def at_request(number, fault):
    """A plan: that request of each connection. When it is the first, only of every second one; the
    others end well after their second batch."""
    def plan(connection, request):
        if request == number and (number > 1 or connection % 2):
            return fault
        return "says close" if request == 8 else None
    return plan


class LoadTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ct.", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.dir)

    def run_against(self, plan, kinds, enough=lambda server: True, path=None, **options):
        server = FaultyServer(plan, path)
        self.addCleanup(server.close)
        where = {"unix": path} if path else {"port": server.port}
        with Load(kinds=kinds, **where, **({"think": 2} | options)) as load:
            load.wait_for(5)
            wait_for(lambda: enough(server), what="enough faults")
            result = load.stop()
        return server, result

    def test_each_fault_is_counted_in_its_class(self):
        rows = [
            # kinds, plan, fault, lost requests per fault: {(stage, cause): n}
            ("new=4", every(5, "reset"), {("before answer", "reset"): 1}),
            ("new=4", every(5, "end"), {("before answer", "eof"): 1}),
            ("new=4", every(5, "cut"), {("in answer", "eof"): 1}),
            ("new=4", every(5, "reset in body"), {("in answer", "reset"): 1}),
            ("new=4", every(5, "wrong id"), {("body", "wrong id"): 1}),
            ("new=4", every(5, "status"), {("status", "500"): 1}),
            ("new=4", every(5, "garbage"), {("malformed", "no HTTP answer"): 1}),
            ("new=4", every(5, "cut chunk"), {("in answer", "eof"): 1}),
            ("new=4", every(5, "chunked"), {}),
            ("new=4", every(5, "until the end"), {}),
            ("kept=4", at_request(1, "reset"), {("before answer", "reset"): 1}),
            ("kept=4", at_request(1, "end"), {("before answer", "eof"): 1}),
            ("kept=4", at_request(3, "reset"), {("raced", "reset"): 1}),
            ("kept=4", at_request(3, "end"), {("raced", "eof"): 1}),
            ("kept=4", at_request(3, "cut"), {("in answer", "eof"): 1}),
            ("kept=4", at_request(3, "says close"), {}),
            ("slow=4", at_request(3, "status"), {("status", "500"): 1}),
            ("pipelined=2", at_request(1, "end"), {("before answer", "eof"): 4}),
            ("pipelined=2", at_request(3, "end"), {("raced", "eof"): 2}),
            ("pipelined=2", at_request(5, "reset"), {("raced", "reset"): 4}),
            ("pipelined=2", at_request(6, "cut"), {("in answer", "eof"): 1, ("raced", "eof"): 2}),
            ("pipelined=2", at_request(2, "says close"), {("raced", "Connection: close"): 2}),
            ("pipelined=2", at_request(4, "says close"), {}),
            ("pipelined=2", at_request(7, "garbage"), {("malformed", "no HTTP answer"): 2}),
        ]
        for kinds, plan, expected in rows:
            fault = plan(5, 1) or next(filter(None, (plan(5, n) for n in range(1, 9))))
            with self.subTest(kinds=kinds, fault=fault, expected=expected):
                server, result = self.run_against(plan, kinds,
                                                  lambda it: it.inflicted[fault] >= 3)
                times = server.inflicted[fault]
                got = {(stage, cause): count for stage, causes in result.lost().items()
                       for cause, count in causes.items()}
                self.assertEqual(got, {place: n * times for place, n in expected.items()}, result)
                self.assertEqual(result.raced, sum(n * times for (stage, _), n in expected.items()
                                                   if stage == "raced"))
                self.assertEqual(result.failed + result.raced, sum(got.values()))
                self.assertGreater(result.done, 0)
                self.assertEqual(result.pids, {os.getpid()})

    def test_two_faults_at_once_among_good_answers(self):
        def plan(connection, request):
            if connection % 50 == 0:
                return "reset"
            return "cut" if connection % 70 == 0 else None
        server, result = self.run_against(
            plan, "new=8,kept=2", lambda it: it.inflicted["reset"] and it.inflicted["cut"])
        self.assertEqual(result.lost(), {
            "before answer": {"reset": server.inflicted["reset"]},
            "in answer": {"eof": server.inflicted["cut"]}})
        self.assertEqual(result.done, server.inflicted[None])
        self.assertEqual((result.raced, result["kinds"]["kept"]["failed"]), (0, 0))
        first = result["failures"][0]
        self.assertEqual((first["kind"], first["stage"]), ("new", "before answer"))

    def test_a_pipelined_request_that_is_ignored_times_out_alone(self):
        server, result = self.run_against(at_request(8, "ignore"), "pipelined=2", timeout=1.0,
                                          enough=lambda it: it.inflicted["ignore"] >= 2)
        self.assertEqual(result.lost(), {"timeout": {"before answer": server.inflicted["ignore"]}})

    def test_answers_in_the_wrong_places_are_wrong_answers(self):
        server, result = self.run_against(lambda _, request: "ignore" if request == 6 else None,
                                          "pipelined=2", timeout=1.0,
                                          enough=lambda it: it.inflicted["ignore"] >= 2)
        times = server.inflicted["ignore"]
        self.assertEqual(result.lost(), {"body": {"wrong id": 2 * times},
                                         "timeout": {"before answer": times}})

    def test_a_kept_connection_that_ends_between_answers_is_no_loss(self):
        # A pause that outlasts any delay of the server between its answer and the end.
        server, result = self.run_against(at_request(3, "answers and ends"), "kept=16", think=500,
                                          enough=lambda it: it.inflicted["answers and ends"] > 24)
        self.assertEqual((result.failed, result.raced), (0, 0), result)
        # Of 16 clients each must have seen its first end before it can bring about a second one.
        self.assertGreater(result["kinds"]["kept"]["closes"]["eof"], 8)
        self.assertEqual(result.done, sum(server.inflicted.values()))

    def test_connection_close_in_an_answer_is_honoured(self):
        server, result = self.run_against(at_request(1, "says close"), "kept=4",
                                          lambda it: it.inflicted["says close"] > 10)
        self.assertEqual({count for number, count in server.requests_of.items() if number % 2}, {1})
        self.assertEqual((result.failed, result.raced), (0, 0), result)

    def test_nobody_there_is_refused_and_a_full_backlog_is_a_timeout(self):
        with Load(free_port(), kinds="new=2,kept=2,pipelined=1,websocket=1") as load:
            result = load.wait_for(2).stop()
        self.assertEqual(list(result.lost()), ["connect refused"])
        self.assertEqual((result.done, result.raced), (0, 0))
        with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
            port = silent.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)), \
                    Load(port, kinds="new=2", timeout=0.3) as load:
                result = load.wait_for(2).stop()
        self.assertEqual(list(result.lost()), ["connect timeout"])

    def test_unix_socket_with_a_full_backlog_now_and_then(self):
        server, result = self.run_against(every(5, "cut"), "new=8,kept=2",
                                          lambda it: it.inflicted["cut"] >= 3,
                                          path=self.dir / "socket")
        self.assertEqual(result.lost(), {"in answer": {"eof": server.inflicted["cut"]}})
        self.assertEqual(result.done, server.inflicted[None])

    def test_websockets_tell_how_each_session_ended(self):
        rows = [("websocket says 1001", {1001}, {}), (None, {1006}, {}),
                ("websocket drops a message", {1006}, {"raced": {"eof"}})]
        for fault, codes, lost in rows:
            with self.subTest(fault):
                _, result = self.run_against(every(1, fault), "websocket=8", websocket_think=500,
                                             enough=lambda it: sum(it.inflicted.values()) > 12)
                ended = [session for session in result["sessions"] if session["closed"]]
                self.assertEqual({session["code"] for session in ended}, codes)
                self.assertEqual({session["messages"] for session in ended},
                                 {3 if lost else 4})
                self.assertEqual({stage: set(causes) for stage, causes in result.lost().items()},
                                 lost, result)
                self.assertEqual(result["kinds"]["websocket"]["closes"],
                                 {str(code): len(ended) for code in codes})

    def test_without_ids_only_the_pid_is_asked_for(self):
        _, result = self.run_against(every(2, "wrong id"), "new=2", no_echo=True)
        self.assertEqual((result.failed, result.raced), (0, 0), result)

    def test_the_end_of_the_test_program_ends_the_load(self):
        server = FaultyServer(every(1, None))
        self.addCleanup(server.close)
        load = Load(server.port, kinds="new=1").wait_for(1)
        load.process.stdin.close()
        self.assertEqual(load.process.wait(20), 0)
        load.process.stdout.close()


if __name__ == "__main__":
    unittest.main()
