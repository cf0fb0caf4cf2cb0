#!/usr/bin/env python3
"""The daemon itself: one per home, there when needed, gone when told, robust against its clients."""
import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import unittest

from harness import BIN, SANITIZED, ClusterTestCase, is_alive, wait_for

HELLO = {"jsonrpc": "2.0", "id": 0, "method": "hello", "params": {"protocol": 1, "client": "test"}}


class Daemon(ClusterTestCase):
    def connect(self):
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(20)
        peer.connect(str(self.home / "clusterd.sock"))
        self.addCleanup(peer.close)
        return peer

    def hello(self):
        """What the daemon says of itself."""
        peer = self.connect()
        peer.sendall(json.dumps(HELLO).encode() + b"\n")
        return json.loads(peer.makefile().readline())["result"]

    def test_twenty_commands_at_once_end_with_one_daemon_and_twenty_right_answers(self):
        commands = [subprocess.Popen([BIN / "clusterctl", "list", "--json"],
                                     env=self.environment(), stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True) for _ in range(20)]
        answers = [(command.communicate(timeout=60), command.returncode) for command in commands]
        for (out, err), code in answers:
            self.assertEqual(code, 0, err)
            self.assertEqual(json.loads(out), {"processes": []})
        # One guardian and one manager.
        wait_for(lambda: len(self.daemon_pids()) == 2, what="the losers of the race to be gone")
        about = self.hello()
        self.assertEqual(sorted(self.daemon_pids()), sorted([about["pid"], about["guardian_pid"]]))

    def test_the_home_and_the_socket_are_private(self):
        self.ctl("ping")
        self.assertEqual(stat.S_IMODE(self.home.stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE((self.home / "clusterd.sock").stat().st_mode), 0o600)

    def test_kill_ends_everything_and_cleans_up(self):
        self.ctl("start", self.worker("sleeps.sh"))
        self.ctl("kill")
        wait_for(lambda: not self.processes(), what="the end of all processes")
        self.assertFalse((self.home / "clusterd.sock").exists())
        self.assertEqual(self.ctl("kill").code, 0)  # nothing runs: no error, no new daemon
        self.assertEqual(self.processes(), [])
        self.assertEqual(self.json("list")["processes"], [])  # a new daemon begins empty

    def test_a_stale_socket_and_a_stale_lock_stop_nobody(self):
        self.ctl("ping")
        self.kill_both_daemons()
        self.assertTrue((self.home / "clusterd.sock").exists())
        self.assertTrue(self.json("ping"))

    def test_sigterm_stops_the_workers_and_the_next_daemon_brings_them_back(self):
        script = self.worker("sleeps.sh")
        self.ctl("start", script, "--name", "runs")
        self.ctl("start", script, "--name", "rests")
        self.ctl("stop", "rests")
        wait_for(lambda: '"wanted":false' in self.state_text(), what="the state on disk")
        os.kill(self.hello()["guardian_pid"], signal.SIGTERM)
        wait_for(lambda: not self.processes(), what="the end of all processes")
        rows = {row["name"]: row for row in self.json("list")["processes"]}
        self.assertEqual({name: row["id"] for name, row in rows.items()}, {"runs": 0, "rests": 1})
        wait_for(lambda: {row["name"]: row["status"] for row in self.json("list")["processes"]}
                 == {"runs": "online", "rests": "stopped"}, what="the one to run again")

    def test_a_manager_that_dies_is_replaced_and_no_worker_runs_twice(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api", "-i", "3")
        wait_for(lambda: self.state_text().count('"wanted":true') == 3, what="the state on disk")
        before = self.hello()
        os.kill(before["pid"], signal.SIGKILL)
        wait_for(lambda: not is_alive(before["pid"]), what="the manager's death")
        rows = wait_for(lambda: [row for row in self.json("list")["processes"]
                                 if row["status"] == "online"] or None, what="workers online")
        wait_for(lambda: len([row for row in self.json("list")["processes"]
                              if row["status"] == "online"]) == 3, what="all three online")
        after = self.hello()
        self.assertEqual(after["guardian_pid"], before["guardian_pid"])
        self.assertNotEqual(after["pid"], before["pid"])
        # Two daemons and three workers, whichever way they came to be.
        wait_for(lambda: len(self.processes()) == 5, what="five processes in all")

    def start_and_lose_the_daemon(self):
        """Pid of the one worker, which runs on without anybody."""
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        wait_for(lambda: '"wanted":true' in self.state_text(), what="the state on disk")
        pid = self.json("list")["processes"][0]["pid"]
        self.kill_both_daemons()
        self.assertTrue(is_alive(pid))
        return pid

    def test_what_both_daemons_left_running_is_taken_over(self):
        old = self.start_and_lose_the_daemon()
        row = wait_for(lambda: [row for row in self.json("list")["processes"]
                                if row["status"] == "online"], what="the worker online")[0]
        self.assertEqual(row["pid"], old)
        self.assertTrue(is_alive(old))
        self.assertEqual(len(self.processes()), 3)

    def test_kill_ends_what_a_killed_daemon_left_running(self):
        self.start_and_lose_the_daemon()
        self.ctl("kill")
        self.assertEqual(self.processes(), [])
        self.assertEqual(self.json("list")["processes"], [])

    def test_a_command_with_closed_descriptors_starts_the_daemon_and_works(self):
        line = f"exec '{BIN}/clusterctl' start '{self.worker('sleeps.sh')}' --name api <&- >&- 2>&-"
        done = subprocess.run(["sh", "-c", line], env=self.environment(), timeout=60)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(self.json("list")["processes"][0]["status"], "online")

    def test_a_relative_home_in_a_folder_that_is_gone_is_refused(self):
        line = f"mkdir gone && cd gone && rmdir ../gone && exec '{BIN}/clusterctl' ping"
        done = subprocess.run(["sh", "-c", line], env=self.environment({"CLUSTER_HOME": "home"}),
                              cwd=self.dir, capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 3)
        self.assertIn("the working directory is not there", done.stderr)

    def test_a_guardian_that_dies_takes_nobody_along(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        pid = self.json("list")["processes"][0]["pid"]
        os.kill(self.hello()["guardian_pid"], signal.SIGKILL)
        wait_for(lambda: "guardian is gone" in self.log.read_text(), what="the manager to notice")
        row = self.json("list")["processes"][0]
        self.assertEqual((row["pid"], row["status"]), (pid, "online"))
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.json("list")["processes"][0]["restarts"] == 1, what="a restart")

    def test_in_the_foreground_it_tells_systemd_when_it_is_ready(self):
        where = self.dir / "notify.sock"
        inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        inbox.bind(str(where))
        inbox.settimeout(20)
        daemon = subprocess.Popen([BIN / "clusterd", "--foreground"], stderr=subprocess.PIPE,
                                  env=self.environment({"NOTIFY_SOCKET": str(where)}))
        self.addCleanup(daemon.stderr.close)
        self.assertIn(b"READY=1", inbox.recv(4096))
        self.ctl("start", self.worker("prints_env.py"), "--name", "api", "--",
                 str(self.dir / "facts.json"))
        wait_for((self.dir / "facts.json").exists, what="the worker's facts")
        facts = json.loads((self.dir / "facts.json").read_text())
        self.assertNotIn("NOTIFY_SOCKET", facts["env"])
        second = subprocess.run([BIN / "clusterd", "--foreground"], capture_output=True, text=True,
                                env=self.environment(), timeout=20)
        self.assertEqual(second.returncode, 1)
        self.assertIn("another daemon", second.stderr)
        daemon.terminate()
        self.assertEqual(daemon.wait(20), 0)
        self.assertIn(b"STOPPING=1", inbox.recv(4096))
        inbox.close()

    def test_a_home_that_cannot_be_used_is_told_within_seconds(self):
        blocker = self.dir / "file"
        blocker.write_text("")
        for home, word in ((blocker / "home", str(blocker)), (self.dir / ("x" * 120), "107")):
            with self.subTest(home=home):
                done = self.ctl("list", check=False, env={"CLUSTER_HOME": str(home)}, timeout=20)
                self.assertEqual(done.code, 3)
                self.assertIn(word, done.err)

    def test_a_daemon_that_is_stopped_does_not_hang_the_command(self):
        self.ctl("ping")
        about = self.hello()
        os.kill(about["pid"], signal.SIGSTOP)
        try:
            done = self.ctl("list", check=False, timeout=30)
            self.assertEqual(done.code, 3)
            self.assertIn("did not answer", done.err)
        finally:
            os.kill(about["pid"], signal.SIGCONT)


class HostileClients(Daemon):
    # The parent's tests run once only.
    for name in [name for name in dir(Daemon) if name.startswith("test_")]:
        locals()[name] = None
    del name

    def setUp(self):
        super().setUp()
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        self.pid = self.json("list")["processes"][0]["pid"]

    def still_serves(self):
        row = self.json("list")["processes"][0]
        self.assertEqual((row["pid"], row["status"]), (self.pid, "online"))

    def ask(self, *lines):
        """Sends lines after hello; returns all answers but hello's."""
        peer = self.connect()
        for line in (json.dumps(HELLO), *lines):
            peer.sendall(line.encode() + b"\n")
        peer.shutdown(socket.SHUT_WR)
        return [json.loads(line) for line in peer.makefile().readlines()][1:]

    def test_bad_requests_get_standard_errors(self):
        def call(method, **params):
            return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        rows = [
            ("garbage", "garbage", -32700),
            ("batch", "[]", -32600),
            ("unknown method", call("explode"), -32601),
            ("no targets", call("stop"), -32602),
            ("targets of a wrong type", call("stop", targets="api"), -32602),
            ("target of a wrong type", call("stop", targets=[7]), -32602),
            ("bad regular expression", call("stop", targets=["/(/"]), -32602),
            ("unknown target", call("stop", targets=["nobody"]), -32001),
            ("apps of a wrong type", call("start", apps={}), -32602),
            ("an app without a script", call("start", apps=[{"name": "x"}]), -32602),
            ("a relative script", call("start", apps=[{"name": "x", "script": "y"}]), -32602),
            ("a bad environment", call("start", apps=[{"script": "/bin/true", "cwd": "/"}],
                                       environment={"A": 1}), -32602),
            ("an id too large", call("env", id=2**40), -32001),
            ("no id", call("env"), -32602),
            ("instances as an object", call("scale", name="api", instances={}), -32602),
            ("a bad signal", call("send_signal", signal="SIGNOPE", targets=["api"]), -32602),
            ("a foreign subscription", call("unfollow", subscription=7), -32001),
        ]
        for name, line, code in rows:
            with self.subTest(name):
                answers = self.ask(line)
                self.assertEqual([answer["error"]["code"] for answer in answers], [code])
        self.still_serves()

    def test_one_gigabyte_without_a_newline_is_cut_off(self):
        peer = self.connect()
        block = b"x" * (1 << 20)
        sent = 0
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            while sent < 1 << 30:
                sent += peer.send(block)
        self.assertLess(sent, 64 << 20)
        rss = int((pathlib.Path("/proc") / str(self.hello()["pid"]) / "statm")
                  .read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        if not SANITIZED:
            self.assertLess(rss, 40 << 20)
        self.still_serves()

    def test_clients_that_die_half_way_harm_nobody(self):
        for text in (b"", b"{", json.dumps(HELLO).encode(), json.dumps(HELLO).encode() + b"\n{\"a\""):
            peer = self.connect()
            peer.sendall(text)
            peer.close()
        slow = self.connect()
        slow.sendall(json.dumps(HELLO).encode() + b"\n" + json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "restart", "params": {"targets": ["api"]}}
        ).encode() + b"\n")
        slow.close()  # before the answer
        wait_for(lambda: self.json("list")["processes"][0]["restarts"] == 1, what="the restart")

    def test_a_client_that_never_reads_holds_nobody_up(self):
        deaf = self.connect()
        deaf.sendall(json.dumps(HELLO).encode() + b"\n")
        request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "jlist"}).encode() + b"\n"
        deaf.settimeout(0.2)
        with self.assertRaises((TimeoutError, BrokenPipeError, ConnectionResetError)):
            for _ in range(200_000):
                deaf.sendall(request)
        self.still_serves()

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_another_user_is_refused_in_words(self):
        self.dir.chmod(0o755)
        self.home.chmod(0o755)
        (self.home / "clusterd.sock").chmod(0o666)  # as if somebody had opened it up
        nobody = 65534
        child = subprocess.run(
            ["python3", "-c", "import socket,sys\n"
             "s = socket.socket(socket.AF_UNIX)\n"
             f"s.connect({str(self.home / 'clusterd.sock')!r})\n"
             "print(s.makefile().readline())"],
            user=nobody, group=nobody, extra_groups=[], capture_output=True, text=True, timeout=20,
            env={"PATH": "/usr/bin:/bin"}, cwd="/")
        answer = json.loads(child.stdout)
        self.assertEqual(answer["error"]["code"], -32003)
        self.assertIn("65534", answer["error"]["message"])
        self.still_serves()

    def test_events_tell_every_transition_with_its_cause(self):
        peer = self.connect()
        lines = peer.makefile()
        peer.sendall(json.dumps(HELLO).encode() + b"\n" + json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "events.follow"}).encode() + b"\n")
        lines.readline(), lines.readline()
        self.ctl("stop", "api")
        events = []
        while not events or events[-1]["event"] != "stopped":
            events.append(json.loads(lines.readline())["params"])
        self.assertEqual([event["event"] for event in events], ["stop", "stopped"])
        self.assertIn("clusterctl", events[0]["cause"])
        self.assertEqual(events[1]["process"]["name"], "api")


if __name__ == "__main__":
    unittest.main()
