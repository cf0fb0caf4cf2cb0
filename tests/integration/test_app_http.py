"""The HTTP core of clusterapp, by a server with routes of its own (tests/support/app_probe.cpp):
streams, connections that are handed over, callers, limits, and clients that mean no good."""

import base64
import json
import os
import pathlib
import select
import socket
import struct
import threading
import unittest

from app_server import AppTestCase
from harness import SANITIZED, wait_for

MB = 1 << 20


class ProbeTestCase(AppTestCase):
    program = "app_probe"

    def ask(self, path, **options):
        return self.apps[-1].request("GET", path, check=False, **options)

    def requests(self, app=None):
        """What the access log has so far."""
        return [entry for entry in (app or self.apps[-1]).log() if entry["message"] == "request"]


class Routing(ProbeTestCase):
    def test_a_handler_gets_the_parts_of_the_request(self):
        self.started()
        data = self.ask("/show/a%2Fb%20c?x=1&y=a+b%26&x=2").json["data"]
        wait_for(self.requests, what="a line in the log")
        self.assertEqual(data.pop("id"), self.requests()[0]["id"])
        self.assertEqual(data, {"path": "/show/a%2Fb%20c", "route": "/show/{name}",
                                "params": {"name": "a/b c"},
                                "query": [["x", "1"], ["y", "a b&"], ["x", "2"]],
                                "client": "127.0.0.1", "user": None, "body": 0})

    def test_an_error_has_the_common_envelope(self):
        app = self.started()
        for path, status, code in (("/nope", 404, "NOT_FOUND"), ("/show?x=%", 400, "BAD_REQUEST"),
                                   ("/show/%00", 404, "NOT_FOUND"), ("/me", 401, "UNAUTHORIZED"),
                                   ("/show?%ff=1", 400, "BAD_REQUEST")):
            answer = app.get(path, check=False)
            self.assertEqual(answer.status, status, path)
            self.assertEqual(set(answer.json), {"success", "error"})
            self.assertEqual(answer.json["error"]["code"], code)
            self.assertFalse(answer.json["success"])

    def test_json_bodies(self):
        app = self.started()
        rows = [
            ('{"a": 1}', "application/json", 200),
            ('{"a": 1}', "application/JSON; charset=utf-8", 200),
            ('{"a": 1}', "application/merge-patch+json", 200),
            ('{"a": 1}', None, 200),
            ('{"a": 1}', "text/plain", 415),
            ('{"a": 1}', "application/x-www-form-urlencoded", 415),
            ("", "application/json", 400),
            ("[1]", "application/json", 400),
            ('{"a": 1', "application/json", 400),
            ('{"a": 1e999}', "application/json", 400),
            ('{"a": "\\u0000"}', "application/json", 400),
            ('{"a": "\\ud800"}', "application/json", 400),
            ('{"a": ' + "[" * 63 + "]" * 63 + "}", "application/json", 200),
            ('{"a": ' + "[" * 64 + "]" * 64 + "}", "application/json", 400),
            ('{"a": ' + "[" * 500_000, "application/json", 400),
            ('{"a": "' + "[" * 100 + '\\"["}', "application/json", 200),
            (b'{"a": "\xff"}', "application/json", 400),
        ]
        for body, kind, want in rows:
            with self.subTest(body=body[:40], kind=kind):
                headers = {"Content-Type": kind} if kind else {}
                answer = app.post("/json", body, headers=headers, check=False)
                self.assertEqual(answer.status, want, answer.text)

    def test_what_a_handler_throws_stays_in_the_log(self):
        app = self.started()
        answer = app.get("/fail?throw=1", check=False)
        self.assertEqual((answer.status, answer.json["error"]["code"]), (500, "INTERNAL"))
        self.assertNotIn("secret", answer.text)
        told = wait_for(app.complaints, what="a line in the log")[-1]
        self.assertEqual((told["level"], told["error"], told["id"]),
                         ("error", "a secret detail", answer.headers["x-request-id"]))
        answer = app.get("/fail", check=False)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        self.assertNotIn("10.0.0.1", answer.text)
        wait_for(lambda: any("10.0.0.1:5432 is away" in entry["error"]
                             for entry in app.complaints()), what="the cause")

    def test_a_header_cannot_be_broken_out_of(self):
        app = self.started()
        answer = app.get("/inject", check=False)
        self.assertNotIn("set-cookie", answer.headers)
        self.assertTrue(answer.json["success"])


