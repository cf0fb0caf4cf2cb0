#!/usr/bin/env python3
"""Clients that check every answer and say of every lost request where it was lost.

As a program of its own, so that what a test does meanwhile does not slow it down:

    load.py --port 3001 --kinds new=8,kept=8,pipelined=4,slow=4,websocket=4

prints one JSON object when it is told to end (SIGINT, SIGTERM or after --seconds). Tests use the
class `Load`. The kinds of clients:

    new        a connection per request, "Connection: close"
    kept       one connection, a request after the other, a short pause between
    pipelined  the same with four requests in one write
    slow       the same with requests that take long (--slow-path)
    websocket  one connection, one message after the other, each echoed

A server answers `GET /?id=TOKEN` with JSON that holds this "id" and its "pid"; a WebSocket message
TOKEN with the same. Where a lost request was lost, its stage:

    connect refused, connect timeout, connect failed
    before answer   end or reset before the first byte, although the connection was fresh
    raced           the same on a connection that had carried an answer before; a client may send
                    such a GET again, so it is counted apart from the failed ones
    in answer       end or reset before the last byte
    timeout, malformed, status, body

The end of a kept connection between two answers loses nothing: it is a close, not a failure.
"""

import argparse
import array
import asyncio
import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import load_wire
from load_wire import Connection, Lost

KINDS = ("new", "kept", "pipelined", "slow", "websocket")
DEFAULT_KINDS = "new=8,kept=8,pipelined=4,slow=4"
PIPELINED = 4
FAILURES_KEPT = 50
SESSIONS_KEPT = 1000


class Tally:
    """What happened to the requests of one kind."""

    def __init__(self, clients):
        self.clients = clients
        self.done = 0
        self.latencies = array.array("d")
        self.lost = collections.Counter()  # (stage, cause)
        self.pids = collections.Counter()
        self.connections = 0
        self.closes = collections.Counter()  # of kept connections, with nothing under way

    def raced(self):
        return sum(count for (stage, _), count in self.lost.items() if stage == "raced")

    def failed(self):
        return self.lost.total() - self.raced()

    def counts(self):
        return {"done": self.done, "failed": self.failed(), "raced": self.raced()}

    def report(self):
        ordered = sorted(self.latencies)

        def quantile(share):
            return round(ordered[int(share * (len(ordered) - 1))] * 1e3, 2) if ordered else None
        stages = {}
        for (stage, cause), count in sorted(self.lost.items()):
            stages.setdefault(stage, {})[cause] = count
        return self.counts() | {
            "clients": self.clients, "connections": self.connections,
            "p50_ms": quantile(0.5), "p99_ms": quantile(0.99), "max_ms": quantile(1),
            "lost": stages, "closes": dict(self.closes),
            "pids": {str(pid): count for pid, count in self.pids.most_common()}}


