#!/usr/bin/env python3
"""What a worker may take: by cgroups of the version that is there, and without any by looking.

`describe` says who sees to a limit; the tests ask it, and check what that one does.
"""
import json
import os
import pathlib
import signal
import subprocess
import unittest

from harness import BIN, ClusterTestCase, is_alive, wait_for

NOBODY = "nobody: told in the log"
FEWER = "a look every second: fewer CPUs"
LOOKING = "a look every second"
SLOWING = "a look every second: less CPU"


def groups_named(name):
    """Folders of cgroups, of whatever version."""
    found = subprocess.run(["find", "/sys/fs/cgroup", "-type", "d", "-name", name],
                           capture_output=True, text=True)
    return found.stdout.split()


class LimitsCase(ClusterTestCase):
    def start(self, script, *args, name="api", **attributes):
        app = {"name": name, "script": self.worker(script), "args": list(args),
               "kill_timeout": 1000} | attributes
        # One that is over its limit at once fails to start.
        return self.ctl("start", self.ecosystem(app), check=False)

    def about_worker(self, name="api"):
        return self.json("describe", name)["processes"][0]

    def who(self, attribute):
        return self.about_worker()["limits"][attribute]["by"]

    def said(self, name="api"):
        """The last line of its output."""
        out = self.home / "logs" / f"{name}-out.log"
        return wait_for(lambda: out.exists() and out.read_text().strip().splitlines()[-1:],
                        what="a line of output")[0]

    def last_reason(self):
        return wait_for(lambda: self.about_worker()["last_exits"], what="an end")[0]["reason"]

    def check_memory(self, *arguments):
        self.start("memory_hog.py", "60", *arguments, memory_max="40M", restart_delay=100)
        wait_for(lambda: self.about_worker()["restarts"] >= 1, what="a restart for memory")
        self.assertIn("memory_max", self.last_reason())

    def check_pids(self):
        """A worker that starts processes without end is stopped by a limit, and nobody else is."""
        self.start("sleeps.sh", name="other")
        self.start("forks_many.py", "200", pids_max=20, autorestart=False)
        who = self.who("pids_max")
        if who == LOOKING:
            wait_for(lambda: self.about_worker()["status"] == "stopped", what="its end")
            self.assertIn("pids_max", self.last_reason())
        else:
            self.assertEqual(self.said(), "started 19")
            about = self.about_worker()
            self.assertEqual(about["status"], "online")
            self.assertEqual(len(about["children"]), 19)
            self.assertGreater(about["limits"]["events"]["refused_forks"], 0)
            self.assertIn("processes not started for pids_max", self.ctl("describe", "api").out)
        self.assertEqual(self.about_worker("other")["restarts"], 0)


    def check_affinity(self):
        pid = self.about_worker()["pid"]
        self.assertEqual(len(os.sched_getaffinity(pid)), 1)
        self.assertEqual(self.who("cpu_max"), "affinity: 1 CPU")


