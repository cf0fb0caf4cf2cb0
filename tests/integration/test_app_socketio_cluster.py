#!/usr/bin/env python3
"""Socket.IO on several instances: Redis between them, nginx and HAProxy (as examples/load-balancer has
them) before them, and a Node server with the official adapter among them."""

import contextlib
import json
import signal
import subprocess
import threading
import unittest
import urllib.request

import socketio
from harness import wait_for
from socketio import (Driver, SocketIoTestCase, bytes_value, haproxy_program, nginx_program,
                      start_haproxy, start_nginx, start_redis)

SECRET = "0123456789abcdef0123456789abcdef"


def setUpModule():
    try:
        socketio.packages()
    except socketio.Unavailable as reason:
        raise unittest.SkipTest(str(reason)) from None


class ClusterTestCase(SocketIoTestCase):
    def setUp(self):
        super().setUp()
        self.redis, self.redis_port = start_redis(self)
        self.redis_url = f"redis://127.0.0.1:{self.redis_port}"
        self.driver = Driver(self)

    def instance(self, **env):
        app = self.started(REDIS_URL=self.redis_url, JWT_SECRET=SECRET, **env)
        app.said("Socket.IO uses the Redis adapter")
        app.url = f"http://127.0.0.1:{app.port}"
        if not self.token:
            self.account(app)
        return app

    def instances(self, count, **env):
        return [self.instance(**env) for _ in range(count)]


class Between(ClusterTestCase):
    def test_events_reach_the_clients_of_all_instances(self):
        apps = self.instances(3)
        names = [f"{index}{transports}" for index in range(3)
                 for transports in ("polling", "websocket", "upgrade")]
        for name in names:
            self.connect(name, name[1:], url=apps[int(name[0])].url)
        value = {"text": "hé", "bytes": bytes_value(b"\0\xff" * 1000), "n": [1, 2.5, -3, 2**40]}
        self.assertEqual(self.ask("0polling", "message", value)["success"], True)
        for name in names:
            self.assertEqual(self.driver.wait_events(name, 1), [[value]])
        for name in names[::3] + names[1::3]:  # not the upgraded ones
            self.ask(name, "join", self.project)
        self.ask("2websocket", "message", {"room": self.project, "text": "in the room"})
        for name in names[::3] + names[1::3]:
            self.assertEqual(self.driver.wait_events(name, 2)[1:], [[{"room": self.project,
                                                                      "text": "in the room"}]])
        self.ask("0polling", "message", "last")
        for name in names[2::3]:
            self.assertEqual(self.driver.wait_events(name, 2)[1:], [["last"]])

    def test_each_event_once_and_in_order(self):
        one, two = self.instances(2)
        self.connect("a", url=one.url)
        self.connect("b", url=two.url)
        for number in range(1000):
            self.driver.begin("emit", name="a", args=["message", number])
        self.ask("a", "message", "end")
        heard = [event[0] for event in self.driver.wait_events("b", 1001)]
        self.assertEqual(heard, [*range(1000), "end"])

    def test_a_change_on_one_instance_is_heard_on_another(self):
        one, two = self.instances(2)
        self.connect("far", url=two.url)
        self.ask("far", "join", self.project)
        path = f"/api/projects/{self.project}"
        one.request("PUT", path, {"title": "new", "content": {}}, token=self.token)
        told = self.driver.wait_events("far", 1, "project:update")[0][0]
        self.assertEqual((told["projectId"], told["title"]), (self.project, "new"))
        # Removed by one instance: the room is closed on the other.
        one.request("DELETE", path, token=self.token)
        self.driver.wait_events("far", 1, "project:removed")
        wait_for(lambda: self.ask("far", "message", {"room": self.project}).get("error"),
                 what="the room to be closed")

    def test_redis_away_and_back(self):
        one, two = self.instances(2)
        self.connect("a", url=one.url)
        self.connect("b", url=two.url)
        self.redis.kill()
        self.redis.wait()
        # Who is told that it worked has been heard everywhere: so this is an error, though the
        # clients of the same instance have heard it.
        answer = self.ask("a", "message", "alone")
        self.assertEqual(answer["error"]["code"], "SERVICE_UNAVAILABLE")
        self.assertEqual(self.driver.wait_events("a", 1), [["alone"]])
        self.redis, _ = start_redis(self, self.redis_port)

        def heard():
            self.ask("a", "message", "again")
            return ["again"] in self.driver.events("b")
        wait_for(heard, what="the other instance to hear again")
        self.assertNotIn(["alone"], self.driver.events("b"))
        wait_for(lambda: any("connected again" in line["message"] for line in two.complaints()),
                 what="the warning that events may have been missed")

    def test_noise_on_the_channels_harms_nobody(self):
        for name, app in zip(("ours", "other"), self.instances(2)):
            self.connect(name, url=app.url)
        for channel in ("socket.io#/#", "socket.io-request#/#", "socket.io-response#/#"):
            for noise in (b"", b"{", b"\x91" * 500, b"\xc1", b'{"type":5}', b'{"type":7}',
                          b'{"type":2,"opts":{"rooms":7},"rooms":{}}', b"\xdf\xff\xff\xff\xff"):
                subprocess.run(["redis-cli", "-p", str(self.redis_port), "-x", "publish", channel],
                               input=noise, capture_output=True, check=True)
        self.assertEqual(self.ask("ours", "message", "fine")["success"], True)
        self.assertEqual(self.driver.wait_events("other", 1), [["fine"]])


