#!/usr/bin/env python3
"""Socket.IO on one instance: the official client on each transport, and what no client of good will
sends."""

import contextlib
import json
import os
import socket
import struct
import time
import unittest
import urllib.request

import socketio
from app_server import Client
from harness import SANITIZED, wait_for
from socketio import TRANSPORTS, Refused, SocketIoTestCase, bytes_value

EACH = ("polling", "websocket", "upgrade")
IDLE_CLIENTS = 2000


def setUpModule():
    try:
        socketio.packages()
    except socketio.Unavailable as reason:
        raise unittest.SkipTest(str(reason)) from None


def frame(payload, opcode=1, fin=True, mask=b"\1\2\3\4"):
    """A WebSocket frame as a client sends it (RFC 6455 section 5.2)."""
    head = bytes([(0x80 if fin else 0) | opcode])
    size = len(payload)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", size)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))


class OfficialClient(SocketIoTestCase):
    """Each test on every transport."""

    def test_messages_reach_all_and_are_acknowledged(self):
        self.serve()
        for transports in EACH:
            one, two = f"{transports}1", f"{transports}2"
            self.connect(one, transports)
            self.connect(two, transports)
            value = {"text": "hé 🎈 \u2028", "n": 1.5, "list": [1, None, True], "z": {}, "a": 0}
            self.assertEqual(self.ask(one, "message", value), {"success": True})
            self.assertEqual(self.driver.wait_events(one, 1), [[value]])
            heard = self.driver.wait_events(two, 1)
            self.assertEqual(heard, [[value]])
            self.assertEqual(list(heard[0][0]), list(value), "the order of the keys")
            for name in (one, two):
                self.driver.call("close", name=name)

    def test_binary_goes_both_ways(self):
        self.serve()
        big = os.urandom(300_000)
        for transports in EACH:
            self.connect(transports, transports)
            args = ["message", {"small": bytes_value(b"\0\1\xff"), "in": [bytes_value(big)]},
                    bytes_value(b""), "text"]
            self.assertEqual(self.ask(transports, *args)["success"], True)
            self.assertEqual(self.driver.wait_events(transports, 1), [args[1:]])
            self.driver.call("close", name=transports)

    def test_rooms_hold_who_has_joined(self):
        self.serve()
        for transports in EACH:
            names = [f"{transports}{i}" for i in range(3)]
            for name in names:
                self.connect(name, transports)
            self.assertEqual(self.ask(names[0], "join", self.project),
                             {"success": True, "room": self.room})
            self.ask(names[1], "join", {"projectId": self.project})
            sent = self.ask(names[0], "message", {"room": self.project, "text": "in"})
            self.assertEqual(sent, {"success": True, "room": self.room})
            outside = self.ask(names[2], "message", {"room": self.project, "text": "out"})
            self.assertEqual(outside["error"]["code"], "NOT_IN_ROOM")
            self.assertEqual(self.ask(names[1], "leave", self.room)["success"], True)
            self.ask(names[0], "message", {"room": self.room, "text": "again"})
            self.ask(names[0], "message", {"text": "all"})
            texts = [[event[0]["text"] for event in self.driver.wait_events(name, count)]
                     for name, count in zip(names, (3, 2, 1))]
            self.assertEqual(texts, [["in", "again", "all"], ["in", "all"], ["all"]])
            self.assertEqual(self.ask(names[0], "join", 7)["error"]["code"], "INVALID_PROJECT")
            self.assertEqual(self.ask(names[0], "join")["error"]["code"], "INVALID_PROJECT")
            for name in names:
                self.driver.call("close", name=name)

    def test_namespaces_are_apart(self):
        self.serve(SOCKETIO_NAMESPACES="/chat")
        for transports in EACH:
            self.connect(transports, transports)
            self.driver.call("enter", name=transports + "c", of=transports, nsp="/chat", auth={})
            wait_for(lambda: self.driver.call("state", name=transports + "c")["connected"])
            self.ask(transports + "c", "message", "to the chat")
            self.assertEqual(self.driver.wait_events(transports + "c", 1), [["to the chat"]])
            self.driver.call("enter", name=transports + "n", of=transports, nsp="/none", auth={})
            refused = wait_for(lambda: self.driver.said(transports + "n", "connect_error"))
            self.assertEqual(refused, ["Invalid namespace"])
            # The connection itself goes on, and has heard nothing of the other namespace.
            self.ask(transports, "message", "to the others")
            self.assertEqual(self.driver.wait_events(transports, 1), [["to the others"]])
            self.driver.call("close", name=transports + "c")
            self.driver.call("close", name=transports)

    def test_a_burst_arrives_whole_and_in_order(self):
        self.serve()
        for transports in EACH:
            self.connect(transports, transports)
            for number in range(500):
                self.driver.begin("emit", name=transports, args=["message", number])
            self.assertEqual(self.ask(transports, "message", "end")["success"], True)
            heard = [event[0] for event in self.driver.wait_events(transports, 501)]
            self.assertEqual(heard, [*range(500), "end"])
            self.driver.call("close", name=transports)

    def test_messages_sent_during_the_upgrade_are_not_lost(self):
        self.serve()
        for round_ in range(10):
            name = f"u{round_}"
            self.driver.call("connect", name=name, url=self.url)
            for number in range(50):
                self.driver.begin("emit", name=name, args=["message", [name, number]])
            self.wait_transport(name, "websocket")
            heard = self.driver.wait_events(name, 50)
            self.assertEqual([event[0] for event in heard], [[name, i] for i in range(50)])
            self.driver.call("close", name=name)


