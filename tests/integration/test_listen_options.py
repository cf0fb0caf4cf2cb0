#!/usr/bin/env python3
"""The options of `listen`, and balance "reuseport": what the kernel is told of each socket."""
import collections
import contextlib
import json
import os
import pathlib
import pwd
import signal
import socket
import unittest

from harness import http_get, is_alive, wait_for
from obedient import ObedientTestCase


def request(connection):
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")


def answer(connection):
    """What the server says to a `request`, as a dict."""
    connection.settimeout(30)
    text = b"".join(iter(lambda: connection.recv(65536), b""))
    return json.loads(text.partition(b"\r\n\r\n")[2])


def is_stopped(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


class ListenOptions(ObedientTestCase):
    def serve(self, *addresses, **attributes):
        self.ctl("start", self.ecosystem(
            self.obedient(listen=list(addresses), wait_ready=True, **attributes)))

    def ask(self, port):
        return json.loads(http_get(port)[1])

    def ask_v6(self, port):
        with socket.create_connection(("::1", port), timeout=10) as connection:
            request(connection)
            return answer(connection)

    def test_ipv6_only_decides_whether_ipv4_comes_in_too(self):
        cases = [({}, 0), ({"ipv6_only": False}, 0), ({"ipv6_only": True}, 1)]
        for options, want in cases:
            for text, default in (("{}", 0), ("[::]:{}", 1)):
                with self.subTest(options=options, address=text):
                    port = self.free_port()
                    want_here = want if options else default
                    self.serve({"address": text.format(port)} | options)
                    self.assertEqual(self.ask_v6(port)["listener"]["ipv6_only"], want_here)
                    with socket.socket() as client:
                        refused = client.connect_ex(("127.0.0.1", port)) != 0
                    self.assertEqual(refused, want_here == 1)
                    self.ctl("delete", "api")

    def test_nodelay_is_on_in_each_connection(self):
        plain, quick = self.free_port(), self.free_port()
        self.serve(f"127.0.0.1:{plain}", {"address": f"127.0.0.1:{quick}", "nodelay": True})
        self.assertEqual(self.ask(plain)["nodelay"], 0)
        self.assertNotEqual(self.ask(quick)["nodelay"], 0)

    def test_backlog_is_what_was_asked_for(self):
        port = self.free_port()
        self.serve({"address": f"127.0.0.1:{port}", "backlog": 17})
        self.assertEqual(self.ask(port)["listener"]["backlog"], 17)

    def test_names_come_in_the_order_of_the_addresses(self):
        port = self.free_port()
        self.serve({"address": f"127.0.0.1:{port}", "name": "public"}, f"unix:{self.dir}/s")
        self.assertEqual(self.ask(port)["names"], f"public:unix{self.dir}/s")

    def test_reuse_port_lets_another_program_of_the_user_in(self):
        closed, shared = self.free_port(), self.free_port()
        self.serve(f"127.0.0.1:{closed}", {"address": f"127.0.0.1:{shared}", "reuse_port": True})

        def can_join(port):
            with socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                with contextlib.suppress(OSError):
                    other.bind(("127.0.0.1", port))
                    return True
            return False
        self.assertTrue(can_join(shared))
        self.assertFalse(can_join(closed))

    def test_mode_of_a_unix_socket(self):
        self.serve({"address": f"unix:{self.dir}/s", "mode": "0620"})
        self.assertEqual((self.dir / "s").stat().st_mode & 0o777, 0o620)
        self.ctl("reload", "api")
        self.assertEqual((self.dir / "s").stat().st_mode & 0o777, 0o620)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_owner_of_a_unix_socket(self):
        nobody = pwd.getpwnam("nobody")
        cases = [("nobody", (nobody.pw_uid, nobody.pw_gid)),
                 (f"{nobody.pw_uid}:0", (nobody.pw_uid, 0))]
        for owner, want in cases:
            with self.subTest(owner):
                self.serve({"address": f"unix:{self.dir}/s", "owner": owner})
                about = (self.dir / "s").stat()
                self.assertEqual((about.st_uid, about.st_gid), want)
                self.ctl("delete", "api")


class Reuseport(ObedientTestCase):
    def setUp(self):
        super().setUp()
        self.port = self.free_port()
        self.ctl("start", self.ecosystem(self.obedient(
            listen=f"127.0.0.1:{self.port}", balance="reuseport", instances=2, wait_ready=True)))

    def connect(self, count):
        """So many connections with a request on each."""
        connections = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
            self.addCleanup(connection.close)
            request(connection)
            connections.append(connection)
        return connections

    def test_each_worker_has_a_socket_and_new_connections_are_spread_evenly(self):
        answers = [answer(connection) for connection in self.connect(400)]
        by_pid = collections.Counter(said["pid"] for said in answers)
        self.assertEqual(set(by_pid), set(self.pids()))
        self.assertLess(max(by_pid.values()), 1.5 * min(by_pid.values()), by_pid)
        inodes = {said["pid"]: said["listener"]["inode"] for said in answers}
        self.assertEqual(len(set(inodes.values())), 2)

    def test_the_next_process_serves_the_queue_of_one_that_was_killed(self):
        before = self.pids()
        for pid in before:
            os.kill(pid, signal.SIGSTOP)
        for pid in before:  # the signal is on its way when kill returns
            wait_for(lambda: is_stopped(pid), what="it to stand still")
        connections = self.connect(40)  # they wait in the two queues
        os.kill(before[0], signal.SIGKILL)
        os.kill(before[1], signal.SIGCONT)
        wait_for(lambda: not is_alive(before[0]), what="its end")
        served = collections.Counter(answer(connection)["pid"] for connection in connections)
        self.assertEqual(self.pids()[1], before[1])
        self.assertEqual(set(served), {self.pids()[0], before[1]})
        self.assertNotIn(before[0], self.pids())

    def test_nobody_is_refused_while_one_is_down(self):
        self.connect(10)
        before = self.pids()
        os.kill(before[0], signal.SIGKILL)
        for connection in self.connect(50):
            self.assertIn(answer(connection)["pid"], self.pids())


if __name__ == "__main__":
    unittest.main()
