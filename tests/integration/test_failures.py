#!/usr/bin/env python3
"""Programs that cannot start, crash, or end by themselves."""
import os
import unittest

from harness import ClusterTestCase, wait_for


class Failures(ClusterTestCase):
    def row(self, name="api"):
        return next(row for row in self.json("list")["processes"] if row["name"] == name)

    def start(self, check=True, **attributes):
        app = {"name": "api", "script": self.worker("sleeps.sh")} | attributes
        return self.ctl("start", self.ecosystem(app), check=check)

    def test_a_crash_at_start_fails_the_command_with_the_code_and_the_last_stderr(self):
        done = self.start(check=False, script=self.worker("crash.py"), args=["7"],
                   min_uptime="60s")
        self.assertEqual(done.code, 1)
        self.assertIn("exited with code 7", done.err)
        self.assertIn("about to end with 7", done.err)

    def test_a_crash_loop_ends_errored_after_pm2s_number_of_launches(self):
        self.start(check=False, script=self.worker("crash.py"), args=["7"],
                   min_uptime="60s")
        wait_for(lambda: self.row()["status"] == "errored", what="errored")
        self.assertEqual(self.row()["restarts"], 15)  # 16 launches
        self.assertEqual(self.row()["pid"], 0)
        self.start(check=False, script=self.worker("crash.py"), args=["7"],
                   min_uptime="60s", max_restarts=3)
        wait_for(lambda: self.row()["status"] == "errored", what="errored again")

    def test_exponential_backoff_waits_longer_each_time(self):
        self.start(check=False, script=self.worker("crash.py"), args=["1"],
                   exp_backoff_restart_delay=50)
        wait_for(lambda: self.row()["restarts"] >= 4, what="four restarts")
        wait_for(lambda: self.row()["status"] == "waiting restart", what="the next delay")
        exits = self.json("describe", "api")["processes"][0]["last_exits"]
        ends = [exit["at"] for exit in reversed(exits)]
        gaps = [after - before for before, after in zip(ends, ends[1:])]
        for gap, least in zip(gaps, (50, 75, 112)):
            self.assertGreaterEqual(gap, least)
        self.ctl("stop", "api")
        self.assertEqual(self.row()["status"], "stopped")

    def test_stop_exit_codes_and_autorestart_false_end_it_for_good(self):
        for attributes in ({"stop_exit_codes": [3], "args": ["3"]},
                           {"autorestart": False, "args": ["0"]}):
            with self.subTest(attributes):
                self.start(script=self.worker("crash.py"), **attributes)  # exit code 0
                wait_for(lambda: self.row()["status"] == "stopped", what="stopped")
                self.assertEqual(self.row()["restarts"], 0)
                self.ctl("delete", "all")

    def test_what_cannot_be_executed_says_why_and_is_never_retried(self):
        not_executable = self.dir / "plain"
        not_executable.write_text("#!/bin/sh\n")
        gone = self.dir / "gone"
        bad_magic = self.dir / "magic"
        bad_magic.write_bytes(b"\x00\x01\x02not a program")
        bad_magic.chmod(0o755)
        bad_shebang = self.dir / "shebang"
        bad_shebang.write_text("#!/no/such/interpreter\n")
        bad_shebang.chmod(0o755)
        rows = [
            ("not executable", {"script": str(not_executable), "interpreter": "none"},
             [str(not_executable), "not executable"]),
            ("no such script", {"script": str(gone)}, [str(gone), "not found"]),
            ("no program", {"script": str(bad_magic), "interpreter": "none"}, [str(bad_magic)]),
            ("bad #!", {"script": str(bad_shebang), "interpreter": "none"},
             [str(bad_shebang), "/no/such/interpreter does not exist"]),
            ("unknown user", {"uid": "nobody-here"}, ["nobody-here"]),
            ("unknown group", {"gid": "nogroup-here"}, ["nogroup-here"]),
            ("bad cwd", {"cwd": "/no/such/folder"}, ["/no/such/folder"]),
        ]
        for name, attributes, words in rows:
            with self.subTest(name):
                done = self.start(check=False, **attributes)
                self.assertEqual(done.code, 1, done)
                for word in words:
                    self.assertIn(word, done.err)
                self.assertNotIn("Traceback", done.err)
                for row in self.json("list")["processes"]:
                    self.assertEqual((row["status"], row["restarts"]), ("errored", 0))
                self.ctl("delete", "all", check=False)

    def test_faults_in_the_text_and_in_the_file_system_are_told_together(self):
        file = self.ecosystem({"name": "one", "script": self.worker("sleeps.sh"), "instances": "x"},
                              {"name": "two", "script": "./nowhere.sh"},
                              {"name": "three", "script": self.worker("sleeps.sh")})
        done = self.ctl("start", file, check=False)
        self.assertEqual(done.code, 1)
        self.assertIn('app "one": instances must be', done.err)
        self.assertIn(f'app "two": script not found: {self.dir}/nowhere.sh', done.err)
        self.assertEqual(self.json("list")["processes"], [])

    def test_a_folder_that_vanishes_later_is_told_at_the_next_restart(self):
        folder = self.dir / "work"
        folder.mkdir()
        self.start(cwd=str(folder))
        folder.rmdir()
        done = self.ctl("restart", "api", check=False)
        self.assertEqual(done.code, 1)
        self.assertIn(f"cannot change to directory {folder}: no such file or directory", done.err)
        self.assertEqual(self.row()["status"], "errored")

    def test_an_unwritable_log_path_is_told(self):
        blocker = self.dir / "file"
        blocker.write_text("")
        done = self.start(check=False, out_file=str(blocker / "x" / "out.log"))
        self.assertEqual(done.code, 1)
        self.assertIn(str(blocker), done.err)

    def test_an_end_by_signal_is_told_as_such(self):
        done = self.start(check=False, script=self.worker("crash.py"), args=["SIGSEGV"],
                          autorestart=False, min_uptime="60s")
        self.assertEqual(done.code, 1)
        self.assertIn("SIGSEGV", done.err)

    def test_one_bad_app_of_three_is_named_and_the_others_run(self):
        file = self.ecosystem(
            {"name": "good", "script": self.worker("sleeps.sh")},
            {"name": "bad", "script": self.worker("crash.py"), "args": ["9"], "max_restarts": 1,
             "min_uptime": "60s"},
            {"name": "fine", "script": self.worker("sleeps.sh")})
        done = self.ctl("start", file, check=False)
        self.assertEqual(done.code, 1)
        self.assertIn("bad", done.err)
        self.assertIn("code 9", done.err)
        self.assertEqual({self.row("good")["status"], self.row("fine")["status"]}, {"online"})

    def test_no_wait_answers_before_the_outcome_is_known(self):
        app = {"name": "api", "script": self.worker("crash.py"), "args": ["1", "0.2"],
               "autorestart": False}
        self.assertEqual(self.ctl("start", self.ecosystem(app), "--no-wait").code, 0)
        wait_for(lambda: self.row()["exit_code"] == 1, what="the crash")