class Heartbeat(SocketIoTestCase):
    TIMES = {"SOCKETIO_PING_INTERVAL_MS": "300", "SOCKETIO_PING_TIMEOUT_MS": "2000"}

    def test_a_client_that_answers_stays(self):
        self.serve(**self.TIMES)
        for transports in ("polling", "websocket"):
            self.connect(transports, transports)
        time.sleep(5.0)  # more than both: what must not happen has no condition to wait for
        for transports in ("polling", "websocket"):
            self.assertEqual(self.driver.said(transports, "disconnect"), [])
            self.assertEqual(self.ask(transports, "message", 1)["success"], True)

    def test_a_client_that_does_not_is_ended(self):
        self.serve(**self.TIMES)
        for transports in EACH:
            with self.subTest(transports=transports):
                self.connect(transports, transports)
                self.driver.call("deafen", name=transports)
                self.assertEqual(self.wait_end(transports), "transport close")

    def test_a_client_comes_back_by_itself_with_another_id(self):
        self.serve(**self.TIMES)
        self.connect("c", "websocket", reconnection=True, reconnectionDelay=50)
        first = self.driver.call("state", name="c")["id"]
        self.driver.call("deafen", name="c")
        ids = wait_for(lambda: (lambda said: said if len(said) == 2 else None)(
            self.driver.said("c", "connect")), what="the second connection")
        self.assertEqual(ids[0], first)
        self.assertNotEqual(ids[1], first)
        self.assertEqual(self.ask("c", "message", "again")["success"], True)


class Limits(SocketIoTestCase):
    def test_a_client_that_does_not_read_is_let_go(self):
        self.serve(SOCKETIO_MAX_QUEUE_BYTES="200000", LOG_LEVEL="debug")
        self.connect("slow")
        self.connect("fast")
        self.driver.call("stall", name="slow")
        text = "x" * 100_000

        def left():
            self.assertEqual(self.ask("fast", "message", text)["success"], True)
            return [entry["reason"] for entry in self.app.log()
                    if entry["message"] == "Socket.IO client left"]
        # What the kernel's buffers take comes first.
        self.assertEqual(wait_for(left, what="the slow one to be let go"), ["send queue full"])
        self.assertEqual(self.ask("fast", "message", "fine")["success"], True)

    def test_who_enters_no_namespace_is_let_go(self):
        self.serve(SOCKETIO_CONNECT_TIMEOUT_MS="300")
        sid = self.open_session()
        self.assertIn(self.poll(sid), ("1", "4"))
        with self.assertRaises(urllib.error.HTTPError):
            self.poll(sid)

    def test_who_sends_too_fast_is_let_go(self):
        self.serve(SOCKETIO_MAX_EVENTS_PER_SECOND="20")
        for transports in ("polling", "websocket"):
            self.connect(transports, transports, reconnection=True, reconnectionDelay=20)
            for number in range(90):  # a hundred may come at once
                self.driver.begin("emit", name=transports, args=["message", number])
            self.assertEqual(self.ask(transports, "message", "end")["success"], True)
            for number in range(200):
                self.driver.begin("emit", name=transports, args=["message", number])
            self.assertEqual(self.wait_end(transports), "io server disconnect")
        told = [entry["client"] for entry in self.app.complaints()
                if entry["message"] == "a Socket.IO client sends too many events"]
        self.assertEqual(told, ["127.0.0.1"] * 2)

    def test_clients_have_a_number(self):
        self.serve(SOCKETIO_MAX_CLIENTS="2")
        self.connect("a")
        self.connect("b", "polling")
        for transports in TRANSPORTS:
            with self.assertRaises(Refused):
                self.connect("c" + transports, transports)
        self.driver.call("close", name="a")

        def enters():
            with contextlib.suppress(Refused):
                self.connect("d")
                return True
        wait_for(enters, what="room for another client")

    def open_session(self):
        text = urllib.request.urlopen(f"{self.url}/socket.io/?EIO=4&transport=polling").read()
        return json.loads(text[1:])["sid"]

    def poll(self, sid):
        url = f"{self.url}/socket.io/?EIO=4&transport=polling&sid={sid}"
        return urllib.request.urlopen(url, timeout=30).read().decode()


