#!/usr/bin/env python3
"""Lines of workers at their sinks (`log_sinks`): each once, in order, with its fields; a sink that is
away or slow holds nobody up, and what it loses is counted and told."""
import contextlib
import json
import re
import shutil
import socket
import subprocess
import threading
import unittest

from harness import BIN, SANITIZED, ClusterTestCase, wait_for

PRINTS = ("for number in range({count}):\n"
          "    print('line', number, flush=number % 1000 == 0)\n"
          "sys.stdout.flush()\nsignal.pause()\n")
RFC_5424 = re.compile(r"<(\d+)>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\S+) (\S+) (\S+) (\S+) - (.*)")


class Receiver:
    """Takes connections on `listener` (or datagrams) and keeps what comes. `paused`: reads nothing."""

    def __init__(self, listener, paused=False):
        self.listener = listener
        self.lines = []
        self.connections = []
        self.goes_on = threading.Event()
        if not paused:
            self.goes_on.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            if self.listener.type == socket.SOCK_DGRAM:
                while True:
                    self.lines.append(self.listener.recv(1 << 20).decode(errors="replace"))
            while True:
                connection = self.listener.accept()[0]
                self.connections.append(connection)
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        self.goes_on.wait()
        with contextlib.suppress(OSError), connection.makefile(errors="replace") as lines:
            for line in lines:
                self.lines.append(line.rstrip("\n"))

    def messages(self):
        return [json.loads(line) for line in list(self.lines)]

    def close(self):
        for one in [self.listener, *self.connections]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class Sinks(ClusterTestCase):
    def receiver(self, family, kind, address, **options):
        listener = socket.socket(family, kind)
        self.addCleanup(listener.close)
        if family == socket.AF_INET:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        if kind == socket.SOCK_STREAM:
            listener.listen()
        made = Receiver(listener, **options)
        self.addCleanup(made.close)
        return made

    def start(self, source, *sinks, name="api", **attributes):
        script = self.dir / f"{name}.py"
        script.write_text("import os, signal, sys, time\n" + source)
        app = {"name": name, "script": str(script), "interpreter": "python3",
               "log_sinks": list(sinks)} | attributes
        return self.ctl("start", self.ecosystem(app))

    def sink(self, name="api"):
        return self.json("describe", name)["processes"][0]["log_sinks"][0]

    def file_lines(self, kind="out", name="api"):
        path = self.home / "logs" / f"{name}-{kind}.log"
        return path.read_text().splitlines() if path.exists() else []


