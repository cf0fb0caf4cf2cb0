#!/usr/bin/env python3
"""cron_restart: restarts by the clock, rolling where there are several workers, also for what is
stopped, and over the death of the manager. The patterns have seconds, so that nobody waits."""
import unittest

from harness import is_alive, wait_for
from obedient import ObedientTestCase
from test_reload import Load

EACH_SECOND = "* * * * * *"
EVERY_OTHER = "*/2 * * * * *"
YEARLY = "0 3 1 1 *"  # nobody tests in that minute


class Cron(ObedientTestCase):
    def setUp(self):
        super().setUp()
        self.port = self.free_port()

    def start(self, **attributes):
        self.ctl("start", self.ecosystem(self.obedient(**attributes)))

    def restarted(self, times):
        wait_for(lambda: self.row()["restarts"] >= times, what=f"{times} restarts")

    def test_an_app_is_restarted_each_time(self):
        self.start(cron_restart=EACH_SECOND)
        before = self.row()["pid"]
        self.restarted(3)
        self.assertFalse(is_alive(before))
        self.assertEqual(self.describe()["cause"], f"cron_restart {EACH_SECOND}")
        self.assertEqual(self.row()["unstable_restarts"], 0)  # it was asked to end

    def test_several_workers_go_one_after_the_other_and_not_one_request_is_lost(self):
        self.start(cron_restart=EACH_SECOND, instances=2, listen=f"127.0.0.1:{self.port}",
                   reload={"soak": 50})
        before = set(self.pids())
        load = Load(self.port, clients=2)
        self.addCleanup(load.stop)
        wait_for(lambda: all(row["restarts"] >= 2 for row in self.rows()), 40, "both, twice")
        load.stop()
        self.assertEqual(load.failures, [])
        self.assertFalse(any(map(is_alive, before)))

    def test_a_stopped_app_is_started_and_stop_says_so(self):
        self.start(cron_restart=EVERY_OTHER)
        stopped = self.ctl("stop", "api")
        self.assertIn("api will be started again by the clock (cron_restart */2 * * * * *)",
                      stopped.err)
        wait_for(lambda: self.row()["status"] == "online", what="the next start")

    def test_it_goes_on_after_the_manager_was_killed(self):
        self.start(cron_restart=EVERY_OTHER)
        self.restarted(1)
        self.kill_manager()
        self.restarted(self.row()["restarts"] + 1)

    def test_the_command_line_sets_it_and_takes_it_away(self):
        self.ctl("start", self.worker("obeys.py"), "--name", "api", "--cron-restart", YEARLY,
                 env={"JOURNAL": str(self.journal_file), "TZ": "UTC"})
        about = self.describe()
        self.assertEqual(about["cron_restart"], YEARLY)
        self.assertGreater(about["cron_next_at"], about["started_at"])
        self.assertRegex(self.ctl("describe", "api", env={"TZ": "UTC"}).out,
                         r"cron restart +│ 0 3 1 1 \* \(next \d{4}-01-01 03:00:00 \+00:00\)")
        self.assertEqual(self.json("jlist")[0]["pm2_env"]["cron_restart"], YEARLY)
        self.ctl("restart", "api", "--cron-restart", "0")
        self.assertNotIn("cron_restart", self.describe())
        self.assertEqual(self.ctl("stop", "api").err.count("cron"), 0)

    def test_a_reload_of_the_file_changes_it(self):
        self.start(cron_restart=YEARLY)
        self.ctl("reload", self.ecosystem(self.obedient(cron_restart=EACH_SECOND)))
        self.restarted(self.row()["restarts"] + 2)

    def test_a_pattern_that_is_wrong_starts_nothing(self):
        done = self.ctl("start", self.ecosystem(self.obedient(cron_restart="0 25 * * *")),
                        check=False)
        self.assertEqual(done.code, 1)
        self.assertIn('cron_restart must be a cron pattern such as "0 3 * * *" (hour 25 is not '
                      'from 0 to 23), got "0 25 * * *"', done.err)
        self.assertEqual(self.rows(), [])


if __name__ == "__main__":
    unittest.main()