class Hostile(SocketIoTestCase):
    """Nothing that a stranger sends ends the server or disturbs a client of good will."""

    def setUp(self):
        super().setUp()
        self.serve()
        self.connect("good")

    def tearDown(self):
        if not self._has_failed():
            self.assertEqual(self.ask("good", "message", "still here")["success"], True)
            self.assertIsNone(self.app.process.poll())
        super().tearDown()

    def exchange(self, method, query, body=b"", headers=()):
        """(status, body) of one request."""
        with contextlib.closing(Client(("127.0.0.1", self.port))) as client:
            lines = [f"{method} /socket.io/?{query} HTTP/1.1", "Host: x",
                     f"Content-Length: {len(body)}", *headers, "", ""]
            client.send("\r\n".join(lines).encode() + body)
            status, _, text = client.answer()
            return status, text

    def open_session(self, enter=True):
        status, text = self.exchange("GET", "EIO=4&transport=polling")
        self.assertEqual(status, 200)
        sid = json.loads(text[1:])["sid"]
        if enter:
            self.assertEqual(self.exchange("POST", f"EIO=4&transport=polling&sid={sid}", b"40"),
                             (200, "ok"))
        return sid

    def websocket(self, query="EIO=4&transport=websocket"):
        """A plain socket after the upgrade, or None when it was refused."""
        client = self.client()
        client.get(f"/socket.io/?{query}", "Upgrade: websocket", "Connection: Upgrade",
                   "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
        status, _, _ = client.answer(body=False)
        return client if status == 101 else None

    def ends(self, client):
        """Waits until the server has closed this connection."""
        with contextlib.suppress(ConnectionError):
            while client.socket.recv(65536):
                pass
        return True

    def test_queries_that_make_no_session(self):
        rows = [
            ("GET", "", 0), ("GET", "EIO=4", 0), ("GET", "EIO=4&transport=flashsocket", 0),
            ("GET", "EIO=3&transport=polling", 5), ("GET", "transport=polling", 5),
            ("POST", "EIO=4&transport=polling", 2), ("GET", "EIO=4&transport=websocket", 3),
            ("GET", "EIO=4&transport=polling&sid=nobody", 1),
            ("POST", "EIO=4&transport=polling&sid=nobody", 1),
            ("GET", "EIO=4&transport=polling&sid=" + "x" * 2000, 1),
        ]
        for method, query, code in rows:
            with self.subTest(method=method, query=query[:60]):
                status, text = self.exchange(method, query)
                self.assertEqual((status, json.loads(text)["code"]), (400, code))
        self.assertEqual(json.loads(self.exchange(
            "GET", "EIO=4&transport=polling&sid=nobody")[1]),
            {"code": 1, "message": "Session ID unknown"})
        self.assertIsNone(self.websocket("EIO=4&transport=websocket&sid=nobody"))
        self.assertIsNone(self.websocket("EIO=3&transport=websocket"))

    def test_posts_that_end_their_session(self):
        deep = b'42["x",' + b"[" * 50_000 + b"]" * 50_000 + b"]"
        wide = b'42["x",{' + b",".join(b'"%d":0' % i for i in range(60_000)) + b"}]"
        bodies = [b"", b"x", b"9", b"4x", b"42", b"42{}", b"42[", b'42["disconnect"]', deep, wide,
                  b"\x1e\x1e\x1e", b"b!!!!", b"bAAAA", b'451-["x",{"_placeholder":true,"num":7}]'
                  b"\x1ebAAAA", b'4599-["x"]', b"\xff\xfe", b'42["\xff"]', b"0{}", b"2", b"40",
                  b'43["no id"]' + b"\x1e" + b"44{}"]
        for body in bodies:
            with self.subTest(body=body[:50]):
                sid = self.open_session()
                query = f"EIO=4&transport=polling&sid={sid}"
                began = time.monotonic()
                self.exchange("POST", query, body)
                self.assertLess(time.monotonic() - began, 20 if SANITIZED else 3)
                # The session tells its end once, or has gone at once.
                for _ in range(3):
                    status, text = self.exchange("GET", query)
                    if status == 400:
                        break
                self.assertEqual(status, 400)

    def test_bodies_that_are_too_large(self):
        sid = self.open_session()
        query = f"EIO=4&transport=polling&sid={sid}"
        self.assertEqual(self.exchange("POST", query, b'42["' + b"x" * 1_000_001 + b'"]')[0], 413)
        self.assertEqual(self.exchange("GET", query)[0], 400)

    def test_two_polls_at_a_time(self):
        sid = self.open_session()
        query = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        first = self.client().get(query)
        first.answer()  # the greeting of the namespace
        second = self.client().get(query)
        third = self.client().get(query)
        self.assertEqual(sorted(one.answer()[0] for one in (second, third)), [200, 400])

    def test_websocket_frames_that_end_their_connection(self):
        rows = {
            "no engine packet": [frame(b"x")],
            "an empty packet": [frame(b"")],
            "base64 on a WebSocket": [frame(b"40"), frame(b"bAAAA")],
            "no socket packet": [frame(b"40"), frame(b"4x")],
            "an event before the namespace": [frame(b'42["x"]')],
            "an attachment of nothing": [frame(b"40"), frame(b"\0\1", opcode=2)],
            "text in the place of an attachment":
                [frame(b"40"), frame(b'451-["x",{"_placeholder":true,"num":0}]'),
                 frame(b'42["y"]')],
            "text that is not UTF-8": [frame(b"\xff\xfe")],
            "no mask": [b"\x81\x02" + b"40"],
            "an unknown opcode": [frame(b"x", opcode=5)],
            "a message beyond the limit": [frame(b"4" + b"x" * 1_100_000)],
            "a length that nobody has": [b"\x81\xff" + b"\x7f" + b"\xff" * 7 + b"\1\2\3\4"],
            "a ping of the client's": [frame(b"2")],
            "reserved bits": [b"\xf1" + frame(b"40")[1:]],
        }
        for what, frames in rows.items():
            with self.subTest(what):
                client = self.websocket()
                with contextlib.suppress(ConnectionError):
                    for one in frames:
                        client.send(one)
                self.assertTrue(self.ends(client))

    def test_probes_that_lead_nowhere(self):
        for frames in ([frame(b"2")], [frame(b"2wrong")], [frame(b"5")], [frame(b"40")],
                       [frame(b"2probe"), frame(b"40")]):
            with self.subTest(frames=frames):
                sid = self.open_session()
                self.exchange("GET", f"EIO=4&transport=polling&sid={sid}")  # the greeting
                client = self.websocket(f"EIO=4&transport=websocket&sid={sid}")
                for one in frames:
                    client.send(one)
                self.assertTrue(self.ends(client))
                # Polling goes on: what it is sent arrives, at the latest behind a noop.
                self.ask("good", "message", "for the poll")
                wait_for(lambda: '42["message","for the poll"]' in self.exchange(
                    "GET", f"EIO=4&transport=polling&sid={sid}")[1], what="the message in a poll")

    def test_a_second_upgrade_is_refused(self):
        sid = self.open_session()
        first = self.websocket(f"EIO=4&transport=websocket&sid={sid}")
        second = self.websocket(f"EIO=4&transport=websocket&sid={sid}")
        self.assertTrue(self.ends(second))
        first.send(frame(b"2probe"))
        self.assertIn(b"3probe", first.socket.recv(100))

    def test_a_client_that_vanishes_in_the_middle(self):
        for data in (frame(b"40")[:3], frame(b"40") + frame(b'42["message"', fin=False),
                     frame(b"40") + frame(b'451-["message",{"_placeholder":true,"num":0}]')):
            client = self.websocket()
            client.send(data)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.socket.close()


class Access(SocketIoTestCase):
    """Who a client is, and what it may hear."""

    def test_who_may_enter(self):
        self.serve(SOCKETIO_AUTH="required")
        self.connect("known")
        self.connect("with the word", auth={"token": f"Bearer {self.token}"})
        rows = [({}, "authentication is required"), ({"token": 7}, "authentication is required"),
                ({"token": "x.y.z"}, "the token is not valid"),
                ({"token": self.token[:-2]}, "the token is not valid"),
                ({"token": "\r\nX-Evil: 1"}, "the token is not valid")]
        for number, (auth, why) in enumerate(rows):
            with self.subTest(auth=auth), self.assertRaisesRegex(Refused, why):
                self.connect(f"stranger{number}", auth=auth)
        self.assertEqual(self.app.post("/api/auth/logout", {}, token=self.token).status, 200)
        with self.assertRaisesRegex(Refused, "the token is not valid"):
            self.connect("logged out")

    def test_who_may_join(self):
        self.serve()
        other = self.register(self.app, "other")
        self.connect("owner")
        self.connect("other", auth={"token": other})
        self.connect("anonymous", auth={})
        self.assertEqual(self.ask("owner", "join", self.project)["success"], True)
        for name in ("other", "anonymous"):
            self.assertEqual(self.ask(name, "join", self.project)["error"]["code"], "FORBIDDEN")
            self.assertEqual(self.ask(name, "join", "lobby")["success"], True)
        self.assertEqual(self.ask("anonymous", "message", "hello")["success"], True)

    def test_a_change_reaches_the_room_and_who_loses_access_hears_no_more(self):
        self.serve()
        other = self.register(self.app, "other")
        path = f"/api/projects/{self.project}"
        added = self.app.post(f"{path}/collaborators", {"email": "other@example.com",
                                                        "role": "viewer"}, token=self.token)
        self.assertIn(added.status, (200, 201), added)
        for name, token in (("owner", self.token), ("other", other)):
            self.connect(name, auth={"token": token})
            self.assertEqual(self.ask(name, "join", self.project)["success"], True)
        self.rename(path, "second")
        for name in ("owner", "other"):
            told = self.driver.wait_events(name, 1, "project:update")[0][0]
            self.assertEqual((told["projectId"], told["title"], told["version"]),
                             (self.project, "second", 2))
        user = self.app.get("/api/users/me", token=other).json["data"]["id"]
        gone = self.app.request("DELETE", f"{path}/collaborators/{user}", token=self.token)
        self.assertIn(gone.status, (200, 204), gone)
        wait_for(lambda: self.ask("other", "message", {"room": self.project}).get("error"),
                 what="the room to be closed to who was removed")
        self.rename(path, "third")
        self.driver.wait_events("owner", 2, "project:update")
        self.ask("owner", "message", "after it")
        self.driver.wait_events("other", 1)
        self.assertEqual(len(self.driver.events("other", "project:update")), 1)

    def rename(self, path, title):
        answer = self.app.request("PUT", path, {"title": title, "content": {}}, token=self.token)
        self.assertEqual(answer.status, 200, answer)


class Cors(SocketIoTestCase):
    def allowed(self, origin):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/socket.io/?EIO=4&transport=polling",
            headers={"Origin": origin})
        with urllib.request.urlopen(request) as answer:
            return answer.headers["Access-Control-Allow-Origin"]

    def test_only_the_origins_that_were_named(self):
        self.started(SOCKETIO_CORS_ORIGIN="https://a.example,https://b.example")
        self.assertEqual(self.allowed("https://b.example"), "https://b.example")
        self.assertIsNone(self.allowed("https://c.example"))

    def test_none_by_default(self):
        self.started()
        self.assertIsNone(self.allowed("https://a.example"))