class OneHost(SocketIoTestCase):
    """Without Redis: the processes that share a DATA_DIR, servers and workers, are one."""

    def setUp(self):
        super().setUp()
        self.driver = Driver(self)
        self.instances = [self.started(SOCKETIO_NAMESPACES="/chat", WORKER_INLINE="false")
                          for _ in range(3)]
        for app in self.instances:
            app.url = f"http://127.0.0.1:{app.port}"
        self.account(self.instances[0])

    def sockets(self):
        return sorted(path.name for path in (self.dir / "data/events").iterdir())

    def test_events_reach_the_clients_of_all_instances(self):
        for index, app in enumerate(self.instances):
            self.connect(f"{index}", url=app.url)
        value = {"text": "hé", "bytes": bytes_value(b"\0\xff" * 300_000)}
        self.assertEqual(self.ask("0", "message", value), {"success": True})
        for number in range(500):
            self.driver.begin("emit", name="0", args=["message", number])
        self.ask("0", "message", "end")
        for name in "012":
            heard = [event[0] for event in self.driver.wait_events(name, 502)]
            self.assertEqual(heard, [value, *range(500), "end"], "once each, and in order")
        for name in "02":
            self.ask(name, "join", self.project)
        told = {"room": self.project, "text": "in the room"}
        self.ask("2", "message", told)
        self.ask("2", "message", "last")
        for name, more in ("0", [[told], ["last"]]), ("1", [["last"]]), ("2", [[told], ["last"]]):
            self.assertEqual(self.driver.wait_events(name, 502 + len(more))[502:], more)
        for name, app in zip("012", self.instances):
            self.driver.call("enter", name=name + "c", of=name, nsp="/chat", auth={})
            wait_for(lambda name=name: self.driver.call("state", name=name + "c")["connected"])
        self.ask("1c", "message", "to the chat")
        for name in "012":
            self.assertEqual(self.driver.wait_events(name + "c", 1), [["to the chat"]])

    def test_a_change_on_one_instance_is_heard_on_another(self):
        self.connect("far", url=self.instances[2].url)
        self.ask("far", "join", self.project)
        path = f"/api/projects/{self.project}"
        self.instances[0].request("PUT", path, {"title": "new", "content": {}}, token=self.token)
        told = self.driver.wait_events("far", 1, "project:update")[0][0]
        self.assertEqual((told["projectId"], told["title"]), (self.project, "new"))
        self.instances[1].request("DELETE", path, token=self.token)
        wait_for(lambda: self.ask("far", "message", {"room": self.project}).get("error"),
                 what="the room to be closed")

    def test_a_worker_tells_of_its_progress(self):
        self.connect("far", url=self.instances[2].url)
        self.ask("far", "join", self.project)
        answer = self.instances[0].post(f"/api/projects/{self.project}/export", token=self.token)
        self.assertEqual(answer.status, 202, answer)
        export = answer.json["data"]["exportId"]
        self.start(args=["--worker"], WORKER_INLINE="false")

        def completed():
            events = [event for [event] in self.driver.events("far", "export:progress")]
            return [one for one in events if one["status"] == "completed"] and events
        events = wait_for(completed, what="the end of the export")
        self.assertEqual({one["exportId"] for one in events}, {export})
        progress = [one["progress"] for one in events]
        self.assertEqual((progress, progress[-1]), (sorted(progress), 100))

    def test_who_was_killed_is_forgotten(self):
        self.connect("a", url=self.instances[0].url)
        self.connect("b", url=self.instances[1].url)
        self.assertEqual(len(self.sockets()), 3)
        self.instances[2].kill()
        self.ask("a", "message", 1)
        self.assertEqual(self.driver.wait_events("b", 1), [[1]])
        wait_for(lambda: len(self.sockets()) == 2, what="the dead one's socket to be cleared away")
        # One that comes back is one of them again; who leaves in good order leaves nothing.
        self.instances[2] = self.started()
        self.connect("c", url=f"http://127.0.0.1:{self.port}")
        self.ask("a", "message", 2)
        self.assertEqual(self.driver.wait_events("c", 1), [[2]])
        self.assertEqual(self.instances[2].terminate().ended(), (0, ""))
        self.assertEqual(len(self.sockets()), 2)

    def test_one_that_stands_still_holds_nobody(self):
        self.connect("a", url=self.instances[0].url)
        self.connect("b", url=self.instances[1].url)
        self.instances[2].process.send_signal(signal.SIGSTOP)
        try:
            text = "x" * 100_000
            for _ in range(100):  # more than is kept for it
                self.assertEqual(self.ask("a", "message", text)["success"], True)
            self.driver.wait_events("b", 100)
            wait_for(lambda: any("does not take its events" in line["message"]
                                 for line in self.instances[0].complaints()), what="the warning")
        finally:
            self.instances[2].process.send_signal(signal.SIGCONT)


