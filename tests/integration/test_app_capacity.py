"""clusterapp --capacity USERS, and the table of it in docs/app-api.md."""

import json
import subprocess
import unittest

from harness import BIN, ROOT, ClusterTestCase

USERS = (1_000, 10_000, 50_000, 100_000)


def table(plans):
    """What docs/app-api.md shows."""
    lines = ["| users | requests/s | hosts (cores) | instances | database connections "
             "| `max_connections` | replicas | Redis | an instance |",
             "|---|---|---|---|---|---|---|---|---|"]
    for plan in plans:
        lines.append(f"| {plan['users']:,} | {plan['requests_per_second']:,.0f} "
                     f"| {plan['hosts']} ({plan['cores']}) | {plan['instances']} "
                     f"| {plan['database_connections']} | {plan['max_connections']} "
                     f"| {plan['replicas']} | {plan['redis_mib']:,.0f} MiB "
                     f"| {plan['instance_mib']:,.0f} MiB |")
    return "\n".join(lines)


class Capacity(ClusterTestCase):
    def run_app(self, *arguments, **env):
        return subprocess.run([BIN / "clusterapp", *arguments], env=self.environment(env),
                              cwd=self.dir, capture_output=True, text=True, timeout=20)

    def plan(self, users, **env):
        done = self.run_app("--capacity", str(users), "--json", **env)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def test_the_documented_table_is_what_the_program_says(self):
        self.assertIn(table(map(self.plan, USERS)), (ROOT / "docs/app-api.md").read_text())

    def test_people_get_text_with_its_assumptions(self):
        done = self.run_app("--capacity", "50000")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for words in "For 50,000 users:", "It assumes:", "It was measured:", "maxmemory of Redis":
            self.assertIn(words, done.stdout)

    def test_the_pool_is_that_of_the_environment(self):
        plan = self.plan(1000, DATABASE_CONNECTION_LIMIT="25")
        self.assertEqual(plan["database_connections"], plan["instances"] * 25)

    def test_what_is_no_number_of_users_is_told(self):
        for arguments in (("--capacity",), ("--capacity", "many"), ("--capacity", "0"),
                          ("--capacity", "5", "--xml"), ("--capacity", "5", "--json", "x")):
            with self.subTest(arguments):
                done = self.run_app(*arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertTrue(done.stderr.startswith("clusterapp: "), done.stderr)


if __name__ == "__main__":
    unittest.main()
