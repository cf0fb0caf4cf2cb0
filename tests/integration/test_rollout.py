#!/usr/bin/env python3
"""Reload as a transaction: how many processes at a time, one reload after the other, abort, and
back to what was before. Scale and the memory limit go the same way."""
import os
import signal
import unittest

from harness import BIN, http_answer, is_alive, wait_for
from obedient import ObedientTestCase
from test_protocol import Peer
from test_reload import Load


class RolloutTestCase(ObedientTestCase):
    def setUp(self):
        super().setUp()
        self.port = self.free_port()
        self.go.touch()

    def app(self, env=None, **attributes):
        return self.gated(env=env, **{"instances": 2, "listen": f"127.0.0.1:{self.port}",
                                      "reload": {"soak": 50}} | attributes)

    def start(self, app):
        self.ctl("start", self.ecosystem(app))
        return self.pids()

    def request(self, method, **params):
        """The answer to one request, as it came."""
        peer = Peer(self.home / "clusterd.sock")
        self.addCleanup(peer.close)
        peer.call("hello", protocol=1, client="test")
        return peer.call(method, **params)

    def running(self):
        """Pids that have started and not ended, by the journal."""
        now = set()
        for event, _, pid in self.journal():
            (now.discard if event == "ended" else now.add)(int(pid))
        return now

    def counts(self, up):
        """How many were there after each line of the journal; `up` is "started" or "ready"."""
        change = {up: 1, "ended": -1}
        total, counts = 0, []
        for event, _, _ in self.journal():
            total += change.get(event, 0)
            counts.append(total)
        return counts

    def reload_in_hand(self):
        """A reload whose new processes, two of them, wait for `go`."""
        self.go.unlink()
        process = self.begin("reload", "api")
        wait_for(lambda: len(self.running()) == 4, what="the successors")
        return process


class Transaction(RolloutTestCase):
    def test_a_second_reload_waits_for_the_first_and_both_are_done(self):
        before = self.start(self.app())
        first = self.reload_in_hand()
        second = self.begin("reload", "api")
        self.stays(lambda: len(self.running()) == 4, second, "the second one waits")
        self.assertEqual(self.pids(), before)
        self.go.touch()
        self.finish(first)
        self.finish(second)
        self.assertEqual([row["restarts"] for row in self.rows()], [2, 2])
        self.assertEqual(self.running(), set(self.pids()))

    def test_one_that_is_not_to_be_queued_is_refused(self):
        self.start(self.app())
        first = self.reload_in_hand()
        error = self.request("reload", targets=["api"], queue=False)["error"]
        self.assertEqual(error["code"], -32000)
        self.assertIn("a reload of api is under way", error["message"])
        self.go.touch()
        self.finish(first)
        self.assertEqual([row["restarts"] for row in self.rows()], [1, 1])

    def test_abort_removes_the_new_ones_and_leaves_the_old_ones_alone(self):
        before = self.start(self.app())
        reload = self.reload_in_hand()
        answer = self.request("reload.abort", targets=["api"])
        self.assertEqual(answer.get("result"), {"aborted": ["api"]}, answer)
        self.assertIn("aborted", self.finish(reload, 1))
        wait_for(lambda: self.running() == set(before), what="the end of the new ones")
        self.assertEqual(self.pids(), before)
        self.assertEqual([row["restarts"] for row in self.rows()], [0, 0])
        self.go.touch()
        self.ctl("reload", "api")  # nothing of it is in the way of the next one
        self.assertFalse(set(self.pids()) & set(before))

    def test_there_is_nothing_to_abort_without_a_reload(self):
        self.start(self.app())
        error = self.request("reload.abort", targets=["api"])["error"]
        self.assertEqual((error["code"], error["message"]), (-32000, "no reload is under way"))

    def test_a_failure_takes_those_back_that_have_been_replaced(self):
        before = self.start(self.app({"COLOUR": "red"}, reload={"max_surge": 1, "soak": 50}))
        broken = self.app({"COLOUR": "blue", "CRASH": "1"}, reload={"max_surge": 1, "soak": 50})
        reload = self.begin("reload", self.ecosystem(broken))
        self.assertIn("about to end with 7", self.finish(reload, 1))
        after = self.pids()
        self.assertNotEqual(after[0], before[0])  # it was replaced, and replaced again
        self.assertEqual(after[1], before[1])
        for worker in (0, 1):
            self.assertEqual(self.json("env", worker)["env"]["COLOUR"], "red")
        self.assertEqual(self.statuses(), ["online", "online"])
        self.assertEqual(self.row()["restarts"], 2)
        os.kill(after[1], signal.SIGKILL)  # what is declared is what was before, too
        wait_for(lambda: self.pids()[1] not in (0, after[1]), what="a respawn")
        self.assertEqual(self.json("env", 1)["env"]["COLOUR"], "red")