class Drain(SocketIoTestCase):
    def test_clients_are_told_to_come_again(self):
        """Not "io server disconnect", after which the official client stays away."""
        self.serve(DRAIN_TIMEOUT_MS="20000")
        for transports in EACH:
            self.connect(transports, transports)
        self.app.terminate()
        for transports in EACH:
            self.assertEqual(self.wait_end(transports), "transport close")
        self.assertEqual(self.app.ended()[0], 0)

    def test_nobody_new_while_it_stops(self):
        self.serve(DRAIN_DELAY_MS="0", DRAIN_TIMEOUT_MS="20000")
        keep = self.client().get("/health/live")
        keep.answer()
        self.connect("stays")
        self.app.terminate()
        self.assertEqual(self.app.ended()[0], 0)


class Idle(SocketIoTestCase):
    def test_two_thousand_idle_clients(self):
        """Their memory on the server, and that each of them still hears."""
        count = 200 if SANITIZED else IDLE_CLIENTS
        self.serve()
        self.connect("talker")
        before = pss_kb(self.app.pid)
        self.assertEqual(self.driver.call("crowd", count=count, url=self.url, timeout=120.0,
                                          options={"transports": ["websocket"]}), count)
        each = (pss_kb(self.app.pid) - before) / count
        print(f"{count} idle clients: {each:.1f} kB each (PSS)")
        if not SANITIZED:
            self.assertLess(each, 24)
        self.assertEqual(self.ask("talker", "message", "all")["success"], True)
        self.assertEqual(self.driver.call("crowd_size"), count)


if __name__ == "__main__":
    unittest.main()
