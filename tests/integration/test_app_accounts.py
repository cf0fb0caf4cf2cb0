"""Accounts of clusterapp: several instances that share what they know, each its own process."""

import base64
import concurrent.futures
import json
import os
import signal
import time
import unittest

import servers_redis
from app_people import AccountsTestCase


class Embedded(AccountsTestCase):
    def test_log_in_on_one_log_out_on_another_refused_on_the_third(self):
        one, two, three = self.instances(3)
        user = self.granted(self.register(one), 201)["user"]
        token = self.granted(self.login(two))["token"]
        self.assertEqual(three.get("/api/users/me", token=token).json["data"], user)
        self.assertEqual(two.post("/api/auth/logout", token=token).status, 200)
        for app in one, two, three:
            self.refused(app.get("/api/users/me", token=token), 401, "TOKEN_REVOKED")

    def test_tokens_and_sessions_outlive_every_process(self):
        [app] = self.instances(1)
        data = self.granted(self.register(app), 201)
        gone = self.granted(self.login(app))["token"]
        app.post("/api/auth/logout", token=gone)
        os.kill(app.pid, signal.SIGKILL)
        app.process.wait()
        [app] = self.instances(1)
        self.assertEqual(app.get("/api/users/me", token=data["token"]).status, 200)
        session = app.get("/api/auth/session", token=data["token"]).json["data"]
        self.assertEqual((session["userId"], session["client"]),
                         (data["user"]["id"], "127.0.0.1"))
        self.refused(app.get("/api/users/me", token=gone), 401, "TOKEN_REVOKED")

    def test_of_many_who_register_one_address_at_once_one_gets_it(self):
        apps = self.instances(3)
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(
                lambda n: self.register(apps[n % 3], email=f"{'aA'[n % 2]}da@example.com"),
                range(12)))
        self.assertEqual(sorted(answer.status for answer in answers), [201] + [409] * 11)
        self.assertEqual({answer.json["error"]["code"] for answer in answers
                          if answer.status == 409}, {"EMAIL_TAKEN"})

    def test_a_refresh_token_serves_once_whoever_is_asked(self):
        apps = self.instances(3)
        first = self.granted(self.register(apps[0]), 201)
        second = self.granted(apps[1].post("/api/auth/refresh",
                                           {"refreshToken": first["refreshToken"]}))
        self.assertEqual(second["user"], first["user"])
        self.assertEqual(apps[2].get("/api/users/me", token=second["token"]).status, 200)
        self.refused(apps[2].post("/api/auth/refresh", {"refreshToken": first["refreshToken"]}),
                     401, "TOKEN_REUSED")
        self.refused(apps[0].get("/api/users/me", token=second["token"]), 401, "TOKEN_REVOKED")
        self.refused(apps[1].post("/api/auth/refresh", {"refreshToken": second["refreshToken"]}),
                     401, "TOKEN_INVALID")

    def test_of_many_who_show_one_refresh_token_at_once_at_most_one_gets_on(self):
        apps = self.instances(3)
        token = self.granted(self.register(apps[0]), 201)["refreshToken"]
        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            answers = list(pool.map(
                lambda n: apps[n % 3].post("/api/auth/refresh", {"refreshToken": token}),
                range(9)))
        granted = [answer.json["data"] for answer in answers if answer.status == 200]
        self.assertEqual(len(granted), 1, answers)
        self.assertEqual({answer.status for answer in answers}, {200, 401})
        # The others were copies: nothing of the session is left.
        self.assertEqual(apps[0].get("/api/users/me", token=granted[0]["token"]).status, 401)

    def test_faults_are_told_field_by_field(self):
        [app] = self.instances(1)
        answer = app.post("/api/auth/register", {"email": "ada", "password": "short"})
        self.assertEqual(answer.status, 400)
        error = answer.json["error"]
        self.assertEqual(error["code"], "VALIDATION")
        self.assertEqual([fault["path"] for fault in error["details"]],
                         ["email", "password", "name"])

    def test_hostile_requests_get_an_answer_each(self):
        [app] = self.instances(1)
        token = self.granted(self.register(app), 201)["token"]
        header, body, mark = token.split(".")
        none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        odd = base64.urlsafe_b64encode(b'{"alg":5,"typ":[]}').decode().rstrip("=")
        for bad in ("x", "..", "a.b.c", f"{none}.{body}.", f"{odd}.{body}.{mark}",
                    f"{header}.{body}.{mark[:-2]}", f"{header}.{header}.{mark}", "é" * 50, "éé.éé.éé",
                    "a" * 7000, token + ".x"):
            with self.subTest(bad[:40]):
                self.refused(app.get("/api/users/me", headers={"Authorization": f"Bearer {bad}"
                             .encode()}), 401, "TOKEN_INVALID")
        for raw, status in ((b"", 400), (b"null", 400), (b"[]", 400), (b'{"email":', 400),
                            (b'{"email":"\xff\xfe"}', 400), (b"[" * 500_000, 400),
                            (b'{"a":' * 100_000, 400), (b'{"email":1e999,"password":{}}', 400),
                            (b'{"email":"a\\u0000@b.de","password":"12345678"}', 400)):
            for path in "/api/auth/register", "/api/auth/login", "/api/auth/refresh":
                with self.subTest(path=path, raw=raw[:20]):
                    answer = app.post(path, raw, headers={"Content-Type": "application/json"})
                    self.assertEqual(answer.status, status, answer)
        self.assertEqual(app.get("/api/users/me", token=token).status, 200)

    def test_a_weak_secret_keeps_it_from_starting_and_is_not_shown(self):
        app = self.start(JWT_SECRET="not-so-secret", ARGON2_TIME="x")
        code, complaints = app.ended()
        self.assertEqual(code, 2)
        self.assertIn("JWT_SECRET must have at least 32 characters, has 13", complaints)
        self.assertIn("ARGON2_TIME", complaints)
        self.assertNotIn("not-so-secret", complaints)

    def test_instances_with_other_secrets_do_not_trust_each_other(self):
        [one] = self.instances(1, JWT_SECRET="a" * 32)
        [two] = self.instances(1, JWT_SECRET="b" * 32)
        data = self.granted(self.register(one), 201)
        self.refused(two.get("/api/users/me", token=data["token"]), 401, "TOKEN_INVALID")
        self.refused(two.post("/api/auth/refresh", {"refreshToken": data["refreshToken"]}),
                     401, "TOKEN_INVALID")

    def test_tokens_end_when_their_time_has_come(self):
        [app] = self.instances(1, JWT_EXPIRE="1s", JWT_REFRESH_EXPIRE="2s")
        data = self.granted(self.register(app), 201)
        self.wait_for(lambda: app.get("/api/users/me", token=data["token"]).status == 401,
                      what="the end of the access token")
        self.refused(app.get("/api/users/me", token=data["token"]), 401, "TOKEN_EXPIRED")
        old = {"refreshToken": data["refreshToken"]}

        def expired():
            # Shown once it could be exchanged, later it is used up: so only its end is waited for.
            claims = data["refreshToken"].split(".")[1]
            end = json.loads(base64.urlsafe_b64decode(claims + "=="))["exp"]
            return time.time() > end
        self.wait_for(expired, what="the end of the refresh token")
        self.refused(app.post("/api/auth/refresh", old), 401, "TOKEN_EXPIRED")