class Limits(LimitsCase):
    def test_a_tree_over_memory_max_is_killed_and_says_so(self):
        self.check_memory()

    def test_memory_of_a_child_counts(self):
        self.check_memory("child")

    def test_below_its_limits_a_worker_is_left_alone(self):
        self.start("memory_hog.py", "10", memory_max="500M", pids_max=50, cpu_max=1)
        self.said()
        about = self.about_worker()
        self.assertEqual((about["status"], about["restarts"]), ("online", 0))
        self.assertEqual(about["limits"]["memory_max"]["value"], 500 << 20)
        self.assertEqual(about["limits"]["cpu_max"]["value"], 1)

    def test_a_fork_bomb_under_pids_max_stays_alone(self):
        self.check_pids()

    def test_a_spinning_worker_under_cpu_max_is_throttled(self):
        self.start("spins.py", cpu_max=0.2)
        who = self.who("cpu_max")
        if who.startswith("affinity"):
            self.check_affinity()
            return
        wait_for(lambda: self.about_worker()["limits"]["events"]["throttled_ms"] > 100,
                 what="time taken from it")
        self.assertIn(f"0.2 ({who})", self.ctl("describe", "api").out)

    def quota(self):
        """Of the worker's CPU time in its group of version 1."""
        unique_id = json.loads(self.ctl("jlist").out)[0]["pm2_env"]["unique_id"]
        return [int((pathlib.Path(group) / "cpu.cfs_quota_us").read_text())
                for group in groups_named(unique_id)
                if (pathlib.Path(group) / "cpu.cfs_quota_us").exists()]

    def test_above_memory_high_a_worker_is_slowed_down_until_it_is_below(self):
        self.start("memory_swings.py", "60", memory_high="50M", cpu_max=1)
        if self.who("memory_high") != SLOWING:
            self.skipTest(f"here it is {self.who('memory_high')}")
        self.assertIn(f"50.0mb ({SLOWING})", self.ctl("describe", "api").out)
        self.assertEqual(self.quota(), [100_000])
        pid = self.about_worker()["pid"]
        os.kill(pid, signal.SIGUSR1)
        wait_for(lambda: 5_000 <= self.quota()[0] <= 50_000, what="less CPU time")
        wait_for(lambda: self.about_worker()["limits"]["events"]["throttled_ms"] > 100,
                 what="time taken from it")
        self.assertIn("ms taken by cpu_max or memory_high", self.ctl("describe", "api").out)
        self.kill_manager()  # the next one knows what to take back
        self.assertLess(self.quota()[0], 100_000)
        told = lambda text: self.log.read_text().count(text)
        wait_for(lambda: told(", slowed down") == 2, what="the next manager's word")
        os.kill(pid, signal.SIGUSR2)
        wait_for(lambda: self.quota() == [100_000], what="all of its CPU time")
        wait_for(lambda: told(", at full speed again") == 1, what="the end")
        self.assertEqual(told(", slowed down"), 2)  # each manager once
        self.assertEqual((self.about_worker()["pid"], self.about_worker()["restarts"]), (pid, 0))

    def test_who_gets_away_from_a_group_is_counted_and_killed(self):
        self.start("escapes.py", pids_max=50)
        pid = int(self.said().split()[1])
        if self.who("pids_max") == LOOKING:
            os.kill(pid, signal.SIGKILL)
            self.skipTest("no cgroup can be had: one with an empty environment is nobody's")
        self.assertIn(pid, self.about_worker()["children"])
        self.ctl("stop", "api")
        self.assertFalse(is_alive(pid))

    def test_an_orphan_is_counted_without_any_group(self):
        self.start("forks_children.py")
        pids = json.loads(self.said())["pids"]
        self.assertEqual(sorted(self.about_worker()["children"]), sorted(pids.values()))

    def test_groups_are_found_by_the_next_manager_and_removed_in_the_end(self):
        self.start("escapes.py", pids_max=50, memory_max="400M")
        pid = int(self.said().split()[1])
        if self.who("pids_max") == LOOKING:
            os.kill(pid, signal.SIGKILL)
            self.skipTest("no cgroup can be had")
        unique_id = json.loads(self.ctl("jlist").out)[0]["pm2_env"]["unique_id"]
        self.assertNotEqual(groups_named(unique_id), [])
        self.kill_manager()
        self.assertIn(pid, self.about_worker()["children"])
        self.kill_both_daemons()
        self.assertIn(pid, self.about_worker()["children"])
        self.ctl("restart", "api")
        self.assertFalse(is_alive(pid))
        base = pathlib.Path(groups_named(unique_id)[0]).parent
        self.ctl("kill")
        self.assertEqual(groups_named(unique_id), [])
        if base.name.startswith("clusterctl-"):
            self.assertEqual(groups_named(base.name), [])
            self.ctl("start", self.ecosystem({"name": "free", "script": self.worker("sleeps.sh")}))
            self.assertEqual(groups_named(base.name), [], "made although no limit asks for it")

    def test_rlimits_priority_and_privileges_are_those_declared(self):
        self.start("tells_limits.py", nice=5, oom_score_adj=300, no_new_privileges=True,
                   rlimits={"nofile": {"soft": 100, "hard": 200}, "core": 0})
        self.assertEqual(json.loads(self.said()),
                         {"nofile": [100, 200], "core": [0, 0], "nice": 5, "oom_score_adj": 300,
                          "no_new_privileges": True})
        self.assertEqual(self.about_worker()["limits"]["nice"]["value"], 5)

    def test_a_limit_that_cannot_be_set_is_told(self):
        app = {"name": "api", "script": self.worker("sleeps.sh"),
               "rlimits": {"nofile": 1_000_000_000}}
        done = self.ctl("start", self.ecosystem(app), check=False)
        self.assertEqual(done.code, 1)
        self.assertIn("cannot set its rlimits", done.out + done.err)

    def test_bad_limits_are_refused_with_their_place(self):
        app = {"name": "api", "script": self.worker("sleeps.sh"), "cpu_max": "fast",
               "rlimits": {"files": 7}}
        done = self.ctl("start", self.ecosystem(app), check=False)
        self.assertNotEqual(done.code, 0)
        self.assertIn("cpu_max must be a number of CPUs", done.err)
        self.assertIn("rlimits must be an object of as, core", done.err)