class WithoutRedis(SocketIoTestCase):
    def test_the_log_says_so(self):
        self.serve()
        warnings = wait_for(lambda: [
            line["level"] for line in map(json.loads, self.app.err.read_text().splitlines())
            if "Socket.IO running without Redis adapter" in line["message"]], what="the warning")
        self.assertEqual(warnings, ["warn"])


class Balanced(ClusterTestCase):
    """Behind nginx and HAProxy."""

    BALANCERS = {"nginx": (nginx_program, start_nginx), "haproxy": (haproxy_program, start_haproxy)}

    def before(self, balancer, apps):
        program, start = self.BALANCERS[balancer]
        if not program():
            self.skipTest(f"{balancer} is not installed")
        port = start(self, [app.port for app in apps])
        url = f"http://127.0.0.1:{port}"

        def ready():
            with contextlib.suppress(OSError), urllib.request.urlopen(url + "/health/live"):
                return True
        wait_for(ready, what="an answer through the balancer")
        return url

    def connections_of(self, app):
        """How many clients of its are WebSockets: the ports that are connected to it."""
        done = subprocess.run(["ss", "-Htn", "state", "established", f"sport = :{app.port}"],
                              capture_output=True, text=True, check=True)
        return len(done.stdout.splitlines())

    def check_clients(self, balancer):
        apps = self.instances(3)
        url = self.before(balancer, apps)
        names = []
        for transports in ("polling", "websocket", "upgrade"):
            for index in range(6):
                names.append(f"{transports}{index}")
                # Polls are kept together by the client's address: each of these has its own.
                self.connect(names[-1], transports, url=url,
                             **({"localAddress": f"127.0.0.{10 + index}"}
                                if transports != "websocket" else {}))
        for app in apps:
            self.assertGreater(self.connections_of(app), 0, "an instance without a client")
        for index, name in enumerate(names):
            self.assertEqual(self.ask(name, "join", self.project)["success"], True)
            self.assertEqual(self.ask(name, "message", index)["success"], True)
        for name in names:
            heard = self.driver.wait_events(name, len(names))
            self.assertEqual(heard, [[index] for index in range(len(names))])
        self.ask(names[0], "message", {"room": self.project, "b": bytes_value(b"\1" * 50_000)})
        for name in names:
            self.driver.wait_events(name, len(names) + 1)
            self.assertEqual(self.driver.said(name, "disconnect"), [])

    def test_every_transport_behind_nginx(self):
        self.check_clients("nginx")

    def test_every_transport_behind_haproxy(self):
        self.check_clients("haproxy")

    def check_reload(self, balancer):
        """Instances are replaced one after the other while clients talk: whoever had an event
        acknowledged finds it with every client that was connected then and is told of every end."""
        unhurried = {"DRAIN_TIMEOUT_MS": "20000"}  # to exit with 0, all must have ended by then
        apps = self.instances(3, **unhurried)
        url = self.before(balancer, apps)
        again = {"reconnection": True, "reconnectionDelay": 20, "reconnectionDelayMax": 100}
        for name in ("talker", "poller", "listener"):
            self.connect(name, "polling" if name == "poller" else "websocket", url=url, **again)
        # On an instance of its own, which stays: hears what was acknowledged, and misses nothing.
        witness = self.instance()
        self.connect("witness", url=witness.url)
        acknowledged, failed = [], []
        over = threading.Event()
        talk = Driver(self)
        talk.call("connect", name="t", url=url, options={"transports": ["websocket"], **again})

        def emit():
            number = 0
            while not over.is_set():
                number += 1
                try:
                    sent = talk.call("ask", name="t", args=["message", number], timeout=2000)
                    (acknowledged if sent["success"] else failed).append(number)
                except socketio.Refused:
                    failed.append(number)
        thread = threading.Thread(target=emit)
        thread.start()
        try:
            for app in apps:
                fresh = unhurried | {"PORT": str(app.port)}
                app.terminate()
                self.assertEqual(app.ended()[0], 0)
                self.instance(**fresh)
                so_far = len(acknowledged)
                wait_for(lambda: len(acknowledged) > so_far + 5, what="talk between two of them")
        finally:
            over.set()
            thread.join()
        self.assertGreater(len(acknowledged), 50)
        wait_for(lambda: {event[0] for event in self.driver.events("witness")}
                 >= set(acknowledged), what="all acknowledged events")
        numbers = [event[0] for event in self.driver.events("witness")]
        self.assertEqual(len(numbers), len(set(numbers)), "an event twice")
        for name in ("talker", "poller", "listener"):
            wait_for(lambda: self.driver.call("state", name=name)["connected"],
                     what=f"{name} to be connected again")
            reasons = set(self.driver.said(name, "disconnect"))
            self.assertLessEqual(reasons, {"transport close", "transport error"})
        print(f"{balancer}: {len(acknowledged)} acknowledged, {len(failed)} not, in a reload of 3")

    def test_a_rolling_reload_behind_nginx(self):
        self.check_reload("nginx")

    def test_a_rolling_reload_behind_haproxy(self):
        self.check_reload("haproxy")


