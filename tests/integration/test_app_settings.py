"""What clusterapp is told by environment and `.env` files, what it says in its log, and how it
begins and ends as a whole."""

import os
import signal
import socket
import stat
import subprocess
import threading
import unittest

from app_server import AppTestCase
from harness import BIN, http_get, wait_for


class Settings(AppTestCase):
    def test_every_fault_is_told_at_once(self):
        app = self.start(PORT="x", HOST="y", LOG_LEVEL="loud", ACCESS_LOG="maybe",
                         TRUST_PROXY="everybody", MAX_BODY_BYTES="1", JWT_SECRET="short",
                         RATE_LIMIT_MAX_REQUESTS="-1", REDIS_URL="http://x",
                         DATABASE_CONNECTION_LIMIT="none")
        code, err = app.ended()
        self.assertEqual(code, 2)
        self.assertEqual(app.out.read_text(), "")
        lines = err.splitlines()
        for name in ("PORT", "HOST", "LOG_LEVEL", "ACCESS_LOG", "TRUST_PROXY", "MAX_BODY_BYTES",
                     "JWT_SECRET", "RATE_LIMIT_MAX_REQUESTS", "REDIS_URL",
                     "DATABASE_CONNECTION_LIMIT"):
            told = [line for line in lines if line.startswith(f"clusterapp: {name} ")]
            self.assertEqual(len(told), 1, f"{name}: {err}")
        self.assertNotIn("short", err)

    def test_what_is_shared_by_hosts_needs_a_secret_of_the_user(self):
        for name, value in (("REDIS_URL", "redis://127.0.0.1:1"),
                            ("DATABASE_URL", "postgresql://127.0.0.1:1/x")):
            code, err = self.start(**{name: value}).ended()
            self.assertEqual(code, 2)
            self.assertIn(f"JWT_SECRET must be set (at least 32 characters, the same for all "
                          f"instances) when {name} is", err)

    def test_env_files(self):
        (self.dir / ".env").write_text("NODE_APP_INSTANCE=1\nLOG_LEVEL=warn\n"
                                       "NODE_ENV=ignored # only a real one chooses files\n")
        (self.dir / ".env.staging").write_text("NODE_APP_INSTANCE=2\nACCESS_LOG='off'\n")
        special = self.dir / "special.env"
        special.write_text("NODE_APP_INSTANCE=3\n")
        rows = (({}, 1), ({"NODE_ENV": "staging"}, 2), ({"APP_ENV": "staging"}, 2),
                ({"NODE_ENV": "staging", "ENV_FILE": str(special)}, 3),
                ({"NODE_APP_INSTANCE": "4", "ENV_FILE": str(special)}, 4),
                ({"NODE_ENV": "../staging"}, 1))
        for env, want in rows:
            with self.subTest(env):
                app = self.started(LOG_LEVEL="info", NODE_APP_INSTANCE=env.get("NODE_APP_INSTANCE"),
                                   **{name: value for name, value in env.items()
                                      if name != "NODE_APP_INSTANCE"})
                self.assertEqual(app.get("/").json["instance"], want)
                app.terminate()
                self.assertEqual(app.ended()[0], 0)

    def test_a_bad_env_file_is_named(self):
        (self.dir / ".env").write_text("PORT=0\nwhat is this\n")
        missing = self.dir / "missing.env"
        code, err = self.start(ENV_FILE=str(missing)).ended()
        self.assertEqual(code, 2)
        self.assertIn(f"{missing}: no such file or directory", err)
        self.assertIn('./.env: line 2: expected NAME=value, got "what is this"', err)

    def test_the_folder_of_the_data_is_private(self):
        self.started(DATA_DIR=str(self.dir / "deep/er"))
        self.assertEqual(stat.S_IMODE((self.dir / "deep/er").stat().st_mode), 0o700)
        secret = self.dir / "deep/er/jwt-secret"
        self.assertEqual(stat.S_IMODE(secret.stat().st_mode), 0o600)

    def test_instances_that_start_at_once_agree_on_the_secret(self):
        apps = [self.start() for _ in range(4)]
        for app in apps:
            app.listens()
        user = {"email": "ada@example.com", "password": "correct horse", "name": "Ada"}
        token = apps[0].post("/api/auth/register", user).json["data"]["token"]
        for app in apps:
            self.assertEqual(app.get("/api/users/me", token=token).status, 200)