class Surroundings(ClusterTestCase):
    """What a worker finds when it starts."""

    def facts(self, check=True, **attributes):
        import json
        target = self.dir / "facts.json"
        target.unlink(missing_ok=True)
        app = {"name": "api", "script": self.worker("prints_env.py"), "args": [str(target)]}
        self.ctl("start", self.ecosystem(app | attributes), check=check)
        wait_for(target.exists, what="the worker's facts")
        return json.loads(target.read_text())

    def test_environment_arguments_directory_and_umask(self):
        folder = self.dir / "a folder"
        folder.mkdir()
        facts = self.facts(cwd=str(folder), umask="027", env={"COLOUR": "red", "N": 5},
                           env_production={"COLOUR": "blue"})
        self.assertEqual(facts["cwd"], str(folder))
        self.assertEqual(facts["umask"], 0o027)
        self.assertEqual(facts["env"]["COLOUR"], "red")
        self.assertEqual(facts["env"]["N"], "5")
        self.assertEqual(facts["env"]["name"], "api")
        self.assertEqual(facts["env"]["NODE_APP_INSTANCE"], "0")
        self.assertEqual(facts["env"]["pm_id"], "0")

    def test_only_the_standard_descriptors_are_open_and_signals_are_as_new(self):
        facts = self.facts()
        self.assertEqual(set(facts["fds"]) - {"3"}, {"0", "1", "2"})  # 3: the listing itself
        self.assertEqual(facts["fds"]["0"], "/dev/null")
        self.assertEqual(facts["pid"], facts["sid"])
        self.assertEqual(facts["pid"], facts["pgid"])
        self.assertEqual(int(facts["blocked"], 16), 0)
        # Python itself ignores SIGPIPE and SIGXFSZ.
        self.assertEqual(int(facts["ignored"], 16) & ~(1 << 12 | 1 << 24), 0)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_uid_and_gid_are_taken_on_with_the_log_still_writable(self):
        self.dir.chmod(0o777)
        facts = self.facts(uid="nobody", gid="nogroup", cwd="/", interpreter="/usr/bin/python3")
        import grp
        import pwd
        self.assertEqual(facts["uid"], pwd.getpwnam("nobody").pw_uid)
        self.assertEqual(facts["gid"], grp.getgrnam("nogroup").gr_gid)
        self.assertNotIn(0, facts["groups"])
        home = pwd.getpwnam("nobody").pw_dir
        self.assertEqual((facts["env"]["HOME"], self.json("env", 0)["env"]["HOME"]), (home, home))
        pipe = facts["fds"]["1"]
        self.assertTrue(pipe.startswith("pipe:"), pipe)

    def test_instances_are_numbered_and_increment_var_counts_up(self):
        import json
        app = {"name": "api", "script": self.worker("prints_env.py"), "instances": 3,
               "args": [str(self.dir / "facts-{instance}.json")], "increment_var": "PORT",
               "env": {"PORT": 3000}}
        self.ctl("start", self.ecosystem(app))
        for instance in range(3):
            path = self.dir / f"facts-{instance}.json"
            wait_for(path.exists, what=str(path))
            env = json.loads(path.read_text())["env"]
            self.assertEqual(env["PORT"], str(3000 + instance))
            self.assertEqual(env["NODE_APP_INSTANCE"], str(instance))

    def test_max_instances_honour_the_cpu_affinity_of_the_daemon(self):
        import subprocess
        from harness import BIN
        file = self.ecosystem({"name": "api", "script": self.worker("sleeps.sh"),
                               "instances": "max"})
        cpu = min(os.sched_getaffinity(0))
        subprocess.run(["taskset", "-c", str(cpu), BIN / "clusterctl", "start", file],
                       env=self.environment(), check=True, capture_output=True)
        self.assertEqual(len(self.json("list")["processes"]), 1)
        self.ctl("kill")
        self.ctl("start", file)
        self.assertEqual(len(self.json("list")["processes"]), len(os.sched_getaffinity(0)))

    def test_update_env_brings_the_callers_environment_and_nothing_else_does(self):
        app = {"name": "api", "script": self.worker("sleeps.sh"), "env": {"DECLARED": "calm"}}
        self.ctl("start", self.ecosystem(app), env={"MOOD": "calm"})

        def mood(name="MOOD"):
            return self.json("env", 0)["env"].get(name)
        self.assertEqual(mood(), "calm")
        self.ctl("restart", "api", env={"MOOD": "wild"})
        self.assertEqual(mood(), "calm")
        self.ctl("restart", "api", "--update-env", env={"MOOD": "wild"})
        self.assertEqual((mood(), mood("DECLARED")), ("wild", "calm"))
        self.ctl("reload", "api", "--update-env", env={"DECLARED": "wild"})
        self.assertEqual((mood(), mood("DECLARED")), ("wild", "wild"))
        self.ctl("reload", self.ecosystem(app))
        self.assertEqual(mood("DECLARED"), "calm")

    def test_env_name_is_chosen_by_the_env_option(self):
        app = {"name": "api", "script": self.worker("sleeps.sh"), "env": {"MODE": "dev", "A": "1"},
               "env_production": {"MODE": "prod"}}
        self.ctl("start", self.ecosystem(app), "--env", "production")
        env = self.json("env", 0)["env"]
        self.assertEqual((env["MODE"], env["A"]), ("prod", "1"))


if __name__ == "__main__":
    unittest.main()