class Run:
    """All clients of one run and what they have found."""

    def __init__(self, options):
        self.options = options
        self.address = options.unix or (options.host, options.port)
        self.begin = time.monotonic()
        self.stopping = False
        self.tallies = {kind: Tally(count) for kind, count in options.kinds.items()}
        self.failures = []
        self.pids = {}  # pid: [first, last] time of an answer
        self.sessions = []
        self.tokens = 0

    def token(self):
        self.tokens += 1
        return f"{os.getpid():x}-{self.tokens:x}"

    async def connect(self, kind):
        connection = await load_wire.connect(self.address, self.options.timeout)
        self.tallies[kind].connections += 1
        return connection

    def check(self, connection, body, token):
        """The pid in a good answer to `token`; raises Lost for any other."""
        try:
            said = json.loads(body)
            pid = int(said["pid"])
            echoed = token if self.options.no_echo else said.get("id")
        except (ValueError, TypeError, KeyError):
            raise Lost("body", "not json with a pid", repr(body[:200])) from None
        if echoed != token:
            raise Lost("body", "wrong id", f"{token} was asked, {echoed} answered")
        connection.pid = pid
        return pid

    def done(self, kind, pid, begin):
        now = time.monotonic()
        tally = self.tallies[kind]
        tally.done += 1
        tally.latencies.append(now - begin)
        tally.pids[pid] += 1
        self.pids.setdefault(pid, [now, now])[1] = now

    def lost(self, kind, lost, connection=None, begin=None):
        if lost.stage == "before answer" and connection and connection.answers:
            lost = Lost("raced", lost.cause, lost.detail)
        tally = self.tallies[kind]
        tally.lost[lost.stage, lost.cause] += 1
        if len(self.failures) < FAILURES_KEPT:
            now = time.monotonic()
            self.failures.append({
                "kind": kind, "stage": lost.stage, "cause": lost.cause, "detail": lost.detail,
                "at": round(now, 4), "after_s": round(now - self.begin, 3),
                "waited_ms": begin and round((now - begin) * 1e3, 2),
                "pid": connection and connection.pid,
                "answers_before": connection.answers if connection else 0,
                "local_port": connection and connection.local_port})

    def counts(self):
        total = collections.Counter()
        for tally in self.tallies.values():
            total.update(tally.counts())
        kinds = {kind: tally.counts() for kind, tally in self.tallies.items()}
        return {"done": 0, "failed": 0, "raced": 0} | total | {"kinds": kinds}

    def report(self):
        return self.counts() | {
            "seconds": round(time.monotonic() - self.begin, 3),
            "kinds": {kind: tally.report() for kind, tally in self.tallies.items()},
            "pids": {str(pid): {"first": first, "last": last}
                     for pid, (first, last) in self.pids.items()},
            "failures": self.failures, "sessions": self.sessions}