class Health(AppTestCase):
    def test_it_tells_what_the_server_depends_on(self):
        app = self.started(NODE_APP_INSTANCE="1")
        for path in "/health", "/health/ready":
            checks = app.get(path).json["checks"]
            self.assertEqual(checks["database"]["status"], "ok")
            self.assertEqual(checks["database"]["form"], "sqlite")
            self.assertEqual({entry["status"] for entry in checks.values()}, {"ok"})
        self.assertNotIn("checks", app.get("/health/live").json)

    def test_it_is_not_ready_while_a_server_is_away(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # and not listening: connections are refused
            app = self.started(REDIS_URL=f"redis://127.0.0.1:{closed.getsockname()[1]}",
                               JWT_SECRET="x" * 32)
            answer = app.get("/health/ready")
            self.assertEqual((answer.status, answer.json["status"]), (503, "failing"))
            self.assertEqual(answer.json["checks"]["redis"]["status"], "failing")
            self.assertEqual(answer.json["checks"]["database"]["status"], "ok")
            self.assertEqual(app.get("/health/live").status, 200)

    def test_many_questions_are_one_to_a_server_that_does_not_answer(self):
        asked = []
        with socket.create_server(("127.0.0.1", 0)) as mute:
            def accept():
                while True:
                    try:
                        asked.append(mute.accept()[0])
                    except OSError:
                        return
            thread = threading.Thread(target=accept)
            thread.start()
            # Who gave up meanwhile would call again.
            app = self.started(REDIS_URL=f"redis://127.0.0.1:{mute.getsockname()[1]}",
                               REDIS_CONNECT_TIMEOUT_MS="60000", JWT_SECRET="x" * 32)
            answers = []
            askers = [threading.Thread(target=lambda: answers.append(app.get("/health").status))
                      for _ in range(20)]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
            self.assertEqual(answers, [503] * 20)
            self.assertLess(len(asked), 5)
            mute.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in asked:
            connection.close()


class Log(AppTestCase):
    def test_a_request_has_one_line_with_its_id(self):
        app = self.started()
        answer = app.get("/nope?token=secret")
        line = app.said("request")
        self.assertEqual((line["id"], line["method"], line["path"], line["route"], line["status"]),
                         (answer.headers["x-request-id"], "GET", "/nope", None, 404))
        self.assertNotIn("secret", app.out.read_text())

    def test_probes_are_quiet(self):
        app = self.started()
        app.get("/health")
        app.get("/")
        self.assertEqual(app.said("request")["path"], "/")
        loud = self.started(LOG_LEVEL="debug")
        loud.get("/health")
        self.assertEqual(loud.said("request")["level"], "debug")

    def test_levels_and_formats(self):
        for env in {"LOG_LEVEL": "warn"}, {"ACCESS_LOG": "off"}:
            port = self.free_port()
            app = self.start(PORT=str(port), **env)
            wait_for(lambda: self.reached(port), what="an answer")
            app.terminate()
            self.assertEqual(app.ended()[0], 0)
            self.assertNotIn('"request"', app.out.read_text())
            self.assertEqual("listening" in app.out.read_text(), "ACCESS_LOG" in env)
        port = self.free_port()
        app = self.start(PORT=str(port), LOG_FORMAT="text")
        wait_for(lambda: self.reached(port), what="an answer")
        app.terminate()
        self.assertEqual(app.ended()[0], 0)
        self.assertRegex(app.out.read_text(), r'Z info  127\.0\.0\.1 GET "/" 200 [\d.]+ ms')

    def reached(self, port):
        try:
            return http_get(port)[0] == 200
        except OSError:
            return False

    def test_a_reader_that_goes_away_does_not_end_the_server(self):
        read, write = os.pipe()
        port = self.free_port()
        process = subprocess.Popen([BIN / "clusterapp"], stdout=write, stderr=write, cwd=self.dir,
                                   env=self.environment({"HOST": "127.0.0.1", "PORT": str(port)}))
        os.close(write)
        try:
            wait_for(lambda: self.reached(port), what="an answer")
            os.close(read)
            for _ in range(3):
                self.assertTrue(self.reached(port))
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(15), 0)
        finally:
            process.kill()
            process.wait()


class End(AppTestCase):
    def test_not_ready_comes_before_not_accepting(self):
        app = self.started(DRAIN_DELAY_MS="6000", DRAIN_TIMEOUT_MS="20000")
        app.terminate()
        wait_for(lambda: app.get("/health/ready").status == 503, what="not ready")
        # Still accepting, and connections go on.
        self.assertEqual(app.get("/health/ready").json["status"], "draining")
        client = self.client()
        for _ in range(2):
            status, headers, _ = client.get("/").answer()
            self.assertEqual((status, headers.get("connection")), (200, None))
        self.assertEqual(app.ended(), (0, ""))

    def test_a_second_signal_does_not_wait_for_the_delay(self):
        app = self.started(DRAIN_DELAY_MS="30000", DRAIN_TIMEOUT_MS="60000")
        app.terminate()
        app.said("finishing what is in flight")
        app.terminate()
        self.assertEqual(app.ended(20)[0], 0)  # nothing was in flight

    def test_an_end_with_everything_in_use_is_clean(self):
        app = self.started()
        user = {"email": "ada@example.com", "password": "correct horse", "name": "Ada"}
        token = app.post("/api/auth/register", user).json["data"]["token"]
        app.get("/api/users/me", token=token)
        app.terminate()
        self.assertEqual(app.ended(), (0, ""))  # no role keeps the loop going: that is a warning


if __name__ == "__main__":
    unittest.main()