class Callers(ProbeTestCase):
    def test_a_route_that_needs_a_caller_gets_one(self):
        app = self.started()
        answer = app.get("/me", check=False)
        self.assertEqual((answer.status, answer.headers["www-authenticate"]), (401, "Bearer"))
        self.assertEqual(app.get("/me", token="nobody", check=False).json["error"]["code"],
                         "TOKEN_INVALID")
        answer = app.get("/me", token="away", check=False)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        answer = app.get("/me", token="user-ada", check=False)
        self.assertEqual(answer.json["data"]["user"], "user-ada")
        wait_for(lambda: any(entry["user"] == "user-ada" for entry in self.requests()),
                 what="the user in the log")

    def test_the_limit_counts_by_user_else_by_address(self):
        app = self.started(LIMIT="2")
        for remaining in "1", "0":
            answer = app.get("/limited", check=False)
            self.assertEqual(answer.status, 200)
            self.assertEqual({name: value for name, value in answer.headers.items()
                              if "ratelimit" in name or name == "retry-after"},
                             {"ratelimit-limit": "2", "ratelimit-remaining": remaining,
                              "ratelimit-reset": "2", "ratelimit-policy": "3;w=2"})
        answer = app.get("/limited", check=False)
        self.assertEqual((answer.status, answer.json["error"]["code"]), (429, "RATE_LIMITED"))
        self.assertEqual((answer.headers["retry-after"], answer.headers["ratelimit-remaining"]),
                         ("2", "0"))
        # A token that is not valid gives no new limit; one that is does.
        self.assertEqual(app.get("/limited", token="forged", check=False).status, 429)
        answer = app.get("/limited", token="user-ada", check=False)
        self.assertEqual((answer.status, answer.json["data"]["user"]), (200, "user-ada"))
        self.assertEqual(app.get("/show", check=False).status, 200)  # a route without a limit

    def test_refused_callers_are_counted_too(self):
        app = self.started(LIMIT="2")
        statuses = [app.get("/me", token="guess", check=False).status for _ in range(4)]
        self.assertEqual(statuses, [401, 401, 429, 429])

    def test_the_client_behind_a_proxy(self):
        forwarded = {"X-Forwarded-For": "6.6.6.6, 1.2.3.4", "X-Request-Id": "from-the-proxy"}
        for trust, client, request_id in (("off", "127.0.0.1", None),
                                          ("10.0.0.0/8", "127.0.0.1", None),
                                          ("loopback", "1.2.3.4", "from-the-proxy"),
                                          ("2", "6.6.6.6", "from-the-proxy")):
            app = self.started(TRUST_PROXY=trust, LIMIT="1")
            answer = app.get("/show", headers=forwarded, check=False)
            self.assertEqual(answer.json["data"]["client"], client, trust)
            self.assertEqual(answer.headers["x-request-id"] == "from-the-proxy",
                             request_id is not None)
            # Who may not say its address cannot get a new limit by inventing one.
            statuses = [app.get("/limited", headers={"X-Forwarded-For": f"9.9.9.{n}"},
                                check=False).status for n in range(3)]
            self.assertEqual(statuses, [200, 200, 200] if request_id else [200, 429, 429])

    def test_a_request_id_that_could_harm_the_log_is_replaced(self):
        app = self.started(TRUST_PROXY="1")
        for bad in "a b", "x" * 129, '"}', "<b>", "a,b":
            answer = app.get("/show", headers={"X-Request-Id": bad}, check=False)
            self.assertNotEqual(answer.headers["x-request-id"], bad)


