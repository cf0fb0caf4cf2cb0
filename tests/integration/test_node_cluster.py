#!/usr/bin/env python3
"""exec_mode cluster: unmodified Node apps, many instances behind one port.

Runs with the node in PATH, and with each one below $NODE_VERSIONS_DIR
(*/node_modules/node/bin/node, as `npm install node@18` in a folder makes it).
"""
import collections
import concurrent.futures
import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest

from harness import SANITIZED, ClusterTestCase, http_answer, http_get, is_alive, wait_for

FOUND = [path for path in [shutil.which("node")] if path] + sorted(
    glob.glob(os.path.join(os.environ.get("NODE_VERSIONS_DIR", "/nonexistent"),
                           "*/node_modules/node/bin/node")))


def udp_ask(family, host, port):
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.sendto(b"who?", (host, port))
        try:
            return int(client.recv(100))
        except TimeoutError:
            return None


def unix_get(path, what="/"):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(f"GET {what} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    return json.loads(answer.partition(b"\r\n\r\n")[2].decode())


def refuses(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


class NodeCluster:
    """Mixed into one TestCase per Node version."""
    node = ""

    def start(self, script, instances=2, env=None, **more):
        app = {"name": "api", "script": self.worker(script), "interpreter": self.node,
               "exec_mode": "cluster", "instances": instances, "env": env or {}, **more}
        self.ctl("start", self.ecosystem(app))

    def start_http(self, where, instances=2, env=None, **more):
        self.start("node_http.js", instances, {"LISTEN_ON": str(where), **(env or {})}, **more)

    def rows(self):
        return self.json("list")["processes"]

    def pids(self):
        return {row["pid"] for row in self.rows()}

    def out(self, instance=0):
        path = self.home / f"logs/api-out-{instance}.log"
        return path.read_text() if path.exists() else ""

    def answers(self, port, path="/"):
        wait_for(lambda: http_answer(port), what="an answer")
        return json.loads(http_get(port, path)[1])

    def all_answer(self, get, pids, deadline=20.0):
        """Waits until each of `pids` has answered `get()` (a pid or None)."""
        seen = set()

        def all_seen():
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                seen.update(pool.map(lambda _: get(), range(16)))
            return pids <= seen
        wait_for(all_seen, deadline, "an answer of each worker")
        self.assertLessEqual(seen - {None}, pids)

    def pid_over_http(self, port):
        answer = http_answer(port)
        return json.loads(answer[1])["pid"] if answer else None

    def test_two_instances_serve_one_port_and_see_an_ordinary_cluster(self):
        port = self.free_port()
        self.start_http(port)
        pids = self.pids()
        self.assertEqual(len(pids), 2)
        self.all_answer(lambda: self.pid_over_http(port), pids)
        ids = set()
        for _ in range(200):
            said = self.answers(port)
            ids.add(said["worker"])
            self.assertIs(said["primary"], False)
            self.assertEqual(said["leaked"], [])
            self.assertEqual(said["argv"], [self.worker("node_http.js")])
            if ids == {1, 2}:
                break
        self.assertEqual(ids, {1, 2})
        with socket.create_connection(("::1", port), timeout=5):  # listen(port) is dual stack
            pass

    def test_new_connections_spread_evenly(self):
        """Of requests that keep the workers busy: an idle one is woken by chance. Other load on
        the machine skews a round, so one of a few must be even."""
        port = self.free_port()
        self.start_http(port)
        pids = self.pids()
        self.all_answer(lambda: self.pid_over_http(port), pids)
        ratios = []
        for _ in range(5):
            with concurrent.futures.ThreadPoolExecutor(32) as pool:
                counts = collections.Counter(
                    pool.map(lambda _: json.loads(http_get(port, "/work")[1])["pid"], range(1000)))
            self.assertEqual(set(counts), pids)
            ratios.append(max(counts.values()) / min(counts.values()))
            if ratios[-1] < 1.5:
                break
        self.assertLess(min(ratios), 1.5, ratios)

    def test_port_0_is_one_port_for_all(self):
        self.start_http("127.0.0.1:0", instances=3)
        said = wait_for(lambda: len(lines := [line for number in range(3)
                                              for line in self.out(number).splitlines()]) == 3
                        and lines, what="three lines")
        self.assertEqual(len(set(said)), 1, said)
        port = int(said[0].split()[1])
        self.all_answer(lambda: self.pid_over_http(port), self.pids())

    def test_each_kind_of_host(self):
        for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6),
                             ("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6),
                             ("localhost", socket.AF_INET)):
            with self.subTest(host):
                port = self.free_port()
                self.start_http(f"{host}:{port}", instances=2)
                wait_for(lambda: "listening" in self.out(0) and "listening" in self.out(1),
                         what="both to listen")
                self.assertNotIn("error", self.out(0) + self.out(1))
                self.ctl("delete", "api")
                for number in range(2):
                    (self.home / f"logs/api-out-{number}.log").unlink()

    def test_unix_path(self):
        path = self.dir / "app.sock"
        self.start_http(path)
        wait_for(path.exists, what="the socket")
        self.all_answer(lambda: unix_get(path)["pid"], self.pids())
        os.kill(min(self.pids()), signal.SIGKILL)
        unix_get(path)
        wait_for(lambda: all(row["pid"] for row in self.rows()), what="the restart")
        self.ctl("stop", "api")
        self.assertFalse(path.exists(), "the file is removed with the last worker")
        path.touch()  # not a socket: an ordinary error
        (self.home / "logs/api-out-0.log").write_text("")
        self.ctl("start", "api", check=False)
        wait_for(lambda: "error EADDRINUSE" in self.out(), what="the error")
        self.assertTrue(path.is_file())

    def test_udp(self):
        for family, kind, host in ((socket.AF_INET, "udp4", "127.0.0.1"),
                                   (socket.AF_INET6, "udp6", "::1")):
            with self.subTest(kind):
                port = self.free_port()
                self.start("node_udp.js", env={"FAMILY": kind, "PORT": port})
                pids = self.pids()
                wait_for(lambda: udp_ask(family, host, port) in pids, what="an answer")
                self.ctl("stop", "api")
                self.ctl("start", "api")
                wait_for(lambda: udp_ask(family, host, port) in self.pids(), what="an answer")
                self.ctl("delete", "api")

    def test_https_of_two_workers_with_the_same_session_tickets(self):
        key, cert = self.dir / "key.pem", self.dir / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                        "-out", cert, "-days", "1", "-subj", "/CN=localhost"],
                       check=True, capture_output=True)
        port = self.free_port()
        self.start("node_https.js", env={"PORT": port, "KEY": str(key), "CERT": str(cert)})
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        def ask(session=None):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, \
                    context.wrap_socket(plain, session=session) as client:
                client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\necho")
                answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
                self.assertTrue(answer.endswith("echo\r\n0\r\n\r\n") or "echo" in answer, answer)
                pid = int(answer.partition("X-Pid: ")[2].split()[0])
                return pid, client.session, client.session_reused
        wait_for(lambda: not refuses(port), what="the port")
        first, session, _ = ask()
        other = False
        for _ in range(200):
            pid, _, reused = ask(session)
            self.assertTrue(reused, "a session of one worker is good for the other")
            other = other or pid != first
            if other:
                break
        self.assertTrue(other, "both have answered")

    def test_module_with_top_level_await_and_two_servers(self):
        ports = self.free_port(), self.free_port()
        self.start("node_module.mjs", env={"PORT": ports[0], "SECOND_PORT": ports[1]})
        for port in ports:
            self.all_answer(lambda: self.pid_over_http(port), self.pids())
            said = self.answers(port)
            self.assertIs(said["worker"], True)
            self.assertEqual(said["port"], str(port))

    def test_children_of_a_worker_are_no_cluster_workers(self):
        port = self.free_port()
        self.start("node_parent.cjs", instances=1, env={"PORT": port})
        said = self.answers(port)
        self.assertIs(said["primary"], True)
        self.assertNotIn(said["pid"], self.pids())
        self.ctl("stop", "api")
        self.assertFalse(is_alive(said["pid"]))

    def test_an_address_in_use_is_an_ordinary_error_event(self):
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            self.start_http(f"127.0.0.1:{holder.getsockname()[1]}")
            wait_for(lambda: "error EADDRINUSE" in self.out(0) and "error EADDRINUSE" in self.out(1),
                     what="the error in both")

    def test_a_second_server_of_one_worker_on_its_own_port_is_refused(self):
        port = self.free_port()
        self.start_http(port, instances=1)
        self.assertEqual(self.answers(port, "/again"), {"error": "EADDRINUSE"})
        self.assertIn("pid", self.answers(port))

    def test_the_port_stays_while_workers_are_killed(self):
        port = self.free_port()
        self.start_http(port, instances=2)
        self.all_answer(lambda: self.pid_over_http(port), self.pids())
        refused, done = [], threading.Event()

        def knock():
            while not done.is_set():
                if refuses(port):
                    refused.append(time.monotonic())
        thread = threading.Thread(target=knock)
        thread.start()
        try:
            for pid in self.pids():  # all at once: for a moment nobody accepts
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: sum(row["restarts"] for row in self.rows()) == 2, what="the restarts")
            self.all_answer(lambda: self.pid_over_http(port), self.pids())
            self.ctl("restart", "api")
            self.all_answer(lambda: self.pid_over_http(port), self.pids())
        finally:
            done.set()
            thread.join()
        self.assertEqual(refused, [])
        self.ctl("stop", "api")
        self.assertTrue(refuses(port), "a stopped app has no port")

    def test_a_stop_lets_requests_finish_though_the_app_handles_no_signal(self):
        port = self.free_port()
        self.start_http(port, instances=1, kill_timeout=60_000)
        self.answers(port)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            slow = pool.submit(http_get, port, "/slow")
            wait_for(lambda: self.connected(port), what="the request")
            begin = time.monotonic()
            self.ctl("stop", "api")
            # Not the half of the kill timeout.
            self.assertLess(time.monotonic() - begin, 20, "no longer than the request")
            self.assertEqual(slow.result()[0], 200)
        self.assertEqual(self.rows()[0]["status"], "stopped")

    def connected(self, port):
        """Whether an accepted connection to `port` is open (state 01, man 5 proc, net/tcp6)."""
        text = pathlib.Path("/proc/net/tcp6").read_text() + pathlib.Path("/proc/net/tcp").read_text()
        rows = [line.split() for line in text.splitlines()]
        return any(row[1].endswith(f":{port:04X}") and row[3] == "01" and row[9] != "0"
                   for row in rows)

    def test_after_the_drain_comes_the_signal(self):
        port, told = self.free_port(), self.dir / "told"
        self.start_http(port, instances=1, env={"BUSY": "1", "ON_SIGINT": str(told)},
                        kill_timeout=60_000)
        self.answers(port)
        begin = time.monotonic()
        self.ctl("stop", "api")
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(told.read_text(), "told")
        self.assertEqual(self.rows()[0]["exit_code"], 0)

    def test_a_client_that_never_leaves_delays_the_signal_by_half_the_kill_timeout(self):
        port, told = self.free_port(), self.dir / "told"
        self.start_http(port, instances=1, env={"ON_SIGINT": str(told)}, kill_timeout=6000)
        self.answers(port)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_for(lambda: self.connected(port), what="the connection")
            self.ctl("stop", "api")
        self.assertEqual(told.read_text(), "told")
        self.assertIsNone(self.rows()[0]["exit_signal"])

    def test_a_stop_before_it_listens_signals_at_once(self):
        self.start("sleeps_in_node.js", instances=1, kill_timeout=60_000)
        begin = time.monotonic()
        self.ctl("stop", "api")
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(self.rows()[0]["exit_signal"], signal.SIGINT)

    def test_a_worker_that_disconnects_by_itself_ends_and_comes_back(self):
        port = self.free_port()
        self.start_http(port, instances=1)
        pid = self.answers(port, "/disconnect")["pid"]
        wait_for(lambda: self.rows()[0]["pid"] not in (0, pid), what="the restart")
        self.assertNotEqual(self.answers(port)["pid"], pid)
        [exits] = [row["last_exits"] for row in self.json("describe", "api")["processes"]]
        self.assertEqual(exits[0]["code"], 0)

    def test_close_and_listen_again(self):
        port = self.free_port()
        self.start_http(port)
        pids = self.pids()
        self.all_answer(lambda: self.pid_over_http(port), pids)
        for _ in range(6):
            self.answers(port, "/relisten")
        self.all_answer(lambda: self.pid_over_http(port), pids)
        self.assertEqual(self.pids(), pids)
        self.assertNotIn("error", self.out(0) + self.out(1))

    def test_a_server_that_the_app_closes_frees_the_port(self):
        port = self.free_port()
        self.start_http(port, instances=1)
        pid = self.answers(port, "/close")["pid"]
        wait_for(lambda: refuses(port), what="the port to be closed")
        self.assertTrue(is_alive(pid))

    def test_an_inherited_channel_of_the_caller_is_not_passed_on(self):
        port = self.free_port()
        stale = {"NODE_CHANNEL_FD": "77", "NODE_UNIQUE_ID": "9",
                 "NODE_CHANNEL_SERIALIZATION_MODE": "advanced"}
        self.ctl("start", self.ecosystem({"name": "fork", "script": self.worker("sleeps_in_node.js"),
                                          "interpreter": self.node}), env=stale)
        self.start_http(port, instances=1)
        self.assertEqual(self.answers(port)["worker"], 1)
        self.assertEqual({row["status"] for row in self.rows()}, {"online"})

    def test_a_flood_of_messages_neither_blocks_nor_bloats_the_daemon(self):
        port, done = self.free_port(), self.dir / "done"
        self.start("node_talker.js", env={"PORT": port, "DONE": str(done)})
        before = self.resident()
        grown = 0
        deadline = time.monotonic() + 60
        while not done.exists():
            self.assertLess(time.monotonic(), deadline, "the flood does not end")
            self.ctl("ping")  # fails when the daemon does not answer within 5 s
            grown = max(grown, self.resident() - before)
            http_answer(port)
        self.assertLess(grown, (16 if SANITIZED else 4) << 10, "KiB of 100 MB")
        self.assertEqual({row["restarts"] for row in self.rows()}, {0})

    def start_ready(self, instances=1, env=None, mode="cluster", **more):
        app = {"name": "api", "script": self.worker("node_ready.js"), "interpreter": self.node,
               "exec_mode": mode, "instances": instances, "env": env or {}, **more}
        return self.ctl("start", self.ecosystem(app), check=False)

    def test_ready_may_come_before_it_listens(self):
        port = self.free_port()
        self.start_ready(env={"READY_AFTER": 0, "PORT": port, "LISTEN_AFTER": 500},
                         wait_ready=True, listen_timeout=20000)
        self.assertIn("pid", self.answers(port))

    def test_shutdown_with_message_in_both_modes(self):
        for mode in ("cluster", "fork"):
            with self.subTest(mode):
                self.start_ready(mode=mode, env={"READY_AFTER": 0}, wait_ready=True,
                                 shutdown_with_message=True)
                self.ctl("stop", "api")
                self.assertEqual(self.rows()[0]["exit_code"], 7)
                self.assertIn('{"message":"shutdown"}', self.out())
                self.ctl("delete", "api")
                (self.home / "logs/api-out-0.log").unlink()

    def test_in_fork_mode_it_is_no_worker_and_ends_by_itself(self):
        self.start_ready(mode="fork", env={"ONCE": "1"}, autorestart=False)
        wait_for(lambda: self.rows()[0]["status"] == "stopped", what="the end")
        self.assertEqual(self.rows()[0]["exit_code"], 0)
        self.assertIn('{"worker":false,"connected":true}', self.out())

    def test_each_instance_answers_its_own_probe(self):
        """An instance that hangs is found though the other one serves the same port."""
        port = self.free_port()
        self.start_http(port, health={"http": "/", "interval": 200, "timeout": 2000, "failures": 2})
        pids = self.pids()
        self.all_answer(lambda: self.pid_over_http(port), pids)
        hangs = min(pids)
        os.kill(hangs, signal.SIGSTOP)
        try:
            wait_for(lambda: hangs not in self.pids()
                     and {row["status"] for row in self.rows()} == {"online"}, deadline=60,
                     what="its restart")
        finally:
            if is_alive(hangs):
                os.kill(hangs, signal.SIGCONT)
        self.assertIn(max(pids), self.pids(), "the other one was left alone")
        self.all_answer(lambda: self.pid_over_http(port), self.pids())

    def test_describe_tells_where_it_serves(self):
        self.start_http("127.0.0.1:0")
        said = wait_for(lambda: self.out(0).split() and self.out(1).split() and self.out(0).split(),
                        what="both to listen")
        port = int(said[1])
        wait_for(lambda: [row["addresses"] for row in self.json("describe", "api")["processes"]]
                 == [[f"127.0.0.1:{port}"]] * 2, what="the addresses")

    def resident(self):
        """KiB of both processes of the daemon."""
        total = 0
        for pid in self.daemon_pids():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    total += int(line.split()[1])
        return total


class OtherInterpreters(ClusterTestCase):
    def test_cluster_mode_without_node_is_told_and_runs_like_fork(self):
        app = {"name": "api", "script": self.worker("sleeps.sh"), "exec_mode": "cluster"}
        self.ctl("start", self.ecosystem(app))
        self.assertEqual(self.json("list")["processes"][0]["status"], "online")
        self.assertIn("exec_mode cluster needs node or bun", self.log.read_text())


for number, program in enumerate(FOUND):
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
    name = f"Node_{version.lstrip('v').replace('.', '_')}_{number}"
    globals()[name] = type(name, (NodeCluster, ClusterTestCase), {"node": program})

if __name__ == "__main__":
    unittest.main()
