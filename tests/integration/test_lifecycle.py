#!/usr/bin/env python3
"""Start, stop, restart, delete, scale, reset: what the user asked for has happened when it says so."""
import json
import os
import pathlib
import shutil
import signal
import unittest

from harness import ClusterTestCase, is_alive, wait_for


class Lifecycle(ClusterTestCase):
    def processes_by_name(self):
        rows = {}
        for row in self.json("list")["processes"]:
            rows.setdefault(row["name"], []).append(row)
        return rows

    def row(self, name, instance=0):
        return next(row for row in self.processes_by_name()[name] if row["instance"] == instance)

    def test_a_killed_worker_is_back_and_the_counter_says_so(self):
        file = self.ecosystem({"name": "api", "script": self.worker("sleeps.sh"), "instances": 3})
        self.ctl("start", file)
        before = {row["id"]: row["pid"] for row in self.processes_by_name()["api"]}
        self.assertEqual(sorted(before), [0, 1, 2])
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)

        def all_back():
            rows = self.processes_by_name()["api"]
            return all(row["status"] == "online" and row["pid"] != before[row["id"]]
                       and row["restarts"] == 1 for row in rows) and rows
        rows = wait_for(all_back, what="all three to be respawned")
        for row in rows:
            self.assertTrue(is_alive(row["pid"]))
            self.assertFalse(is_alive(before[row["id"]]))

    def test_awkward_names_and_paths_are_names_and_paths(self):
        folder = self.dir / "a folder"
        folder.mkdir()
        script = folder / "my worker.sh"
        shutil.copy(self.worker("sleeps.sh"), script)
        self.ctl("start", script)
        self.ctl("start", "--name", "-x", script)  # options in front of the target
        self.ctl("start", "--name", "näme 🎉", script)
        self.assertEqual(set(self.processes_by_name()), {"my worker", "-x", "näme 🎉"})
        self.ctl("stop", "--", "-x")
        self.ctl("stop", "näme 🎉")
        self.assertEqual({name: rows[0]["status"] for name, rows in self.processes_by_name().items()},
                         {"my worker": "online", "-x": "stopped", "näme 🎉": "stopped"})

    def test_jlist_shows_what_a_worker_is_told_of_itself_in_pm2_env_alone(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api", "-i", "2")
        for number, row in enumerate(json.loads(self.ctl("jlist").out)):
            self.assertEqual(row["pm2_env"]["NODE_APP_INSTANCE"], number)
            self.assertNotIn("NODE_APP_INSTANCE", row["pm2_env"]["env"])
            self.assertNotIn("pm_id", row["pm2_env"]["env"])
            self.assertIn("unique_id", row["pm2_env"]["env"])

    def test_a_hundred_apps_in_one_file_are_all_online(self):
        file = self.ecosystem(*({"name": f"app-{number}", "script": self.worker("sleeps.sh")}
                                for number in range(100)))
        self.ctl("start", file)
        rows = self.json("list")["processes"]
        self.assertEqual(len(rows), 100)
        self.assertEqual({row["status"] for row in rows}, {"online"})
        self.assertEqual(len({row["pid"] for row in rows}), 100)
        self.assertTrue(all(is_alive(row["pid"]) for row in rows))
        self.ctl("delete", "all")
        self.assertEqual(self.json("list")["processes"], [])
        self.assertFalse([row["pid"] for row in rows if is_alive(row["pid"])])

    def test_stop_restart_and_delete_take_every_kind_of_target(self):
        script = self.worker("sleeps.sh")
        file = self.ecosystem(
            {"name": "one", "script": script, "namespace": "left"},
            {"name": "two", "script": script, "namespace": "left"},
            {"name": "three", "script": script, "namespace": "right"},
            {"name": "four", "script": script})
        part = self.ecosystem({"name": "two", "script": script}, name="part.json")
        self.ctl("start", file)
        ids = {row["name"]: row["id"] for row in self.json("list")["processes"]}
        everything = {"one", "two", "three", "four"}
        rows = [
            ("an id", str(ids["one"]), {"one"}),
            ("a name", "two", {"two"}),
            ("a namespace", "left", {"one", "two"}),
            ("a regular expression", "/^t/", {"two", "three"}),
            ("a script path", script, everything),
            ("a file again", part, {"two"}),
            ("all", "all", everything),
        ]
        for kind, target, meant in rows:
            with self.subTest(kind):
                self.ctl("stop", target)
                stopped = {row["name"] for row in self.json("list")["processes"]
                           if row["status"] == "stopped" and row["pid"] == 0}
                self.assertEqual(stopped, meant)
                before = {row["name"]: row["pid"] for row in self.json("list")["processes"]}
                self.ctl("restart", target)
                after = {row["name"]: row["pid"] for row in self.json("list")["processes"]}
                self.assertEqual({name for name in after if after[name] != before[name]}, meant)
                self.assertTrue(all(is_alive(pid) for pid in after.values()))
        for kind, target, meant in rows:
            with self.subTest("delete " + kind):
                self.ctl("start", file)
                self.ctl("delete", target)
                left = {row["name"] for row in self.json("list")["processes"]}
                self.assertEqual(left, everything - meant)

    def test_an_unknown_target_is_an_error_and_touches_nothing(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        pid = self.row("api")["pid"]
        for command in ("stop", "restart", "delete", "describe"):
            with self.subTest(command):
                done = self.ctl(command, "nobody", check=False)
                self.assertEqual(done.code, 1)
                self.assertIn("nobody", done.err)
        # Several targets with a bad one among them: all or nothing.
        done = self.ctl("stop", "api", "nobody", check=False)
        self.assertEqual(done.code, 1)
        self.assertEqual(self.row("api")["pid"], pid)

    def test_scale_up_down_and_relative_keeps_instance_numbers_dense(self):
        file = self.ecosystem({"name": "api", "script": self.worker("sleeps.sh"), "instances": 2})
        self.ctl("start", file)
        for wanted, count in (("4", 4), ("+2", 6), ("-3", 3), ("1", 1), ("2", 2)):
            with self.subTest(wanted):
                self.ctl("scale", "api", wanted)
                rows = self.processes_by_name()["api"]
                self.assertEqual(sorted(row["instance"] for row in rows), list(range(count)))
                self.assertEqual({row["status"] for row in rows}, {"online"})
        self.assertEqual(self.ctl("scale", "nobody", "2", check=False).code, 1)
        self.assertNotEqual(self.ctl("scale", "api", "0", check=False).code, 0)

    def test_a_file_started_again_takes_the_new_attributes_and_keeps_the_ids(self):
        app = {"name": "api", "script": self.worker("prints_env.py"),
               "args": [str(self.dir / "facts-{instance}.json")], "instances": 2,
               "env": {"COLOUR": "red"}}
        self.ctl("start", self.ecosystem(app))
        ids = sorted(row["id"] for row in self.processes_by_name()["api"])
        app["env"]["COLOUR"] = "blue"
        app["instances"] = 3
        self.ctl("start", self.ecosystem(app))
        rows = self.processes_by_name()["api"]
        self.assertEqual(sorted(row["id"] for row in rows)[:2], ids)
        self.assertEqual(len(rows), 3)
        for row in rows:
            self.assertEqual(self.json("env", row["id"])["env"]["COLOUR"], "blue")

    def test_a_file_started_again_with_fewer_instances_removes_the_newest(self):
        app = {"name": "api", "script": self.worker("sleeps.sh"), "instances": 4}
        self.ctl("start", self.ecosystem(app))
        app["instances"] = 2
        self.ctl("start", self.ecosystem(app))
        self.assertEqual([row["instance"] for row in self.processes_by_name()["api"]], [0, 1])

    def test_restart_with_options_changes_what_is_managed(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api", "-i", "2")
        self.ctl("restart", "api", "--kill-timeout", "1234", "-i", "3",
                 "--output", "here.log", env={"IGNORED": "1"})
        rows = self.json("describe", "api")["processes"]
        self.assertEqual(len(rows), 3)
        self.assertEqual({row["kill_timeout_ms"] for row in rows}, {1234})
        self.assertTrue(rows[0]["out_file"].startswith(str(self.dir / "here")), rows[0])
        bad = self.ctl("restart", "api", "--kill-timeout", "soon", check=False)
        self.assertNotEqual(bad.code, 0)
        self.assertIn("kill", bad.err)

    def test_a_failed_worker_is_marked_in_the_progress(self):
        done = self.ctl("start", self.worker("crash.py"), "--name", "bad", "--min-uptime", "60s",
                        "--", "3", check=False)
        self.assertEqual(done.code, 1)
        self.assertNotIn("[bad](0) ✓", done.out)

    def test_restart_counts_and_reset_forgets(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        self.ctl("restart", "api")
        self.ctl("restart", "api")
        self.assertEqual(self.row("api")["restarts"], 2)
        self.ctl("stop", "api")
        self.ctl("restart", "api")  # of a stopped one: not counted (PM2)
        self.assertEqual(self.row("api")["restarts"], 2)
        self.ctl("reset", "api")
        self.assertEqual(self.row("api")["restarts"], 0)

    def test_a_script_that_is_online_is_not_started_twice_unless_forced(self):
        script = self.worker("sleeps.sh")
        self.ctl("start", script, "--name", "api")
        again = self.ctl("start", script, "--name", "api", check=False)
        self.assertEqual(again.code, 1)
        self.assertIn("-f", again.err)
        self.assertEqual(len(self.json("list")["processes"]), 1)
        self.ctl("start", script, "--name", "api", "-f")
        self.assertEqual(len(self.json("list")["processes"]), 2)

    def test_ids_are_not_reused_until_the_table_is_empty(self):
        script = self.worker("sleeps.sh")
        for name in ("a", "b"):
            self.ctl("start", script, "--name", name)
        self.ctl("delete", "b")
        self.ctl("start", script, "--name", "c")
        self.assertEqual(sorted(row["id"] for row in self.json("list")["processes"]), [0, 2])
        self.ctl("delete", "all")
        self.ctl("start", script, "--name", "d")
        self.assertEqual([row["id"] for row in self.json("list")["processes"]], [0])

    def test_autostart_false_makes_a_stopped_entry_that_start_starts(self):
        file = self.ecosystem({"name": "api", "script": self.worker("sleeps.sh"),
                               "autostart": False})
        self.ctl("start", file)
        self.assertEqual(self.row("api")["status"], "stopped")
        self.assertEqual(self.row("api")["pid"], 0)
        self.ctl("start", "api")
        self.assertEqual(self.row("api")["status"], "online")

    def test_the_version_shown_is_that_of_the_nearest_package_json(self):
        folder = self.dir / "app" / "src"
        folder.mkdir(parents=True)
        script = folder / "run.sh"
        script.write_text("exec sleep 1000000\n")
        (folder.parent / "package.json").write_text('{"name": "x", "version": "3.2.1"}')
        self.ctl("start", script, "--name", "with")
        self.ctl("start", self.worker("sleeps.sh"), "--name", "without")
        self.assertEqual((self.row("with")["version"], self.row("without")["version"]),
                         ("3.2.1", "N/A"))

    def test_the_pid_file_holds_the_pid_while_it_runs(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "my api!")
        row = self.row("my api!")
        path = pathlib.Path(self.home, "pids", f"my-api--{row['id']}.pid")
        self.assertEqual(path.read_text(), str(row["pid"]))
        self.ctl("stop", "my api!")
        self.assertFalse(path.exists())

    def test_a_signal_reaches_the_worker(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api", "--no-autorestart")
        self.ctl("sendSignal", "SIGTERM", "api")
        wait_for(lambda: self.row("api")["status"] == "stopped", what="the end by SIGTERM")
        self.assertEqual(self.row("api")["exit_signal"], signal.SIGTERM)
        self.assertEqual(self.ctl("sendSignal", "SIGTERM", "api", check=False).code, 1)
        self.assertNotEqual(self.ctl("sendSignal", "SIGNOPE", "api", check=False).code, 0)


if __name__ == "__main__":
    unittest.main()