class Streams(ProbeTestCase):
    def memory(self, app):
        """Its highest resident size so far, in bytes."""
        status = pathlib.Path(f"/proc/{app.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def chunks(self, client):
        """The body of a chunked answer; None when it ends too early."""
        client.answer(body=False)
        body = b""
        while True:
            while b"\r\n" not in client.rest:
                if not client._more():
                    return None
            size, _, client.rest = client.rest.partition(b"\r\n")
            size = int(size, 16)
            while len(client.rest) < size + 2:
                if not client._more():
                    return None
            body, client.rest = body + client.rest[:size], client.rest[size + 2:]
            if size == 0:
                return body

    def test_a_body_comes_back_while_it_is_sent(self):
        self.started()
        client = self.client()
        client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"5\r\nhello\r\n")
        _, headers, _ = client.answer(body=False)
        self.assertEqual(headers["transfer-encoding"], "chunked")
        while b"hello" not in client.rest:
            client._more()
        client.send(b"1\r\n!\r\n0\r\n\r\n")
        while not client.rest.endswith(b"0\r\n\r\n"):
            client._more()
        self.assertEqual(client.rest, b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")
        client.rest = b""
        self.assertEqual(client.get("/show").answer()[0], 200)  # the connection goes on

    def test_a_large_body_needs_no_memory_in_either_direction(self):
        app = self.started()
        app.get("/show", check=False)
        before = self.memory(app)
        client = self.client()
        total = 60 * MB
        client.send(b"POST /swallow HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total // MB):
            client.send(b"x" * MB)
        self.assertEqual(json.loads(client.answer()[2])["data"]["bytes"], total)

        client.get(f"/produce?bytes={total}&announced={total}")
        _, headers, _ = client.answer(body=False)
        self.assertEqual(headers["content-length"], str(total))
        seen = len(client.rest)
        while seen < total:
            data = client.socket.recv(MB)
            self.assertTrue(data, seen)
            seen += len(data)
        client.rest = b""
        self.assertEqual(seen, total)
        self.assertEqual(client.get("/show").answer()[0], 200)
        self.assertLess(self.memory(app) - before, (32 if SANITIZED else 4) * MB)

    def test_a_slow_reader_slows_the_handler(self):
        app = self.started()
        client = self.client().get(f"/produce?bytes={400 * MB}")
        client.answer(body=False)
        before = self.memory(app)
        self.assertEqual(app.get("/show", check=False).status, 200)  # others are served meanwhile
        self.assertLess(self.memory(app) - before, 4 * MB)

    def test_a_reader_that_stops_is_given_up(self):
        app = self.started(WRITE_TIMEOUT_MS="200")
        client = self.client().get(f"/produce?bytes={400 * MB}")
        client.answer(body=False)
        entry = wait_for(self.requests, what="the end of the request")[0]
        self.assertIs(entry["complete"], False)
        wait_for(lambda: any("write the answer" in entry["error"] for entry in app.complaints()),
                 what="the cause")

    def test_an_answer_that_is_cut_short_is_seen_to_be(self):
        self.started()
        rows = ("/produce?bytes=10&announced=100", "/produce?bytes=100&announced=10",
                "/produce?bytes=200000&announced=200000&until=100000")
        for path in rows:
            client = self.client().get(path)
            _, headers, _ = client.answer(body=False)
            while client._more():
                pass
            self.assertLess(len(client.rest), int(headers["content-length"]), path)
        self.assertIsNone(self.chunks(self.client().get("/produce?bytes=200000&until=100000")))
        whole = self.chunks(self.client().get("/produce?bytes=200000"))
        self.assertEqual(whole, b"x" * 200000)

    def test_http_1_0_gets_a_stream_up_to_the_end(self):
        self.started()
        client = self.client().send(b"GET /produce?bytes=70000 HTTP/1.0\r\n\r\n")
        _, headers, _ = client.answer(body=False)
        self.assertNotIn("transfer-encoding", headers)
        while client._more():
            pass
        self.assertEqual(client.rest, b"x" * 70000)

    def test_head_of_a_stream_has_no_body(self):
        self.started()
        client = self.client().send(b"HEAD /produce?bytes=9&announced=9 HTTP/1.1\r\nHost: x\r\n\r\n")
        _, headers, _ = client.answer(body=False)
        self.assertEqual(headers["content-length"], "9")
        self.assertEqual(client.get("/show").answer()[0], 200)

    def test_an_upload_is_refused_before_it_is_sent(self):
        self.started()
        for path, size, want in (("/swallow", 200 * MB, 413), ("/swallow/mine", 5, 401)):
            client = self.client()
            client.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                        f"Content-Length: {size}\r\n\r\n".encode())
            status, headers, _ = client.answer()
            self.assertEqual((status, headers["connection"]), (want, "close"))
        client = self.client().send(b"POST /swallow HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                                    b"Content-Length: 2\r\n\r\n")
        self.assertEqual(client.answer()[0], 100)
        self.assertEqual(client.send(b"ok").answer()[0], 200)

    def test_an_upload_that_stalls_is_given_up(self):
        self.started(BODY_TIMEOUT_MS="200")
        client = self.client().send(b"POST /swallow HTTP/1.1\r\nHost: x\r\n"
                                    b"Content-Length: 9\r\n\r\nhalf")
        self.assertEqual(client.answer()[0], 503)
        self.assertTrue(client.at_end())


class Upgrades(ProbeTestCase):
    def upgrade(self, *headers, path="/talk", version="1.1"):
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/{version}", "Host: x", "Upgrade: websocket",
                 "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
                 *headers, "", ""]
        return self.client().send("\r\n".join(lines).encode())

    def message(self, client):
        """The payload of the next (short) frame."""
        while len(client.rest) < 2 or len(client.rest) < 2 + client.rest[1]:
            if not client._more():
                return None
        size = client.rest[1]
        payload, client.rest = client.rest[2:2 + size], client.rest[2 + size:]
        return payload

    def say(self, client, payload):
        mask = b"\1\2\3\4"
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        client.send(struct.pack("!BB", 0x81, 0x80 | len(payload)) + mask + masked)

    def test_a_connection_is_handed_over_and_counts_until_it_ends(self):
        app = self.started()
        client = self.upgrade("Authorization: Bearer user-ada")
        status, headers, _ = client.answer()
        self.assertEqual((status, headers["upgrade"]), (101, "websocket"))
        self.assertEqual(self.message(client), b"hello nobody")  # the route needs no caller
        self.say(client, b"a word")
        self.assertEqual(self.message(client), b"a word")
        wait_for(lambda: [entry["status"] for entry in self.requests()] == [101], what="a line")
        self.assertEqual(self.ask("/talk").status, 200)  # without the wish: the usual handler
        app.terminate()
        self.assertIsNone(self.message(client))  # told by the hook
        self.assertEqual(app.ended(), (0, ""))

    def test_other_protocols_are_ignored(self):
        self.started()
        client = self.client().get("/talk", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                                   "HTTP2-Settings: AAMAAABkAAQAAP__")
        self.assertEqual(client.answer()[0], 200)
        self.assertEqual(client.get("/show").answer()[0], 200)

    def test_other_limits_than_those_of_requests(self):
        app = self.started(KEEP_ALIVE_TIMEOUT_MS="1000", HEADER_TIMEOUT_MS="1000",
                           WRITE_TIMEOUT_MS="1000", BODY_TIMEOUT_MS="1000")
        client = self.upgrade()
        client.answer()
        self.message(client)
        idle = self.client()
        self.assertTrue(idle.at_end())  # by now all of the limits are over
        self.assertTrue(self.client().at_end())
        self.say(client, b"still here")
        self.assertEqual(self.message(client), b"still here")
        self.assertIsNone(app.process.poll())

    def test_a_connection_that_does_not_end_is_cut(self):
        app = self.started(DRAIN_TIMEOUT_MS="300")
        client = self.client().get("/produce?bytes=1000000000")
        client.answer(body=False)
        app.terminate()
        self.assertEqual(app.ended()[0], 1)

    def test_bytes_that_come_too_early_are_refused(self):
        self.started()
        client = self.client()
        client.send(b"GET /talk HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade"
                    b"\r\nContent-Length: 3\r\n\r\nabc")
        status, headers, _ = client.answer()
        self.assertEqual((status, headers["connection"]), (400, "close"))


class Hostile(ProbeTestCase):
    def test_requests_that_two_servers_could_read_in_two_ways(self):
        app = self.started()
        chunked = b"Transfer-Encoding: chunked\r\n"
        body = b"\r\n0\r\n\r\n"
        rows = [
            ("length and chunks", b"Content-Length: 3\r\n" + chunked + body, 400),
            ("chunks and length", chunked + b"Content-Length: 3\r\n" + body, 400),
            ("two lengths", b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
            ("two equal lengths", b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
            ("a list of lengths", b"Content-Length: 3, 3\r\n\r\nabc", 400),
            ("a signed length", b"Content-Length: +3\r\n\r\nabc", 400),
            ("a length in hex", b"Content-Length: 0x3\r\n\r\nabc", 400),
            ("a length that overflows", b"Content-Length: 18446744073709551616\r\n\r\n", 400),
            ("an unknown coding", b"Transfer-Encoding: gzip\r\n" + body, 501),
            ("chunked, then another", b"Transfer-Encoding: chunked, identity\r\n" + body, 501),
            ("another, then chunked", b"Transfer-Encoding: identity, chunked\r\n" + body, 501),
            ("a coding that looks like one", b"Transfer-Encoding: xchunked\r\n" + body, 501),
            ("twice chunked", chunked + chunked + body, 400),
            ("a blank before the colon", b"Transfer-Encoding : chunked\r\n" + body, 400),
            ("a NUL in a value", b"X: a\0b\r\n" + body, 400),
            ("a NUL in a name", b"X\0: b\r\n" + body, 400),
            ("a bare CR", b"X: a\rb\r\n" + body, 400),
            ("a bare LF", b"X: a\nY: b\r\n" + body, 400),
            ("no name", b": b\r\n" + body, 400),
            ("no colon", b"nothing\r\n" + body, 400),
            ("a chunk size that is none", chunked + b"\r\nxyz\r\nabc\r\n0\r\n\r\n", 400),
            ("a chunk size that overflows", chunked + b"\r\nfffffffffffffffff\r\nabc", 400),
            ("a negative chunk", chunked + b"\r\n-1\r\nabc\r\n0\r\n\r\n", 400),
            ("a chunk without its end", chunked + b"\r\n3\r\nabcX\r\n0\r\n\r\n", 400),
            ("a chunk that is too large", chunked + b"\r\n7fffffffffffffff\r\n"
             + b"x" * (2 * MB), 413),
        ]
        for name, rest, want in rows:
            with self.subTest(name):
                client = self.client()
                client.send(b"POST /show HTTP/1.1\r\nHost: x\r\n" + rest)
                client.send(b"GET /show?smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
                status, headers, _ = client.answer()
                self.assertEqual((status, headers["connection"]), (want, "close"))
                self.assertTrue(client.at_end())  # what followed was not answered
        self.assertFalse([entry for entry in self.requests() if entry["status"] == 200])
        self.assertIsNone(app.process.poll())

    def test_a_header_that_drips_in_has_the_same_limits(self):
        self.started(HEADER_TIMEOUT_MS="60000")
        client = self.client().send(b"GET /show HTTP/1.1\r\nHost: x\r\nA")
        # Each piece ends in the middle of a line, so that the parser takes all lines before it.
        piece = b": 0123456789abcdef\r\nA"
        sent = 0
        # Little by little; once it is too much, an answer must come, however late it is read.
        while not select.select([client.socket], [], [], 0.002 if sent < 9000 else 10)[0]:
            self.assertLess(sent, 9000, "a header without a limit")
            client.send(piece)
            sent += len(piece)
        self.assertEqual(client.answer()[0], 431)
        self.assertGreater(sent, 8000)
        self.assertEqual(self.ask("/show").status, 200)

    def test_many_slow_clients_do_not_hold_up_the_others(self):
        self.started(HEADER_TIMEOUT_MS="400")
        slow = [self.client().send(b"GET /show HTTP/1.1\r\nHo") for _ in range(200)]
        self.assertEqual(self.ask("/show").status, 200)
        self.assertEqual({client.answer()[0] for client in slow}, {408})

    def test_a_client_that_never_pauses_does_not_hold_up_the_others(self):
        self.started()
        client = self.client()
        stop = threading.Event()

        def send():
            request = b"GET /show HTTP/1.1\r\nHost: x\r\n\r\n" * 100
            while not stop.is_set():
                try:
                    client.socket.sendall(request)
                except OSError:
                    return

        def receive():
            while not stop.is_set():
                try:
                    if not client.socket.recv(MB):
                        return
                except OSError:
                    return

        threads = [threading.Thread(target=work) for work in (send, receive)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(50):
                self.assertEqual(self.ask("/show").status, 200)
        finally:
            stop.set()
            client.socket.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()

    def test_strange_targets(self):
        self.started()
        rows = [("http://other/show", 200), ("HTTP://x/show", 200), ("//show", 404),
                ("/show/..", 200), ("/show/../me", 404), ("/show/%2e%2e", 200), ("/%73how", 404),
                ("/show/%C0%AF", 404), ("/show;a=b", 404), ("/show#x", 404), ("*", 404),
                ("show", 404), ("/show?" + "a=1&" * 1000, 200), ("/show/" + "%41" * 2000, 200)]
        for target, want in rows:
            with self.subTest(target[:30]):
                client = self.client().get(target)
                self.assertEqual(client.answer()[0], want)

    def test_more_connections_than_allowed(self):
        app = self.started(MAX_CONNECTIONS="3")
        held = [self.client().get("/show") for _ in range(3)]
        for client in held:
            self.assertEqual(client.answer()[0], 200)
        for _ in range(5):
            client = self.client().get("/show")
            status, headers, body = client.answer()
            self.assertEqual((status, headers["retry-after"], headers["connection"]),
                             (503, "1", "close"))
            self.assertEqual(json.loads(body)["error"]["code"], "TOO_MANY_CONNECTIONS")
            self.assertTrue(client.at_end())
        self.assertEqual(held[0].get("/show").answer()[0], 200)
        held.pop().close()

        def one_more():
            with_luck = self.client().get("/show")
            return with_luck.answer()[0] == 200
        wait_for(one_more, what="room for another connection")
        app.terminate()
        self.assertEqual(app.ended(), (0, ""))


class Logs(ProbeTestCase):
    def test_one_line_per_request(self):
        app = self.started()
        app.get("/show/x?secret=1", check=False)
        self.client().send(b"\0\r\n\r\n").answer()
        first, second = wait_for(lambda: len(self.requests()) == 2 and self.requests(), what="two")
        self.assertRegex(first.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertRegex(first.pop("id"), r"^[\w-]+-[0-9a-f]+$")
        self.assertGreaterEqual(first.pop("duration_ms"), 0)
        self.assertGreater(first.pop("bytes"), 0)
        self.assertEqual(first, {"level": "info", "message": "request", "method": "GET",
                                 "path": "/show/x", "route": "/show/{name}", "status": 200,
                                 "client": "127.0.0.1", "user": None})
        self.assertEqual((second["method"], second["path"], second["status"]), (None, None, 400))
        self.assertNotIn("secret", app.out.read_text())

    def test_bytes_of_a_stranger_do_not_break_a_line(self):
        app = self.started()
        client = self.client().send(b'GET /"\\\xff\xc3\x28{} HTTP/1.1\r\nHost: x\r\n\r\n')
        self.assertEqual(client.answer()[0], 404)
        wait_for(self.requests, what="a line")
        self.assertIn("\ufffd", self.requests()[0]["path"])  # parsed: each line is JSON

    def test_no_line_is_lost_on_a_clean_end(self):
        app = self.started()
        for _ in range(30):
            client = self.client().send(b"GET /show HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            for _ in range(20):
                client.answer()
            client.close()
        app.terminate()
        self.assertEqual(app.ended(), (0, ""))
        self.assertEqual(len(self.requests(app)), 600)
        self.assertEqual(len({entry["id"] for entry in self.requests(app)}), 600)


if __name__ == "__main__":
    unittest.main()
