"""clusterapp by itself: HTTP, the sockets it is given, and the way it ends."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import unittest

from app_server import AppTestCase
from harness import BIN, http_get

FINISHING = "finishing what is in flight"


class Http(AppTestCase):
    def test_health_tells_who_answers(self):
        app = self.started(NODE_APP_INSTANCE="3")
        for path in "/health", "/health/live", "/health/ready":
            status, body = http_get(self.port, path)
            self.assertEqual(status, 200, path)
            facts = json.loads(body)
            self.assertGreaterEqual(facts.pop("uptime_s"), 0)
            self.assertRegex(facts.pop("version"), r"^\d+\.\d+\.\d+$")
            facts.pop("checks", None)
            self.assertEqual(facts, {"status": "ok", "instance": 3, "pid": app.pid})

    def test_a_greeting_tells_instance_and_pid(self):
        app = self.started(NODE_APP_INSTANCE="0")
        status, body = http_get(self.port, "/")
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(body),
                         {"message": "hello from clusterapp", "instance": 0, "pid": app.pid})

    def test_a_connection_serves_many_requests(self):
        self.started()
        client = self.client()
        for _ in range(3):
            status, headers, _ = client.get("/").answer()
            self.assertEqual(status, 200)
            self.assertNotEqual(headers.get("connection"), "close")
            self.assertEqual(headers["content-type"], "application/json")
            self.assertRegex(headers["date"], r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")

    def test_pipelined_requests_are_answered_in_order(self):
        self.started()
        client = self.client()
        request = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"
        paths = ["/slow?ms=30", "/nope", "/", "/slow?ms=bad", "/health"]
        client.send("".join(map(request.format, paths)).encode())
        self.assertEqual([client.answer()[0] for _ in paths], [200, 404, 200, 400, 200])

    def test_head_has_the_header_of_get_and_no_body(self):
        self.started()
        client = self.client()
        _, by_get, body = client.get("/").answer()
        client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        status, by_head, _ = client.answer(body=False)
        self.assertEqual(status, 200)
        self.assertEqual(by_head["content-length"], by_get["content-length"])
        self.assertEqual(int(by_get["content-length"]), len(body))
        self.assertEqual(client.get("/nope").answer()[0], 404)  # nothing stands in between

    def test_a_wrong_method_is_told_the_right_ones(self):
        self.started()
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        status, headers, _ = client.answer()
        self.assertEqual((status, headers["allow"]), (405, "GET, HEAD"))
        self.assertEqual(client.get("/").answer()[0], 200)  # the body was read

    def test_http_1_0_closes_unless_asked_to_stay(self):
        self.started()
        client = self.client().send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(client.answer()[0], 200)
        self.assertTrue(client.at_end())
        client = self.client()
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            self.assertEqual(client.answer()[0], 200)

    def test_a_client_that_expects_continue_gets_it(self):
        self.started()
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                    b"Content-Length: 2\r\n\r\n")
        self.assertEqual(client.answer()[0], 100)
        self.assertEqual(client.send(b"ok").answer()[0], 405)

    def test_bad_input_gets_an_answer_and_a_closed_connection(self):
        app = self.started()
        rows = [
            ("garbage", b"\x00\xff\xfe garbage\r\n\r\n", 400),
            ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
            ("no version", b"GET /\r\n\r\n", 400),
            ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            ("no Host", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
            ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
             400),
            ("bad length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
            ("length and chunks", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
             b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            ("header of 9 KiB", b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
            ("header of 1 MiB", b"GET / HTTP/1.1\r\nX: " + b"x" * (1 << 20) + b"\r\n\r\n", 431),
            ("target of 1 MiB", b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1\r\n\r\n", 431),
            ("body of 2 MiB", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2097152\r\n\r\n"
             + b"x" * (2 << 20), 413),
            ("2 MiB in chunks", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"200000\r\n" + b"x" * (2 << 20) + b"\r\n0\r\n\r\n", 413),
        ]
        for name, data, want in rows:
            with self.subTest(name):
                client = self.client().send(data)
                status, headers, body = client.answer()
                self.assertEqual((status, headers["connection"]), (want, "close"))
                self.assertIn("error", json.loads(body))
                self.assertTrue(client.at_end())
                client.close()
        self.assertEqual(http_get(self.port)[0], 200)
        self.assertIsNone(app.process.poll())

    def test_a_body_of_exactly_1_mib_is_read(self):
        self.started()
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n"
                    + b"x" * (1 << 20))
        self.assertEqual(client.answer()[0], 405)
        self.assertEqual(client.get("/").answer()[0], 200)

    def test_clients_that_go_away_do_no_harm(self):
        app = self.started()
        for data in b"", b"GET / HT", b"GET /slow?ms=20 HTTP/1.1\r\nHost: x\r\n\r\n":
            for _ in range(5):
                client = self.client().send(data)
                # A reset instead of a FIN.
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                         b"\1\0\0\0\0\0\0\0")
                client.close()
        self.assertEqual(http_get(self.port)[0], 200)
        app.terminate()
        self.assertEqual(app.ended(), (0, ""))

    def test_a_request_that_never_ends_is_timed_out(self):
        self.started(HEADER_TIMEOUT_MS="1000", BODY_TIMEOUT_MS="1000")
        for data in (b"GET / HTTP/1.1\r\nHo",
                     b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"):
            client = self.client().send(data)
            self.assertEqual(client.answer()[0], 408)
            self.assertTrue(client.at_end())

    def test_an_idle_connection_is_closed_without_a_word(self):
        self.started(KEEP_ALIVE_TIMEOUT_MS="1000")
        self.assertTrue(self.client().at_end())
        client = self.client().get("/")
        client.answer()
        self.assertTrue(client.at_end())


class Sockets(AppTestCase):
    def listening(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        listener = socket.socket(family)
        self.addCleanup(listener.close)
        listener.bind(address)
        listener.listen(64)
        return listener

    def test_sockets_are_taken_from_the_supervisor(self):
        tcp = self.listening(("127.0.0.1", 0))
        path = str(self.dir / "app.sock")
        local = self.listening(path)
        app = self.start([tcp.fileno(), local.fileno()], LISTEN_FDNAMES="web:admin")
        port = tcp.getsockname()[1]
        app.said(f"listening on 127.0.0.1:{port} (from the supervisor)")
        app.said(f"listening on unix:{path} (from the supervisor)")
        for address in ("127.0.0.1", port), path:
            self.assertEqual(self.client(address).get("/health").answer()[0], 200)

    def test_what_was_passed_must_be_a_listening_socket(self):
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plain = open("/dev/null")
        for stranger in datagram, plain, socket.socket():
            with self.subTest(stranger), stranger:
                code, err = self.start([stranger.fileno()], LISTEN_FDNAMES="web").ended()
                self.assertEqual(code, 1)
                self.assertRegex(json.loads(err)["message"],
                                 r"^take over socket 3 \(web\): .*socket")

    def test_no_descriptor_would_reach_a_child(self):
        tcp = self.listening(("127.0.0.1", 0))
        app = self.start([tcp.fileno()])
        client = self.client(tcp.getsockname())
        client.get("/").answer()
        fds = pathlib.Path(f"/proc/{app.pid}/fdinfo")
        looked_at = 0
        for entry in fds.iterdir():
            if int(entry.name) <= 2:
                continue
            with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
                flags = int(re.search(r"flags:\s+(\d+)", entry.read_text())[1], 8)
                what = os.readlink(f"/proc/{app.pid}/fd/{entry.name}")
                self.assertTrue(flags & os.O_CLOEXEC, what)
                looked_at += 1
        self.assertGreater(looked_at, 3)

    def test_workers_share_a_socket_and_one_of_them_can_leave(self):
        tcp = self.listening(("127.0.0.1", 0))
        port = tcp.getsockname()[1]
        apps = [self.start([tcp.fileno()], NODE_APP_INSTANCE=str(i)) for i in range(2)]
        for app in apps:
            app.listens()

        def ask(_):
            status, body = http_get(port)
            return status, json.loads(body)["instance"]

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            asked = pool.map(ask, range(400))
            first = [next(asked) for _ in range(50)]
            apps[0].process.send_signal(signal.SIGINT)
            answers = first + list(asked)
        self.assertEqual({status for status, _ in answers}, {200})
        self.assertEqual(apps[0].ended(), (0, ""))
        self.assertEqual({ask(i) for i in range(20)}, {(200, 1)})

    def test_a_port_that_is_taken_is_named(self):
        taken = self.listening(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        code, err = self.start(PORT=str(port)).ended()
        self.assertEqual(code, 1)
        self.assertEqual(json.loads(err)["message"],
                         f"cannot listen on 127.0.0.1:{port}: address already in use")

    def test_without_a_host_both_ip_versions_are_served(self):
        app = self.start(HOST=None)
        app.listens()
        port = app.port
        self.assertEqual(http_get(port)[0], 200)
        if socket.has_ipv6 and pathlib.Path("/proc/net/if_inet6").exists():
            with socket.create_connection(("::1", port), timeout=10) as six:
                six.sendall(b"GET / HTTP/1.0\r\n\r\n")
                self.assertTrue(six.recv(100).startswith(b"HTTP/1."))

    def test_a_wrong_setting_is_explained(self):
        for env, want in (
                ({"HOST": "localhost"}, 'HOST must be an IPv4 or IPv6 address, got "localhost"'),
                ({"PORT": "x"}, 'PORT must be an integer from 0 to 65535, got "x"')):
            self.assertEqual(self.start(**env).ended(), (2, f"clusterapp: {want}\n"))

    def test_it_says_that_it_is_ready_and_that_it_stops(self):
        for address in str(self.dir / "notify"), f"\0{self.dir}":
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
                heard.settimeout(10)
                heard.bind(address)
                app = self.started(NOTIFY_SOCKET=address.replace("\0", "@"))
                self.assertEqual(heard.recv(100), b"READY=1")
                app.terminate()
                self.assertEqual(heard.recv(100), b"STOPPING=1")
                self.assertEqual(app.ended(), (0, ""))


class Drain(AppTestCase):
    def test_what_is_in_flight_is_answered(self):
        for number in signal.SIGINT, signal.SIGTERM:
            app = self.started(DRAIN_TIMEOUT_MS="20000")
            client = self.client().get("/slow?ms=2000")
            idle = self.client()
            idle.get("/").answer()
            app.process.send_signal(number)
            status, headers, body = client.answer()
            self.assertEqual((status, headers["connection"]), (200, "close"))
            self.assertEqual(json.loads(body)["slept_ms"], 2000)
            self.assertTrue(client.at_end())
            self.assertEqual(app.ended(), (0, ""))

    def test_an_idle_connection_is_closed_politely(self):
        app = self.started()
        client = self.client()
        client.get("/").answer()
        app.terminate()
        self.assertTrue(client.at_end())  # a FIN: recv would raise on a reset
        self.assertEqual(app.ended(), (0, ""))

    def test_a_busy_client_is_told_before_its_connection_closes(self):
        """No request of a keep-alive client that is never quiet for long meets a closed socket."""
        app = self.started()
        client = self.client()
        client.get("/").answer()
        app.terminate()
        told = None
        while told != "close":  # quiet for half a second, it would be closed without a word
            status, headers, _ = client.get("/").answer()
            self.assertEqual(status, 200)
            told = headers.get("connection")
        app.said(FINISHING)
        self.assertEqual(app.ended(), (0, ""))

    def test_half_a_request_may_be_completed(self):
        app = self.started()
        client = self.client()
        client.get("/").answer()
        client.send(b"GET /health/ready HTTP/1.1\r\nHo")
        app.terminate()
        app.said(FINISHING)
        status, headers, body = client.send(b"st: x\r\n\r\n").answer()
        self.assertEqual((status, headers["connection"]), (503, "close"))
        self.assertEqual(json.loads(body)["status"], "draining")
        self.assertEqual(app.ended(), (0, ""))

    def test_pipelined_requests_are_all_answered(self):
        app = self.started()
        client = self.client().get("/slow?ms=200").get("/health/live").get("/nope")
        app.terminate()
        answers = [client.answer() for _ in range(3)]
        self.assertEqual([status for status, _, _ in answers], [200, 200, 404])
        self.assertEqual([headers.get("connection") for _, headers, _ in answers],
                         [None, None, "close"])
        self.assertEqual(app.ended(), (0, ""))

    def test_connections_that_wait_for_accept_are_served(self):
        """A socket of its own dies with it, so what the kernel has accepted must not be lost."""
        app = self.started()
        app.process.send_signal(signal.SIGSTOP)
        clients = [self.client().get("/health/live") for _ in range(20)]
        app.terminate()
        app.process.send_signal(signal.SIGCONT)
        self.assertEqual({client.answer()[0] for client in clients}, {200})
        for client in clients:
            client.close()
        self.assertEqual(app.ended(), (0, ""))

    def test_new_connections_are_refused(self):
        app = self.started()
        client = self.client().get("/slow?ms=500")
        app.terminate()
        app.said(FINISHING)
        with self.assertRaises(ConnectionRefusedError):
            # The line stands there a moment before the socket is closed.
            self.wait_for(lambda: self.client().close(), what="a refusal")
        self.assertEqual(client.answer()[0], 200)
        self.assertEqual(app.ended(), (0, ""))

    def test_the_limit_ends_what_does_not_end(self):
        app = self.started(DRAIN_TIMEOUT_MS="200")
        self.client().get("/slow?ms=30000")
        self.client().send(b"GET / HTT")
        self.client().get("/").answer()
        app.terminate()
        code, err = app.ended()
        self.assertEqual(code, 1)
        self.assertEqual(json.loads(err)["message"],
                         "dropped connections that did not end in time")

    def test_a_second_signal_ends_it_at_once(self):
        app = self.started(DRAIN_TIMEOUT_MS="60000")
        self.client().get("/slow?ms=30000")
        http_get(self.port)  # the slow one before it has been accepted
        app.terminate()
        app.said(FINISHING)
        app.process.send_signal(signal.SIGINT)
        self.assertEqual(app.ended()[0], 1)


class CommandLine(AppTestCase):
    def run_app(self, *args):
        return subprocess.run([BIN / "clusterapp", *args], env=self.environment(),
                              capture_output=True, text=True, timeout=10)

    def test_help_and_version(self):
        self.assertIn("LISTEN_FDS", self.run_app("--help").stdout)
        self.assertRegex(self.run_app("--version").stdout, r"^\d+\.\d+\.\d+\n$")

    def test_other_arguments_are_a_usage_error(self):
        done = self.run_app("--port", "80")
        self.assertEqual(done.returncode, 2)
        self.assertIn("unknown argument --port", done.stderr)


if __name__ == "__main__":
    unittest.main()