class Hashing(AccountsTestCase):
    settings = {"ARGON2_MEMORY_KIB": "19456", "ARGON2_THREADS": "1",
                "RATE_LIMIT_MAX_REQUESTS": "100000", "ACCESS_LOG": "false"}

    def test_a_storm_of_log_ins_is_turned_away_and_holds_nobody_else_up(self):
        [app] = self.instances(1)
        self.granted(self.register(app), 201)
        slowest = 0
        with concurrent.futures.ThreadPoolExecutor(110) as pool:
            logins = [pool.submit(self.login, app) for _ in range(110)]
            while not all(login.done() for login in logins):
                began = time.monotonic()
                self.assertEqual(app.get("/health/live", check=False).status, 200)
                slowest = max(slowest, time.monotonic() - began)
        answers = [login.result() for login in logins]
        turned_away = [answer for answer in answers if answer.status == 503]
        self.assertEqual({answer.status for answer in answers}, {200, 503})
        for answer in turned_away:
            self.assertEqual(answer.json["error"]["code"], "OVERLOADED")
            self.assertIn("retry-after", answer.headers)
        self.assertLess(slowest, 1.0)
        self.granted(self.login(app))

    def test_the_time_of_an_answer_does_not_tell_which_addresses_exist(self):
        [app] = self.instances(1)
        self.granted(self.register(app), 201)
        times = {"ada@example.com": [], "nobody@example.com": [], "no address": []}

        def alike():
            # The least of many is what the work takes; other programs make some of them longer.
            for _ in range(9):
                for email, taken in times.items():
                    began = time.monotonic()
                    self.refused(self.login(app, email, "wrong password"), 401,
                                 "INVALID_CREDENTIALS")
                    taken.append(time.monotonic() - began)
            known, *others = (min(taken) for taken in times.values())
            return all(known * 0.6 < other < known * 1.7 for other in others)
        self.wait_for(alike, 60, "times that are alike")