class HowManyAtOnce(RolloutTestCase):
    def reload(self, **attributes):
        """Reloads an app of three; what was there at each moment, by the journal."""
        self.start(self.app(instances=3, **attributes))
        self.ctl("reload", "api")
        self.assertEqual(self.running(), set(self.pids()))
        self.assertEqual(len(self.journal()), 3 * 2 + 3 * 3)

    def test_max_surge_is_kept(self):
        for surge, most in ((1, 4), (2, 5), ("34%", 5)):
            with self.subTest(surge):
                self.reload(reload={"max_surge": surge, "soak": 50})
                self.assertIn(max(self.counts("started")), range(4, most + 1))
                self.assertGreaterEqual(min(self.counts("ready")[6:]), 3)
                self.ctl("delete", "api")
                self.journal_file.unlink()

    def test_a_shared_socket_goes_from_one_generation_to_the_next_at_once(self):
        self.reload()
        self.assertEqual(max(self.counts("started")), 6)
        events = self.events()
        self.assertEqual(events.count("ready api"), 6)
        self.assertEqual(events[-3:], ["ended api"] * 3)  # after all of the new ones were ready

    def test_a_reuseport_app_goes_one_by_one(self):
        self.reload(balance="reuseport")
        self.assertEqual(max(self.counts("started")), 4)
        self.assertGreaterEqual(min(self.counts("ready")[6:]), 3)

    def test_an_app_without_a_socket_of_ours_is_replaced_in_place_one_by_one(self):
        self.reload(listen=[])
        self.assertEqual(max(self.counts("started")), 3)
        self.assertEqual(min(self.counts("ready")[6:]), 2)

    def test_max_unavailable_allows_more_of_them_to_be_down(self):
        self.reload(listen=[], reload={"max_unavailable": 2, "soak": 50})
        self.assertEqual(min(self.counts("ready")[6:]), 1)

    def test_a_surge_of_none_replaces_in_place(self):
        self.reload(reload={"max_surge": 0, "max_unavailable": 1, "soak": 50})
        self.assertEqual(max(self.counts("started")), 3)
        self.assertEqual(min(self.counts("ready")[6:]), 2)


class Capacity(RolloutTestCase):
    def test_scale_down_and_up_under_load_loses_nothing(self):
        for balance in ("shared", "reuseport"):
            with self.subTest(balance):
                self.start({"name": "api", "script": str(BIN / "clusterapp"), "instances": 3,
                            "listen": f"127.0.0.1:{self.port}", "balance": balance})
                wait_for(lambda: http_answer(self.port), what="the first answer")
                load = Load(self.port)
                self.addCleanup(load.stop)
                for count in (1, 4, 2, 3):
                    done = load.done
                    self.ctl("scale", "api", count)
                    self.assertEqual(self.statuses(), ["online"] * count)
                    wait_for(lambda: load.done > done + 50, what="more load")
                load.stop()
                self.assertEqual(load.failures, [])
                self.ctl("delete", "api")

    def test_the_memory_limit_replaces_before_it_ends_and_one_at_a_time(self):
        before = self.start(self.app(max_memory_restart="60M"))
        for pid in before:
            os.kill(pid, signal.SIGUSR1)
        wait_for(lambda: not any(is_alive(pid) for pid in before), deadline=40,
                 what="the last one's end")
        wait_for(lambda: self.events().count("ended api") == 2, what="the journal")
        self.assertEqual((min(self.counts("ready")[4:]), max(self.counts("started"))), (2, 3))
        self.assertFalse(set(self.pids()) & set(before))
        self.assertEqual(self.statuses(), ["online", "online"])
        self.assertEqual([row["restarts"] for row in self.rows()], [1, 1])
        self.assertRegex(self.describe()["cause"], "^memory limit: ")


if __name__ == "__main__":
    unittest.main()
