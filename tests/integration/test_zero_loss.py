#!/usr/bin/env python3
"""Not one request lost: reloads, crashes and bad versions under load of every kind of client.

CLUSTER_RELOADS is the number of reloads in a row (3, or 1 of a sanitized build; 100 for a full
check), CLUSTER_SLOW_MS how long a slow request takes (1000; 2000 for a full check). Each load prints
what it has counted.
"""
import atexit
import functools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import (BIN, SANITIZED, ClusterTestCase, command_line, http_answer, http_get,
                     is_alive, wait_for)
from load import PIPELINED, Load

RELOADS = int(os.environ.get("CLUSTER_RELOADS", "1" if SANITIZED else "3"))
SLOW_MS = int(os.environ.get("CLUSTER_SLOW_MS", "1000"))
KILLS = max(RELOADS, 5)
KINDS = "new=8,kept=8,pipelined=4,slow=4"
IN_FLIGHT = 8 + 8 + 4 * 4 + 4  # at most, of those clients
RELOAD_LIMIT_S = 120


def fast(app, soak_ms=200, **more):
    """The app with less patience than an ordinary one gets."""
    return app | {"min_uptime": 200, "reload": {"soak": soak_ms}} | more


@functools.cache
def go_program():
    """serve_go.go, compiled once; None without a compiler."""
    if not shutil.which("go"):
        return None
    folder = tempfile.mkdtemp(prefix="ctgo.", dir="/tmp")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source = pathlib.Path(__file__).resolve().parent / "workers/serve_go.go"
    subprocess.run(["go", "build", "-o", f"{folder}/serve_go", source], check=True,
                   env=os.environ | {"GO111MODULE": "off", "GOCACHE": f"{folder}/cache"})
    return f"{folder}/serve_go"