class HttpClient:
    """One client of the kinds that speak HTTP."""

    def __init__(self, run, kind):
        self.run = run
        self.kind = kind
        self.keep = kind != "new"
        self.batch = PIPELINED if kind == "pipelined" else 1
        self.path = run.options.slow_path if kind == "slow" else run.options.path
        self.connection = None

    async def work(self):
        think = self.run.options.think / 1e3
        if think:
            await asyncio.sleep(random.uniform(0, think))  # not all in step
        while not self.run.stopping:
            await self.once()
            await asyncio.sleep(random.uniform(0.5, 1.5) * think)
        self.drop()

    def drop(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    async def once(self):
        """One request, or one batch of them, on the kept connection or on a fresh one."""
        begin = time.monotonic()
        tokens = [self.run.token() for _ in range(self.batch)]
        data = b"".join(map(self.request, tokens))
        try:
            # As late as can be: a client that looks, and then takes its time, sends into an end
            # that it could have seen.
            if self.connection and (how := self.connection.closed_by_peer()):
                self.run.tallies[self.kind].closes[how] += 1
                self.drop()
            if not self.connection:
                self.connection = await self.run.connect(self.kind)
        except Lost as lost:
            # One request each: there was no batch yet. The pause spares a server that is away.
            self.run.lost(self.kind, lost, self.connection, begin)
            self.drop()
            await asyncio.sleep(0.005)
            return
        await self.exchange(tokens, data)

    def request(self, token):
        mark = "&" if "?" in self.path else "?"
        close = "" if self.keep else "Connection: close\r\n"
        return f"GET {self.path}{mark}id={token} HTTP/1.1\r\nHost: load\r\n{close}\r\n".encode()

    async def exchange(self, tokens, data):
        """Sends all, then reads the answers in order. Afterwards each token is counted once."""
        connection, begin = self.connection, time.monotonic()
        until = begin + self.run.options.timeout
        left = collections.deque(tokens)
        ending = not self.keep
        try:
            connection.send(data)
            while left:
                answer = await connection.read_answer(until)
                token = left.popleft()
                self.judge(answer, token, begin)
                if answer.close:
                    ending = True
                    if left:
                        raise Lost("before answer", "Connection: close", f"{len(left)} unanswered")
        except Lost as lost:
            ending = True
            for _ in left:
                self.run.lost(self.kind, lost, connection, begin)
                if lost.stage == "in answer":  # but not one byte of those after it has come
                    lost = Lost("before answer", lost.cause, "after an answer that was cut")
        if ending:
            self.drop()

    def judge(self, answer, token, begin):
        try:
            if answer.status != 200:
                raise Lost("status", str(answer.status), repr(answer.body[:200]))
            pid = self.run.check(self.connection, answer.body, token)
        except Lost as lost:
            self.run.lost(self.kind, lost, self.connection, begin)
        else:
            self.run.done(self.kind, pid, begin)


class WebSocketClient:
    """One client that keeps a WebSocket open and has its messages echoed."""

    def __init__(self, run):
        self.run = run
        self.session = None

    async def work(self):
        while not self.run.stopping:
            begin, connection = time.monotonic(), None
            try:
                connection = await self.run.connect("websocket")
                await load_wire.open_websocket(connection, self.run.options.websocket_path,
                                               begin + self.run.options.timeout)
                await self.talk(connection)
            except Lost as lost:
                self.run.lost("websocket", lost, connection, begin)
                self.end_session(load_wire.NO_CLOSE_FRAME)
                await asyncio.sleep(0.005)
            finally:
                if connection:
                    connection.close()

    async def talk(self, connection):
        """Messages until the other side ends it or the run is over."""
        self.session = None
        while not self.run.stopping:
            token, begin = self.run.token(), time.monotonic()
            connection.send(load_wire.frame(load_wire.TEXT, token.encode()))
            kind, body = await connection.read_message(begin + self.run.options.timeout)
            if kind == load_wire.CLOSE:
                self.run.lost("websocket", Lost("raced", f"close {body}"), connection, begin)
                return self.end_session(body)
            self.note(self.run.check(connection, body, token), begin)
            # Whatever arrives now is the end: nothing is under way.
            pause = time.monotonic() + self.run.options.websocket_think / 1e3
            while True:
                step = min(pause, time.monotonic() + 0.1)  # so that a stop need not wait for long
                if connection.inbox or await connection.readable(step):
                    return self.end_session(await connection.read_close(pause + 1))
                if self.run.stopping or time.monotonic() >= pause:
                    break
        connection.send(load_wire.frame(load_wire.CLOSE, (1000).to_bytes(2, "big")))
        return None

    def note(self, pid, begin):
        if not self.session:
            self.session = {"pid": pid, "opened": begin, "messages": 0, "closed": None,
                            "code": None}
            if len(self.run.sessions) < SESSIONS_KEPT:
                self.run.sessions.append(self.session)
        self.session["messages"] += 1
        self.run.done("websocket", pid, begin)

    def end_session(self, code):
        if self.session:
            self.run.tallies["websocket"].closes[str(code)] += 1
            self.session.update(closed=time.monotonic(), code=code)
        self.session = None


def parse_kinds(text):
    kinds = {}
    for part in text.split(","):
        name, _, count = part.partition("=")
        if name not in KINDS or not count.isdigit():
            raise argparse.ArgumentTypeError(
                f"{part!r} must be KIND=COUNT with a kind of {', '.join(KINDS)}")
        kinds[name] = int(count)
    return kinds


def parse_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1", help="an address")
    parser.add_argument("--port", type=int)
    parser.add_argument("--unix", metavar="PATH", help="a Unix socket instead")
    parser.add_argument("--kinds", type=parse_kinds, default=DEFAULT_KINDS,
                        metavar="KIND=CLIENTS,...")
    parser.add_argument("--path", default="/")
    parser.add_argument("--slow-path", default="/slow?ms=2000")
    parser.add_argument("--websocket-path", default="/ws")
    parser.add_argument("--think", type=float, default=10, metavar="MS",
                        help="mean pause of an HTTP client between requests (%(default)s)")
    parser.add_argument("--websocket-think", type=float, default=100, metavar="MS",
                        help="between the messages of a WebSocket (%(default)s)")
    parser.add_argument("--timeout", type=float, default=10, metavar="SECONDS",
                        help="for a connection, and for an answer (%(default)s)")
    parser.add_argument("--no-echo", action="store_true", help='the answers hold no "id"')
    parser.add_argument("--seconds", type=float, help="how long; default: until a signal comes")
    parser.add_argument("--controlled", action="store_true",
                        help="a line on stdin asks for the counts so far, its end for the end")
    options = parser.parse_args(arguments)
    if (options.port is None) == (options.unix is None):
        parser.error("one of --port and --unix is needed")
    return options


def say(value):
    print(json.dumps(value), flush=True)


def watch(run):
    """Ends the run by signal, by time or by what comes over stdin."""
    loop = asyncio.get_running_loop()

    def stop():
        run.stopping = True

    def asked():
        words = os.read(0, 4096)
        for _ in range(words.count(b"\n")):
            say(run.counts())
        if not words:
            loop.remove_reader(0)
            stop()
    for number in signal.SIGINT, signal.SIGTERM:
        loop.add_signal_handler(number, stop)
    if run.options.seconds is not None:
        loop.call_later(run.options.seconds, stop)
    if run.options.controlled:
        loop.add_reader(0, asked)


async def work(options):
    run = Run(options)
    watch(run)
    clients = [WebSocketClient(run) if kind == "websocket" else HttpClient(run, kind)
               for kind, count in options.kinds.items() for _ in range(count)]
    await asyncio.gather(*(client.work() for client in clients))
    return run.report()


class Result(dict):
    """The report of a run: a dict as printed, the totals as attributes too."""

    done = property(lambda self: self["done"])
    failed = property(lambda self: self["failed"])
    raced = property(lambda self: self["raced"])
    pids = property(lambda self: {int(pid) for pid in self["pids"]})

    def lost(self, *kinds):
        """{stage: {cause: count}} over these kinds, or over all of them."""
        merged = {}
        for kind in kinds or self["kinds"]:
            for stage, causes in self["kinds"][kind]["lost"].items():
                for cause, count in causes.items():
                    at_stage = merged.setdefault(stage, {})
                    at_stage[cause] = at_stage.get(cause, 0) + count
        return merged

    def __str__(self):
        """For people: the first failures only."""
        lines = [f"{self.done} done, {self.failed} failed, {self.raced} raced"
                 f" in {self['seconds']} s"]
        for kind, row in self["kinds"].items():
            lines.append(f"  {kind}: {row['done']} done, {row['failed']} failed, {row['raced']}"
                         f" raced, p50 {row['p50_ms']} ms, p99 {row['p99_ms']} ms,"
                         f" max {row['max_ms']} ms, closes {row['closes']}, lost {row['lost']}")
        return "\n".join(lines + [f"  {json.dumps(failure)}" for failure in self["failures"][:12]])


class Load:
    """A run in a process of its own, from now until `stop`.

    Options are those of the program: `Load(port, kinds="new=8", no_echo=True, slow_path="/x")`.
    """

    def __init__(self, port=None, **options):
        if port is not None:
            options["port"] = port
        arguments = []
        for name, value in options.items():
            name = "--" + name.replace("_", "-")
            arguments += [name] if value is True else [] if value is False else [name, str(value)]
        self.result = None
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--controlled", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def so_far(self):
        """The counts: done, failed, raced and the same per kind under "kinds"."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the load has ended with {self.process.wait()}")
        return json.loads(line)

    def wait_for(self, more=1, deadline=30.0):
        """Returns once each kind has come to the end of `more` further requests, good or bad."""
        end = time.monotonic() + deadline
        first = self._ended()
        while any(ended < first[kind] + more for kind, ended in self._ended().items()):
            if time.monotonic() > end:
                raise AssertionError(f"{deadline:g} s brought less than {more} requests of a kind:"
                                     f" {first} then, {self._ended()} now")
            time.sleep(0.02)
        return self

    def _ended(self):
        return {kind: sum(counts.values()) for kind, counts in self.so_far()["kinds"].items()}

    def stop(self):
        """Lets what is under way end; returns the Result. A second call returns the same one."""
        if self.result is None:
            out, _ = self.process.communicate()
            if self.process.returncode != 0:
                raise AssertionError(f"the load has ended with {self.process.returncode}")
            self.result = Result(json.loads(out.splitlines()[-1]))
        return self.result


if __name__ == "__main__":
    say(asyncio.run(work(parse_options(sys.argv[1:]))))