class WithNode(ClusterTestCase):
    """A Node server with the official adapter on the same Redis."""

    def setUp(self):
        super().setUp()
        self.app = self.instance()
        self.node = Driver(self)
        self.node_url = f"http://127.0.0.1:{self.node.call('serve', redis=self.redis_url)}"
        self.connect("ours", url=self.app.url)
        self.connect("other", url=self.app.url)
        self.driver.call("connect", name="theirs", url=self.node_url,
                         options={"transports": ["websocket"]})
        self.ids = {name: self.driver.call("state", name=name)["id"]
                    for name in ("ours", "other", "theirs")}

    def emit(self, *args, **to):
        self.node.call("server_emit", args=list(args), **to)

    def test_broadcasts_both_ways(self):
        value = {"z": "hé", "a": [1, -2, 3.25, None, True, 2**40], "b": bytes_value(b"\0\1\2")}
        self.emit("message", value, bytes_value(b"x" * 70_000))
        self.assertEqual(self.driver.wait_events("ours", 1),
                         [[value, bytes_value(b"x" * 70_000)]])
        self.emit("message", {"$date": 1_700_000_000_123})
        self.assertEqual(self.driver.wait_events("ours", 2)[1], ["2023-11-14T22:13:20.123Z"])
        self.assertEqual(self.ask("ours", "message", value, bytes_value(b"y"))["success"], True)
        heard = self.driver.wait_events("theirs", 3)[2]
        self.assertEqual(heard, [value, bytes_value(b"y")])
        self.assertEqual(list(heard[0]), list(value), "the order of the keys")

    def test_rooms_both_ways(self):
        self.ask("ours", "join", self.project)
        self.driver.call("ask", name="theirs", args=["join", self.room])
        self.emit("message", "to the room", rooms=[self.room])
        self.emit("message", "to two rooms", rooms=[self.room, self.ids["other"]])
        self.emit("message", "but not there", rooms=[self.room, self.ids["other"]],
                  **{"except": [self.room]})
        self.emit("message", "to nobody", rooms=["project:p2"])
        self.emit("message", "to all")
        self.assertEqual(self.driver.wait_events("ours", 3),
                         [["to the room"], ["to two rooms"], ["to all"]])
        self.assertEqual(self.driver.wait_events("other", 3),
                         [["to two rooms"], ["but not there"], ["to all"]])
        self.ask("ours", "message", {"room": self.project, "text": "from ours"})
        self.assertEqual(self.driver.wait_events("theirs", 4)[3],
                         [{"room": self.project, "text": "from ours"}])
        self.assertEqual(len(self.driver.events("other")), 3)

    def test_a_node_server_asks_for_our_sockets(self):
        self.ask("ours", "join", self.project)
        sockets = {one["id"]: one for one in self.node.call("fetch")}
        self.assertEqual(set(sockets), set(self.ids.values()))
        self.assertEqual(sockets[self.ids["ours"]]["rooms"], [self.ids["ours"], self.room])
        self.assertEqual(sockets[self.ids["ours"]]["address"], "127.0.0.1")
        self.assertEqual([one["id"] for one in self.node.call("fetch", rooms=[self.room])],
                         [self.ids["ours"]])
        self.assertIn(self.room, self.node.call("all_rooms"))

    def test_a_node_server_moves_and_ends_our_sockets(self):
        self.node.call("sockets_join", rooms=[self.ids["ours"]], to="moved")
        self.emit("message", "moved", rooms=["moved"])
        self.assertEqual(self.driver.wait_events("ours", 1), [["moved"]])
        self.node.call("sockets_leave", rooms=["moved"], to="moved")
        self.emit("message", "nobody", rooms=["moved"])
        self.node.call("disconnect", rooms=[self.ids["ours"]], close=False)
        self.assertEqual(self.wait_end("ours"), "io server disconnect")
        self.node.call("disconnect", rooms=[self.ids["other"]], close=True)
        self.wait_end("other")
        self.assertEqual(self.driver.events("ours"), [["moved"]])

    def test_our_clients_acknowledge_a_broadcast_of_a_node_server(self):
        answers = self.node.call("server_ask", args=["question"])
        self.assertEqual(sorted(answers), ["other", "ours", "theirs"])

    def test_servers_talk_without_their_clients(self):
        # We listen to nothing, and answer so: the Node server must not wait for its time-out.
        self.assertEqual(self.node.call("server_side", args=["hello", 1]), [None])


if __name__ == "__main__":
    unittest.main()