class UnderLoad(ClusterTestCase):
    echo = True  # its answers hold the id of the request

    def setUp(self):
        super().setUp()
        self.port = self.free_port()

    def app(self, **attributes):
        """One that takes its socket from us."""
        return fast({"name": "api", "instances": 2, "listen": [f"127.0.0.1:{self.port}"]}
                    | attributes)

    def node_app(self, script, **attributes):
        """An unmodified Node app that listens by itself."""
        return fast({"name": "api", "instances": 2, "exec_mode": "cluster",
                     "script": self.worker(script), "env": {"PORT": self.port}} | attributes)

    def start(self, app):
        self.ctl("start", self.ecosystem(app))
        wait_for(lambda: http_answer(self.port), what="the first answer")

    def rows(self):
        return self.json("list")["processes"]

    def pids(self):
        return {row["id"]: row["pid"] for row in self.rows()}

    def load(self, kinds=KINDS):
        load = Load(self.port, kinds=kinds, no_echo=not self.echo,
                    slow_path=f"/slow?ms={SLOW_MS}")
        self.addCleanup(load.stop)
        return load.wait_for(3)

    def counted(self, load):
        result = load.stop()
        print(f"{self.id()}: {result}", flush=True)
        return result

    def assert_nothing_lost(self, load):
        """An idle connection's end may cross a request that its client is just sending, as with any
        server's keep-alive timeout: it is over at once, without a byte of an answer (of a pipeline:
        to none of its requests), and clients repeat such a request. That may happen to one in a
        hundred connections closed, at most."""
        result = self.counted(load)
        self.assertEqual(result.failed, 0, result)
        crossed = {loss["local_port"] for loss in result["failures"]
                   if loss["cause"] == "eof" and loss["waited_ms"] < 20
                   and (loss["kind"] != "pipelined" or loss["answers_before"] % PIPELINED == 0)}
        lost = {loss["local_port"] for loss in result["failures"]}
        self.assertEqual(lost, crossed, result)
        closed = sum(sum(row["closes"].values()) for row in result["kinds"].values())
        self.assertLessEqual(len(crossed), 1 + closed // 100, result)
        return result

    def reload_under(self, load):
        """One reload; returns the new pids."""
        before = self.pids()
        self.ctl("reload", "api", timeout=RELOAD_LIMIT_S)
        rows, after = self.rows(), self.pids()
        self.assertEqual(sorted(after), sorted(before))
        self.assertFalse(set(after.values()) & set(before.values()))
        self.assertEqual({row["status"] for row in rows}, {"online"})
        self.assertFalse([pid for pid in before.values() if is_alive(pid)])
        load.wait_for(3)
        return set(after.values())


class EveryApp:
    """Mixed into one TestCase per kind of app, which says what `the_app` is."""

    def test_reloads_in_a_row_lose_no_request(self):
        self.start(self.the_app())
        load = self.load()
        generations = [set(self.pids().values())]
        for _ in range(RELOADS):
            generations.append(self.reload_under(load))
        result = self.assert_nothing_lost(load)
        self.assertLessEqual(result.pids, set.union(*generations))
        for generation in generations:
            self.assertTrue(result.pids & generation, f"no answer by any of {generation}")


class KilledApp:
    """Mixed in where workers are killed too."""

    def test_a_killed_worker_loses_only_what_was_inside_it(self):
        seed = random.randrange(1 << 32)
        print(f"{self.id()}: seed {seed}")
        choose = random.Random(seed)
        self.start(self.the_app())
        load, killed = self.load(), set()
        for _ in range(KILLS):
            row = choose.choice(self.rows())
            os.kill(row["pid"], signal.SIGKILL)
            killed.add(row["pid"])
            wait_for(lambda: all(it["status"] == "online" and it["pid"] not in killed
                                 for it in self.rows()), what="the restart")
            load.wait_for(3)
        result = self.counted(load)
        # Nobody was refused, nobody waited in vain, no answer was wrong.
        self.assertLessEqual(set(result.lost()), {"before answer", "in answer", "raced"}, result)
        for stage, causes in result.lost().items():
            self.assertLessEqual(set(causes), {"reset", "eof"}, (stage, result))
        self.assertLessEqual(result.failed + result.raced, KILLS * IN_FLIGHT, result)
        self.assertLessEqual({failure["pid"] for failure in result["failures"]}, killed | {None})


class ClusterApp(EveryApp, KilledApp, UnderLoad):
    echo = False

    def the_app(self):
        return self.app(script=str(BIN / "clusterapp"))


class NodeWithoutHandler(EveryApp, KilledApp, UnderLoad):
    def the_app(self):
        return self.node_app("serve_node.js")


class NodeWithHandler(EveryApp, UnderLoad):
    def the_app(self):
        return self.node_app("serve_node_sigint.js")


class PythonAsyncio(EveryApp, KilledApp, UnderLoad):
    def the_app(self):
        return self.app(script=self.worker("serve_asyncio.py"))


class PythonThreads(EveryApp, UnderLoad):
    def the_app(self):
        return self.app(script=self.worker("serve_threads.py"))


class Go(EveryApp, UnderLoad):
    arguments = ()

    def the_app(self):
        if not (program := go_program()):
            self.skipTest("no go in PATH; Debian's package is golang-go")
        return self.app(script=program, args=list(self.arguments), interpreter="none")


class GoWithoutHandler(Go):
    arguments = ("-naive",)


class BadVersion:
    """Mixed into one TestCase per kind of app: `good()` and `bad(how)` are versions of it."""

    def reload_to(self, bad):
        """What the reload prints; meanwhile the list shows every old worker online."""
        before = self.pids()
        command = [BIN / "clusterctl", "reload", self.ecosystem(bad)]
        reload = subprocess.Popen(command, cwd=self.dir, env=self.environment(), text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        samples = []
        while reload.poll() is None:
            samples.append({row["pid"] for row in self.rows() if row["status"] == "online"})
        out, err = reload.communicate(timeout=RELOAD_LIMIT_S)
        self.assertEqual(reload.returncode, 1, out + err)
        for online in samples:
            self.assertLessEqual(set(before.values()), online)
        return out + err

    def check(self, how, says):
        self.start(self.good())
        # The sockets of the second reload join a group that has lost one.
        self.ctl("reload", self.ecosystem(self.good()))
        before = self.rows()
        load = self.load()
        self.assertIn(says, self.reload_to(self.bad(how)))
        load.wait_for(3)
        result = self.assert_nothing_lost(load)

        def shown(rows):
            return [(row["id"], row["name"], row["pid"], row["status"], row["restarts"])
                    for row in rows]
        self.assertEqual(shown(self.rows()), shown(before))
        pids = {row["pid"] for row in before}
        self.assertLessEqual(result.pids, pids)
        self.assertTrue(all(map(is_alive, pids)))
        self.assertFalse([pid for pid in self.processes()
                          if "broken_version" in command_line(pid)])
        self.assertEqual(json.loads(http_get(self.port, "/version")[1])["version"], "old")

    def test_one_that_crashes_at_once(self):
        self.check("crash", "crash: about to end with 7")

    def test_one_that_never_gets_ready(self):
        self.check("deaf", "ready")

    def test_one_that_gets_ready_and_dies_in_the_soak(self):
        self.check("soak", "soak: about to end with 7")


def impatient(how):
    """Long enough that even a slow machine sees the death; short where it is waited for."""
    return {"wait_ready": True, "soak_ms": 30_000 if how == "soak" else 3000,
            "listen_timeout": 3000 if how == "deaf" else 60_000}


class BadVersionOfAnAppWithOurSocket(BadVersion, UnderLoad):
    def good(self):
        return self.app(script=self.worker("serve_asyncio.py"), env={"VERSION": "old"})

    def bad(self, how):
        return fast(self.app(script=self.worker("broken_version.py"), args=[how],
                             env={"VERSION": "new"}), **impatient(how))


class BadVersionOfANodeApp(BadVersion, UnderLoad):
    def good(self):
        return self.node_app("serve_node.js", env={"PORT": self.port, "VERSION": "old"})

    def bad(self, how):
        return fast(self.node_app("broken_version.js", args=[how],
                                  env={"PORT": self.port, "VERSION": "new"}), **impatient(how))


class WebSockets(UnderLoad):
    def test_those_of_the_old_worker_stay_until_it_leaves_and_new_ones_go_to_the_new_worker(self):
        self.start(self.node_app("serve_node_ws.js"))
        load = self.load("new=4,websocket=8")
        old = set(self.pids().values())
        new = self.reload_under(load)
        result = self.assert_nothing_lost(load)
        sessions = {pid: [it for it in result["sessions"] if it["pid"] == pid]
                    for pid in result.pids}
        first_answer = min(result["pids"][str(pid)]["first"] for pid in result.pids & new)
        self.assertTrue(any(sessions[pid] for pid in old & result.pids))
        for pid in old & result.pids:
            for session in sessions[pid]:
                self.assertIsNotNone(session["closed"], f"{session} outlives its worker")
                self.assertGreater(session["closed"], first_answer,
                                   f"{session} was ended before there was another worker")
            # From the moment when the first of them ends, the worker leaves.
            self.assertLess(max((it["opened"] for it in sessions[pid]), default=0),
                            min((it["closed"] for it in sessions[pid]), default=1),
                            f"{pid} took one more while it was leaving")
        for pid in new & result.pids:
            self.assertEqual([it for it in sessions[pid] if it["closed"]], [])


if __name__ == "__main__":
    unittest.main()
