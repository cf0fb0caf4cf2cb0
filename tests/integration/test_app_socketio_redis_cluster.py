#!/usr/bin/env python3
"""Socket.IO on three instances with a Redis Cluster between them: rooms and broadcasts, a Node server
with the official adapter among them, and a master that is killed while clients talk."""

import datetime
import threading
import unittest

import socketio
from harness import wait_for
from servers_redis import Cluster, answers
from socketio import Driver, SocketIoTestCase, bytes_value

PASSWORD = "of the servers"
SECRET = "0123456789abcdef0123456789abcdef"


def setUpModule():
    try:
        socketio.packages()
    except socketio.Unavailable as reason:
        raise unittest.SkipTest(str(reason)) from None


class OverACluster(SocketIoTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.servers = Cluster(PASSWORD)
        cls.addClassCleanup(cls.servers.stop)

    def setUp(self):
        super().setUp()
        wait_for(self.servers.is_ready, 30, "the Cluster to be whole")
        self.driver = Driver(self)
        env = self.servers.environment() | {"JWT_SECRET": SECRET}
        self.instances = [self.started(**env) for _ in range(3)]
        for app in self.instances:
            app.url = f"http://127.0.0.1:{app.port}"
            self.assertEqual(app.said("Socket.IO uses the Redis adapter")["redis"],
                             "redis-cluster")
            wait_for(lambda app=app: app.get("/health/ready").status == 200, what="readiness")
        self.account(self.instances[0])

    def listened_to(self):
        """The port of the server that most instances listen to: each has one pattern."""
        patterns = {port: answers(port, "PUBSUB", "NUMPAT", password=PASSWORD) or 0
                    for port in self.servers.ports}
        return max(patterns, key=patterns.get)

    def back_at(self, app):
        """When the last of its subscriptions was there again, in seconds."""
        return max(datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()
                   for line in app.complaints() if "connected again" in line["message"])

    def test_rooms_and_broadcasts(self):
        names = [f"{index}{transports}" for index in range(3)
                 for transports in ("polling", "websocket", "upgrade")]
        for name in names:
            self.connect(name, name[1:], url=self.instances[int(name[0])].url)
        value = {"text": "hé", "bytes": bytes_value(b"\0\xff" * 1000), "n": [1, 2.5, -3, 2**40]}
        self.assertEqual(self.ask("0polling", "message", value), {"success": True})
        for name in names:
            self.assertEqual(self.driver.wait_events(name, 1), [[value]])
        inside, outside = names[::2], names[1::2]
        for name in inside:
            self.ask(name, "join", self.project)
        told = {"room": self.project, "text": "in the room"}
        # Of one sender: those of two may pass each other between two servers of the Cluster.
        self.assertEqual(self.ask(inside[-1], "message", told)["success"], True)
        self.assertEqual(self.ask(inside[-1], "message", "last")["success"], True)
        for name in inside:
            self.assertEqual(self.driver.wait_events(name, 3)[1:], [[told], ["last"]])
        for name in outside:
            self.assertEqual(self.driver.wait_events(name, 2)[1:], [["last"]])

    def test_a_change_of_the_api_is_heard_on_another_instance(self):
        self.connect("far", url=self.instances[2].url)
        self.ask("far", "join", self.project)
        path = f"/api/projects/{self.project}"
        self.instances[0].request("PUT", path, {"title": "new", "content": {}}, token=self.token)
        told = self.driver.wait_events("far", 1, "project:update")[0][0]
        self.assertEqual((told["projectId"], told["title"]), (self.project, "new"))
        self.instances[1].request("DELETE", path, token=self.token)
        wait_for(lambda: self.ask("far", "message", {"room": self.project}).get("error"),
                 what="the room to be closed")

    def test_a_node_server_in_the_same_cluster(self):
        node = Driver(self)
        nodes = [f"redis://127.0.0.1:{port}" for port in self.servers.ports[:3]]
        port = node.call("serve", cluster=nodes, password=PASSWORD)
        self.connect("ours", url=self.instances[0].url)
        self.connect("other", url=self.instances[2].url)
        self.driver.call("connect", name="theirs", url=f"http://127.0.0.1:{port}",
                         options={"transports": ["websocket"]})
        value = {"z": "hé", "b": bytes_value(b"\0\1\2"), "n": 2**40}
        node.call("server_emit", args=["message", value])
        self.assertEqual(self.ask("other", "message", value)["success"], True)
        for name in ("ours", "other", "theirs"):
            self.assertEqual(self.driver.wait_events(name, 2), [[value], [value]])
        self.ask("ours", "join", self.project)
        self.driver.call("ask", name="theirs", args=["join", self.room])
        node.call("server_emit", args=["message", "from Node"], rooms=[self.room])
        self.ask("ours", "message", {"room": self.room, "text": "from ours"})
        for name in ("ours", "theirs"):
            heard = self.driver.wait_events(name, 4)[2:]
            self.assertCountEqual(heard, [["from Node"],
                                          [{"room": self.room, "text": "from ours"}]])
        self.assertEqual(len(self.driver.events("other")), 2)
        ids = {self.driver.call("state", name=name)["id"] for name in ("ours", "other", "theirs")}
        self.assertEqual({one["id"] for one in node.call("fetch")}, ids)
        self.assertEqual(sorted(node.call("server_ask", args=["question"])),
                         ["other", "ours", "theirs"])

    def test_a_master_killed_under_load(self):
        """Who has `retries` gets an answer to every event; what was said to have been passed on
        was: but for the moment in which an instance has lost its subscription, which its log tells."""
        for index in (1, 2):
            self.connect(f"listener{index}", url=self.instances[index].url)
        talk = Driver(self)
        talk.call("connect", name="t", url=self.instances[0].url,
                  options={"transports": ["websocket"], "retries": 5, "ackTimeout": 5000})
        done, refused = [], []
        over = threading.Event()

        def emit():
            number = 0
            while not over.is_set():
                number += 1
                answer = talk.call("ask", name="t", args=["message", number])
                (done if answer["success"] else refused).append(number)

        def more(count):
            target = len(done) + count
            wait_for(lambda: len(done) >= target, 30, f"{count} further events")
        thread = threading.Thread(target=emit)
        thread.start()
        try:
            more(100)
            lost = self.listened_to()
            before = done[-1]
            self.servers.kill(str(lost))
            self.addCleanup(self.servers.again, str(lost))
            for app in self.instances:
                wait_for(lambda app=app: any("connected again" in line["message"]
                                             for line in app.complaints()), 30,
                         "the subscription to be there again")
            whole = done[-1] + 1
            wait_for(lambda: self.instances[0].get("/health/ready").status == 200, 30,
                     "a new master")
            more(300)
        finally:
            over.set()
            thread.join()
        back = [self.back_at(app) for app in self.instances]
        for index in (1, 2):
            name = f"listener{index}"
            wait_for(lambda name=name: self.driver.events(name)[-1] == [done[-1]],
                     what="the last one")
            heard = [event[0] for event in self.driver.events(name)]
            self.assertEqual(heard, sorted(set(heard)), "an event twice, or out of order")
            missed = sorted(set(done) - set(heard))
            print(f"{name}: {len(done)} done, {len(refused)} refused, missed {missed}, back "
                  f"{back[index] - back[0]:+.3f} s after the first")
            self.assertEqual([one for one in missed if not before < one < whole], [])
            # The first instance waits a second for the others before it trusts them again.
            if back[index] - back[0] < 0.9:
                self.assertEqual(missed, [])


if __name__ == "__main__":
    unittest.main()