class Json(Sinks):
    def test_each_line_arrives_once_in_order_with_its_fields(self):
        path = str(self.dir / "sink")
        receiver = self.receiver(socket.AF_UNIX, socket.SOCK_STREAM, path)
        self.start(PRINTS.format(count=5000).replace(
            "signal.pause", "print('aside \\\"1\\\" \\x07ü', file=sys.stderr, flush=True)\nsignal.pause"),
            f"unix:{path}", instances=2, namespace="shop", merge_logs=False)
        wait_for(lambda: len(receiver.lines) >= 10_002, 60, what="all lines")
        messages = receiver.messages()
        for worker in (0, 1):
            own = [m["message"] for m in messages if m["id"] == worker and m["stream"] == "out"]
            self.assertEqual(own, [f"line {number}" for number in range(5000)])
        errors = [m for m in messages if m["stream"] == "err"]
        self.assertEqual([m["message"] for m in errors], ['aside "1" \x07ü'] * 2)
        self.assertEqual(len(messages), 10_002)
        pids = {row["id"]: row["pid"] for row in self.json("list")["processes"]}
        for message in errors:
            self.assertEqual(message["pid"], pids[message["id"]])
            self.assertEqual((message["app"], message["namespace"]), ("api", "shop"))
            self.assertEqual(message["instance"], message["id"])
            self.assertEqual(message["host"], socket.gethostname())
            self.assertRegex(message["@timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(self.sink()["sent"], 10_002)
        self.assertIn(f"unix:{path} (10002 lines sent)", self.ctl("describe", "0").out)

    def test_lines_wait_for_a_receiver_that_comes_later(self):
        port = self.free_port()
        self.start(PRINTS.format(count=100), f"tcp://127.0.0.1:{port}")
        wait_for(lambda: self.sink()["trouble"], what="trouble in describe")
        self.assertIn("sink tcp://127.0.0.1", self.log.read_text())
        receiver = self.receiver(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))
        wait_for(lambda: len(receiver.lines) == 100, what="all lines")
        self.assertEqual([m["message"] for m in receiver.messages()],
                         [f"line {number}" for number in range(100)])
        about = self.sink()
        self.assertEqual((about["connected"], about["trouble"], about["lost"]), (True, "", 0))
        self.assertIn("takes lines again", self.log.read_text())

    def test_a_receiver_that_went_away_gets_what_comes_after_its_return(self):
        port = self.free_port()
        first = self.receiver(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))
        self.start("for line in open(sys.argv[1]):\n    print(line, end='', flush=True)\n"
                   "signal.pause()\n", f"tcp://localhost:{port}", args=[self.fifo()])
        with open(self.dir / "fifo", "w") as feed:
            print("before", file=feed, flush=True)
            wait_for(lambda: first.lines, what="the first line")
            first.close()
            wait_for(lambda: self.sink()["trouble"], what="trouble")
            print("between", file=feed, flush=True)
            wait_for(lambda: "between" in self.file_lines(), what="the line in the file")
            second = self.receiver(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))
            wait_for(lambda: second.lines, what="the line of the pause")
            print("after", file=feed, flush=True)
            wait_for(lambda: len(second.lines) == 2, what="the next line")
        self.assertEqual([m["message"] for m in second.messages()], ["between", "after"])

    def fifo(self):
        path = str(self.dir / "fifo")
        subprocess.run(["mkfifo", path], check=True)
        return path

    def test_who_does_not_read_holds_nobody_up_and_is_told_what_it_missed(self):
        count = 40_000 if SANITIZED else 200_000
        port = self.free_port()
        receiver = self.receiver(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port), paused=True)
        self.start(PRINTS.format(count=count).replace("'line'", "'line' + 200 * '.'"),
                   f"tcp://127.0.0.1:{port}", rotate=False)
        wait_for(lambda: len(self.file_lines()) == count, 120, what="all lines in the file")
        lost = self.sink()["lost"]
        self.assertGreater(lost, 0)
        receiver.goes_on.set()
        wait_for(lambda: self.sink()["waiting_bytes"] == 0, 60, what="an empty queue")
        wait_for(lambda: len(receiver.lines) == self.sink()["sent"] + 1, 60, what="the lines sent")
        messages = receiver.messages()
        self.assertEqual(self.sink()["sent"] + self.sink()["lost"], count)
        told = [m for m in messages if m["app"] == "clusterd"]
        self.assertEqual([m["message"] for m in told], [f"{lost} lines were lost on their way here"])
        numbers = [int(m["message"].split()[1]) for m in messages if m["app"] == "api"]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertIn(f"{lost} lost", self.ctl("describe", "api").out)

    def test_kill_9_of_the_manager_doubles_nothing_and_lines_go_on(self):
        path = str(self.dir / "sink")
        receiver = self.receiver(socket.AF_UNIX, socket.SOCK_STREAM, path)
        # Each in one piece, unlike print() of `python3 -u`: what was on its way to the sink goes
        # with the manager, and with it the first part of a line.
        self.start("for number in range(10**9):\n    os.write(1, b'line %d\\n' % number)\n"
                   "    time.sleep(0.001)\n", f"unix:{path}")
        for _ in range(3):
            seen = len(receiver.lines)
            wait_for(lambda: len(receiver.lines) > seen + 50, what="lines")
            self.kill_manager()
        seen = len(receiver.lines)
        wait_for(lambda: len(receiver.lines) > seen + 50, what="lines")
        self.ctl("stop", "api")
        # The interrupt may come in the middle of its last line.
        lines = [re.fullmatch(r"line (\d+)", message["message"])
                 for message in receiver.messages() if message["stream"] == "out"]
        self.assertNotIn(None, lines[:-1])
        numbers = [int(line[1]) for line in lines if line]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(self.file_lines()[:len(numbers)],
                         [f"line {number}" for number in range(len(numbers))])

    def test_apps_share_a_sink_and_it_closes_with_the_last(self):
        path = str(self.dir / "sink")
        receiver = self.receiver(socket.AF_UNIX, socket.SOCK_STREAM, path)
        for name in ("api", "jobs"):
            self.start("print(sys.argv[0], flush=True)\nsignal.pause()\n", f"unix:{path}", name=name)
        wait_for(lambda: len(receiver.lines) == 2, what="a line of each")
        self.assertEqual(len(receiver.connections), 1)
        self.ctl("delete", "api")
        self.assertTrue(self.sink("jobs")["connected"])
        self.ctl("delete", "jobs")
        connection = receiver.connections[0]
        wait_for(lambda: self.has_ended(connection), what="the end of the connection")

    @staticmethod
    def has_ended(connection):
        connection.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            return connection.recv(1, socket.MSG_PEEK) == b""
        return False

    def test_a_line_that_an_ended_process_left_unfinished_arrives(self):
        path = str(self.dir / "sink")
        receiver = self.receiver(socket.AF_UNIX, socket.SOCK_STREAM, path)
        self.start("sys.stdout.write('no newline')\n", f"unix:{path}", autorestart=False)
        wait_for(lambda: receiver.lines, what="the line")
        self.assertEqual(receiver.messages()[0]["message"], "no newline")

    def test_what_is_no_sink_is_refused_with_its_place(self):
        app = {"name": "api", "script": "sleep", "args": "1000", "log_sinks": ["journald", "udp://x"]}
        done = self.ctl("start", self.ecosystem(app), check=False)
        self.assertEqual(done.code, 1)
        self.assertIn('log_sinks[1] must be "stdout", "journald", "syslog"', done.err)