@unittest.skipIf(os.geteuid() != 0, "only root can take the cgroups away")
class WithoutCgroups(LimitsCase):
    def setUp(self):
        super().setUp()
        # A daemon that sees no hierarchy; it stays in its mount namespace.
        subprocess.run(["unshare", "--mount", "sh", "-c",
                        f"umount -R -l /sys/fs/cgroup && exec '{BIN}/clusterctl' ping"],
                       env=self.environment(), check=True, stdout=subprocess.DEVNULL)

    def test_memory_is_looked_at(self):
        self.check_memory()

    def test_processes_are_counted(self):
        self.check_pids()
        self.assertEqual(self.who("pids_max"), LOOKING)

    def test_cpu_max_is_kept_to_whole_cpus(self):
        self.start("spins.py", cpu_max=0.5)
        self.check_affinity()

    def test_workers_with_cpu_max_are_spread_over_the_cpus(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("there is one CPU only")
        self.start("sleeps.sh", cpu_max=1, instances=2)
        cpus = [os.sched_getaffinity(process["pid"])
                for process in json.loads(self.ctl("jlist").out)]
        self.assertEqual([len(each) for each in cpus], [1, 1])
        self.assertNotEqual(cpus[0], cpus[1])

    def test_above_memory_high_a_worker_has_fewer_cpus_until_it_is_below(self):
        all_cpus = os.sched_getaffinity(0)
        if len(all_cpus) < 2:
            self.skipTest("there is one CPU only")
        self.start("memory_swings.py", "60", memory_high="50M")
        self.assertEqual(self.who("memory_high"), FEWER)
        self.assertIn(f"50.0mb ({FEWER})", self.ctl("describe", "api").out)
        pid = self.about_worker()["pid"]
        self.assertEqual(os.sched_getaffinity(pid), all_cpus)
        os.kill(pid, signal.SIGUSR1)
        wait_for(lambda: 1 <= len(os.sched_getaffinity(pid)) <= len(all_cpus) // 2,
                 what="fewer CPUs")
        wait_for(lambda: ", slowed down" in self.log.read_text(), what="a word about it")
        self.kill_manager()  # the next one knows what to take back
        os.kill(pid, signal.SIGUSR2)
        wait_for(lambda: os.sched_getaffinity(pid) == all_cpus, what="all CPUs")
        self.assertEqual((self.about_worker()["pid"], self.about_worker()["restarts"]), (pid, 0))

    def test_on_one_cpu_who_is_above_memory_high_is_told(self):
        self.start("memory_hog.py", "60", memory_high="30M", cpu_max=1)
        self.assertEqual(self.who("memory_high"), NOBODY)
        self.assertIn(f"({NOBODY})", self.ctl("describe", "api").out)
        wait_for(lambda: "and nobody slows it down" in self.log.read_text(), what="a word about it")
        self.assertEqual(self.about_worker()["restarts"], 0)


if __name__ == "__main__":
    unittest.main()