class WithRedis(AccountsTestCase):
    settings = AccountsTestCase.settings | {"JWT_SECRET": "s" * 32}

    def redis(self):
        server = servers_redis.Single()
        self.addCleanup(server.stop)
        return server

    def test_redis_holds_what_was_logged_out_and_who_is_logged_in(self):
        redis = self.redis()
        one, two, three = self.instances(3, **redis.environment())
        self.granted(self.register(one), 201)
        token = self.granted(self.login(one))["token"]
        self.assertEqual(two.post("/api/auth/logout", token=token).status, 200)
        self.refused(three.get("/api/users/me", token=token), 401, "TOKEN_REVOKED")
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        self.assertEqual(redis.ask("KEYS", "blacklist:*"), [f"blacklist:{claims['jti']}"])
        life = redis.ask("TTL", f"blacklist:{claims['jti']}")
        self.assertAlmostEqual(life, claims["exp"] - time.time(), delta=3)
        sessions = redis.ask("KEYS", "session:*")
        self.assertEqual(len(sessions), 1)  # the one that registering began
        self.assertGreater(redis.ask("TTL", sessions[0]), 86_000)

    def test_without_redis_nobody_is_trusted_unless_that_was_chosen(self):
        redis = self.redis()
        [deny] = self.instances(1, **redis.environment())
        [allow] = self.instances(1, TOKEN_CHECK_ON_ERROR="allow", **redis.environment())
        token = self.granted(self.register(deny), 201)["token"]
        self.assertEqual(allow.get("/api/users/me", token=token).status, 200)
        redis.kill("redis")
        answer = self.wait_for(lambda: (lambda got: got.status == 503 and got)(
            deny.get("/api/users/me", token=token)), what="the policy")
        self.assertIn("retry-after", answer.headers)
        self.assertEqual(allow.get("/api/users/me", token=token).status, 200)
        self.refused(allow.get("/api/users/me", token=token + "x"), 401, "TOKEN_INVALID")
        self.assertEqual(self.login(allow).status, 200)
        self.assertEqual(self.login(deny).status, 503)
        redis.again("redis")
        self.wait_for(lambda: deny.get("/api/users/me", token=token).status == 200,
                      what="recovery by itself")
        self.granted(self.login(deny))


if __name__ == "__main__":
    unittest.main()
