#!/usr/bin/env python3
"""How connections of Socket.IO end: with their token, and when the server is asked to stop."""

import contextlib
import itertools
import json
import re
import time
import unittest

import socketio
from harness import wait_for
from holding_proxy import HoldingProxy
from socketio import Refused, SocketIoTestCase


def setUpModule():
    try:
        socketio.packages()
    except socketio.Unavailable as reason:
        raise unittest.SkipTest(str(reason)) from None


class TokenEnds(SocketIoTestCase):
    """A connection lives as long as its token: it is looked at with each heartbeat."""

    TIMES = {"SOCKETIO_PING_INTERVAL_MS": "300", "SOCKETIO_PING_TIMEOUT_MS": "5000"}

    def test_a_log_out_on_another_instance_ends_it(self):
        self.serve(**self.TIMES)
        here = self.url
        other = self.started(**self.TIMES)
        self.connect("mine", url=here)
        self.connect("mine too", "polling", url=f"http://127.0.0.1:{other.port}")
        self.token, gone = self.register(other, "somebody"), self.token
        self.connect("another's", url=here)
        self.token = None
        self.connect("nobody's", url=here)
        self.assertEqual(other.post("/api/auth/logout", token=gone).status, 200)
        for name in ("mine", "mine too"):
            # "io server disconnect": the official client does not come back with the old token.
            self.assertEqual(self.wait_end(name), "io server disconnect")
        for name in ("another's", "nobody's"):
            self.assertEqual(self.ask(name, "message", "here")["success"], True)
            self.assertEqual(self.driver.said(name, "disconnect"), [])

    def test_a_token_whose_time_is_over_ends_it(self):
        self.serve(**self.TIMES, JWT_EXPIRATION="2s")
        self.token = None
        people = itertools.count()

        def connects():  # a busy machine may take longer than the token lives
            with contextlib.suppress(Refused):
                self.connect("c", auth={"token": self.register(self.app, f"p{next(people)}")})
                return True
        wait_for(connects, what="a connection by a token that holds")
        self.assertEqual(self.wait_end("c"), "io server disconnect")


class Draining(SocketIoTestCase):
    """What a client has sent when the server is asked to stop is done and acknowledged, though it
    sends nothing twice: that client has no `retries`."""

    SETTINGS = {"SOCKETIO_DRAIN_MS": "60000", "DRAIN_TIMEOUT_MS": "90000",
                "SOCKETIO_MAX_EVENTS_PER_SECOND": "0"}

    def is_over(self):
        self.assertEqual(self.wait_end("c"), "transport close")
        self.assertEqual(self.app.ended()[0], 0)

    def test_a_burst(self):
        self.serve(**self.SETTINGS)
        self.connect("c")
        # On another instance: here it would be ended itself, perhaps before the burst is over.
        other = self.started(**self.SETTINGS)
        self.connect("witness", url=f"http://127.0.0.1:{other.port}")
        lost = self.driver.call("burst", name="c", args=["message"], count=3000, pid=self.app.pid,
                                timeout=20000)
        self.assertEqual(lost, [])
        self.is_over()
        heard = lambda: [event[0] for event in self.driver.events("witness")]
        wait_for(lambda: len(heard()) >= 3000, what="all of it")
        self.assertEqual(heard(), [*range(3000)])

    def test_a_request_under_way_by_polling(self):
        """Its acknowledgements come with the last poll, which waits for them: after it the client
        gets no further."""
        self.serve(**self.SETTINGS)
        poll, post = self.client(), self.client()
        poll.get("/socket.io/?EIO=4&transport=polling")
        query = f"/socket.io/?EIO=4&transport=polling&sid={json.loads(poll.answer()[2][1:])['sid']}"

        def say(text):
            post.send(f"POST {query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(text)}\r\n\r\n"
                      f"{text}".encode())
        say("40" + json.dumps({"token": self.token}))
        self.assertEqual(post.answer()[0], 200)
        self.assertTrue(poll.get(query).answer()[2].startswith("40{"))
        # Each needs the database, so that most of them wait still when the signal comes.
        say("\x1e".join(f'42{number}["join","{self.project}"]' for number in range(1000)))
        packets = poll.get(query).answer()[2].split("\x1e")
        self.app.terminate()
        while packets[-1] != "1":
            packets += poll.get(query).answer()[2].split("\x1e")
        self.assertEqual(post.answer()[2], "ok")
        packets.pop()
        self.assertEqual([re.match(r"43(\d+)\[{\"success\":true", packet)[1] for packet in packets],
                         [str(number) for number in range(1000)])
        self.assertEqual(self.app.ended()[0], 0)

    def test_events_on_their_way_through_the_network(self):
        self.serve(**self.SETTINGS)
        proxy = HoldingProxy(self.port)
        self.endings.append(proxy.close)
        self.connect("c", url=f"http://127.0.0.1:{proxy.port}")
        proxy.way.clear()
        asked = [self.driver.begin("ask", name="c", args=["message", number], timeout=15000)
                 for number in range(20)]
        wait_for(lambda: proxy.held > 0, what="events on their way")
        self.app.terminate()
        self.app.said("finishing what is in flight")
        self.driver.call("state", name="c")  # all of them have been sent
        proxy.way.set()
        for one in asked:
            self.assertEqual(self.driver.finish(one)["success"], True)
        self.is_over()

    def test_a_client_that_does_not_answer_costs_the_time_for_it(self):
        self.serve(**self.SETTINGS | {"SOCKETIO_DRAIN_MS": "1000"})
        self.connect("c")
        self.driver.call("deafen", name="c")
        began = time.monotonic()
        self.app.terminate()
        self.is_over()
        self.assertGreater(time.monotonic() - began, 0.9)


if __name__ == "__main__":
    unittest.main()
