"""People with accounts on several instances of clusterapp: what the tests of its API stand on."""

import itertools

import servers_redis
from app_server import AppTestCase
from servers_postgres import PostgresServer

PASSWORD = "correct horse"


class AccountsTestCase(AppTestCase):
    settings = {"ARGON2_MEMORY_KIB": "64", "RATE_LIMIT_MAX_REQUESTS": "100000",
                "ACCESS_LOG": "false"}

    def instances(self, count, **env):
        """So many, on one DATA_DIR, all listening. PostgreSQL knows them as instance0 and so on."""
        apps = [self.start(**self.settings, NODE_APP_INSTANCE=str(number),
                           PGAPPNAME=f"instance{number}", **env)
                for number in range(count)]
        for app in apps:
            app.listens()
        return apps

    def register(self, app, email="ada@example.com", **more):
        body = {"email": email, "password": PASSWORD, "name": "Ada"} | more
        return app.post("/api/auth/register", body)

    def login(self, app, email="ada@example.com", password=PASSWORD):
        return app.post("/api/auth/login", {"email": email, "password": password})

    def granted(self, answer, status=200):
        self.assertEqual(answer.status, status, answer)
        return answer.json["data"]

    def refused(self, answer, status, code):
        self.assertEqual((answer.status, answer.json["error"]["code"]), (status, code))
        self.assertFalse(answer.json["success"])

    def person(self, app, email):
        """Registers; returns the access token."""
        return self.granted(self.register(app, email), 201)["token"]


class OnServers:
    """Beside a test case above: its tests once more with PostgreSQL, a replica and Redis. Each test
    has a database of its own. Who has an account in it reads from the primary, because registering
    was a write; what everybody may read comes from the replica and may be a moment old."""

    lag_ms = 60_000
    numbers = itertools.count()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.postgres = PostgresServer().start()
        cls.addClassCleanup(cls.postgres.__exit__)
        cls.replica = cls.postgres.replica().start()
        cls.addClassCleanup(cls.replica.__exit__)
        cls.redis = servers_redis.Single()
        cls.addClassCleanup(cls.redis.stop)

    def setUp(self):
        self.database = name = f"test{next(self.numbers)}"
        self.postgres.sql(f"CREATE DATABASE {name}")
        self.redis.ask("FLUSHALL")
        url, replica = (server.url.removesuffix("postgres") + name
                        for server in (self.postgres, self.replica))
        self.settings = self.settings | self.redis.environment() | {
            "DATABASE_URL": url, "DATABASE_REPLICA_URLS": replica, "JWT_SECRET": "s" * 32,
            "DATABASE_CONNECTION_LIMIT": "4", "DATABASE_REPLICA_MAX_LAG_MS": str(self.lag_ms)}
        super().setUp()
