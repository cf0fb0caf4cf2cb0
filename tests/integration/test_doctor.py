#!/usr/bin/env python3
"""doctor: all is well with a healthy daemon, and each thing that is made wrong is told."""
import contextlib
import subprocess
import unittest

from harness import BIN, ClusterTestCase, wait_for


class Doctor(ClusterTestCase):
    def examine(self):
        """({check: [verdicts]}, the whole answer)"""
        answer = self.json("doctor", check=False)
        verdicts = {}
        for finding in answer["findings"]:
            verdicts.setdefault(finding["check"], []).append(finding["verdict"])
        return verdicts, answer

    def problems(self):
        return sorted(finding["check"] for finding in self.json("doctor", check=False)["findings"]
                      if finding["verdict"] == "problem")

    def test_a_healthy_daemon_has_no_problems(self):
        port = self.free_port()
        self.ctl("start", self.worker("listens.py"), "--name", "web", "-i", "2",
                 "--listen", f"127.0.0.1:{port}")
        self.ctl("start", self.worker("sleeps.sh"), "--name", "rests")
        self.ctl("stop", "rests")
        verdicts, answer = self.examine()
        for check in ("processes", "strays", "doubles", "guardian", "state", "sockets", "logs",
                      "one daemon", "home", "socket"):
            self.assertEqual(verdicts.get(check), ["ok"], answer)
        self.assertEqual(answer["problems"], 0)
        about = self.about()
        self.assertEqual([answer["daemon"][name] for name in ("pid", "guardian_pid")],
                         [about[name] for name in ("pid", "guardian_pid")])
        shown = self.ctl("doctor")
        self.assertIn("2 live and are ours", shown.out)

    def test_it_works_without_a_daemon_and_starts_none(self):
        verdicts, _ = self.examine()
        self.assertEqual(verdicts["daemon"], ["ok"])
        self.assertIn("none runs", self.ctl("doctor").out)
        self.assertEqual(self.processes(), [])

    def test_daemons_that_were_killed_are_a_problem_and_any_command_helps(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        self.kill_both_daemons()
        self.assertEqual(self.problems(), ["daemon"])
        self.assertEqual(self.ctl("doctor", check=False).code, 1)
        self.ctl("list")
        wait_for(lambda: self.problems() == [], what="everything to be well again")

    @contextlib.contextmanager
    def stranger(self, unique_id):
        """A process that looks like a worker of this home and that the daemon has not started."""
        process = subprocess.Popen(["sleep", "1000000"], start_new_session=True,
                                   env=self.environment({"unique_id": unique_id}))
        try:
            yield process.pid
        finally:
            process.kill()
            process.wait()

    def test_a_process_that_belongs_to_no_row_is_told(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        with self.stranger("nobody-knows") as pid:
            self.assertEqual(self.problems(), ["strays"])
            self.assertIn(f"kill {pid}", self.ctl("doctor", check=False).out)
        self.assertEqual(self.problems(), [])

    def test_a_second_copy_of_a_worker_is_told(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        mark = self.json("env", "0")["env"]["unique_id"]
        with self.stranger(mark):
            self.assertEqual(self.problems(), ["doubles"])
        self.assertEqual(self.problems(), [])

    def test_a_state_that_somebody_spoiled_is_told_and_can_be_written_anew(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        self.json("doctor")  # everything is written
        (self.home / "state.json").write_text("{")
        self.assertEqual(self.problems(), ["state"])
        self.ctl("reset", "all")
        self.assertEqual(self.problems(), [])

    def test_a_log_file_that_was_removed_is_a_warning(self):
        self.ctl("start", self.worker("sleeps.sh"), "--name", "api")
        (self.home / "logs" / "api-out.log").unlink()
        verdicts, answer = self.examine()
        self.assertEqual(verdicts["logs"], ["warning"], answer)
        self.assertEqual(self.ctl("doctor").code, 0)

    def test_a_home_that_others_may_enter_is_a_problem(self):
        self.ctl("ping")
        self.home.chmod(0o755)
        self.assertEqual(self.problems(), ["home"])
        self.home.chmod(0o700)
        self.assertEqual(self.problems(), [])

    def test_no_descriptor_stays_with_the_guardian_when_its_worker_is_gone(self):
        script = self.worker("sleeps.sh")
        for _ in range(10):
            self.ctl("start", script, "--name", "api", "-i", "4")
            self.ctl("delete", "api")
        verdicts, answer = self.examine()
        self.assertEqual(verdicts["guardian"], ["ok"], answer)

    def test_a_terminal_gets_colours(self):
        line = ["script", "-qec", f"{BIN}/clusterctl doctor", "/dev/null"]
        done = subprocess.run(line, env=self.environment({"TERM": "xterm"}), timeout=60,
                              cwd=self.dir, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        self.assertIn("\x1b[", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