class Syslog(Sinks):
    def check(self, messages, name="api"):
        parsed = [RFC_5424.fullmatch(message) for message in messages]
        self.assertNotIn(None, parsed, messages)
        pid = str(self.json("describe", name)["processes"][0]["pid"])
        said = [(m[1], m[3], m[4], m[5], m[6], m[7]) for m in parsed]
        self.assertEqual(sorted(said), sorted([
            ("30", socket.gethostname(), name, pid, "out", "to out"),
            ("27", socket.gethostname(), name, pid, "err", "to\terr \\x1b[31m")]))

    SAYS = ("print('to out', flush=True)\n"
            "print('to\\terr \\x1b[31m', file=sys.stderr, flush=True)\nsignal.pause()\n")

    def test_rfc_5424_by_datagrams_of_a_unix_socket(self):
        path = str(self.dir / "log")
        receiver = self.receiver(socket.AF_UNIX, socket.SOCK_DGRAM, path)
        self.start(self.SAYS, f"syslog:{path}")
        wait_for(lambda: len(receiver.lines) == 2, what="both lines")
        self.check(receiver.lines)

    def test_rfc_5424_by_udp_and_by_tcp(self):
        port = self.free_port()
        udp = self.receiver(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port))
        tcp = self.receiver(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))
        self.start(self.SAYS, f"syslog://127.0.0.1:{port}", f"syslog+tcp://127.0.0.1:{port}")
        wait_for(lambda: len(udp.lines) == 2 and len(tcp.lines) == 2, what="both lines at both")
        self.check(udp.lines)
        self.check(tcp.lines)

    @unittest.skipUnless(shutil.which("rsyslogd"), "there is no rsyslogd")
    def test_a_real_rsyslog_understands_it(self):
        port = self.free_port()
        out = self.dir / "messages"
        configuration = self.dir / "rsyslog.conf"
        configuration.write_text(
            'module(load="imtcp")\nmodule(load="imudp")\n'
            f'input(type="imtcp" address="127.0.0.1" port="{port}")\n'
            f'input(type="imudp" address="127.0.0.1" port="{port}")\n'
            'template(name="all" type="string" string="%inputname% %pri% %app-name% %procid% %msgid% '
            '%msg%\\n")\n'
            f'action(type="omfile" file="{out}" template="all")\n')
        server = subprocess.Popen(["rsyslogd", "-n", "-f", configuration, "-i", self.dir / "pid"],
                                  stderr=subprocess.DEVNULL)
        try:
            self.check_rsyslog(port, out)
        finally:
            server.kill()
            server.wait()

    def check_rsyslog(self, port, out):
        wait_for(lambda: self.listens(port), what="rsyslog")
        self.start("print('hello', flush=True)\nsignal.pause()\n",
                   f"syslog://127.0.0.1:{port}", f"syslog+tcp://127.0.0.1:{port}")
        lines = wait_for(lambda: out.exists() and len(out.read_text().splitlines()) == 2 and
                         out.read_text().splitlines(), what="both lines")
        pid = self.json("list")["processes"][0]["pid"]
        self.assertEqual(sorted(lines), [f"imtcp 30 api {pid} out hello",
                                         f"imudp 30 api {pid} out hello"])

    @staticmethod
    def listens(port):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False


class Stdout(Sinks):
    def test_a_daemon_in_the_foreground_prints_the_lines(self):
        daemon = subprocess.Popen([BIN / "clusterd", "--foreground"], env=self.environment(),
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(daemon.stdout.close)
        self.addCleanup(daemon.wait)
        # Asked before it listens, clusterctl would start a daemon of its own.
        self.about()
        self.start("print('hello', flush=True)\nprint('aside', file=sys.stderr, flush=True)\n"
                   "signal.pause()\n", "stdout")
        self.ctl("kill")
        lines = daemon.stdout.read().splitlines()
        self.assertIn("0|api        | aside", lines)
        self.assertIn("0|api        | hello", lines)


if __name__ == "__main__":
    unittest.main()
