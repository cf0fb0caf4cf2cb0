"""The description of the API: it is served, it is whole, and what the server answers fits it."""

import json
import re
import unittest

import openapi
from app_server import AppTestCase
from harness import ROOT


class Checker(unittest.TestCase):
    """The checker itself must be able to say no."""

    USER = {"id": "0190d0a0-0000-7000-8000-000000000000", "email": "a@b.c", "name": "A",
            "role": "user", "createdAt": "2026-11-22T15:00:00.000Z"}

    def answer(self, status=200, data=None, method="GET", path="/api/users/me", **headers):
        text = json.dumps({"success": True, "data": data or self.USER})
        openapi.check(method, path, status, {"content-type": "application/json",
                                             "x-request-id": "1"} | headers, text)

    def test_what_fits_passes(self):
        self.answer()
        self.answer(path="/api/users/me?x=1")

    def test_what_does_not_fit_is_found(self):
        without = {name: value for name, value in self.USER.items() if name != "role"}
        rows = [{"status": 418}, {"status": 201}, {"data": without},
                {"data": self.USER | {"hash": "x"}}, {"data": self.USER | {"id": "7"}},
                {"data": self.USER | {"createdAt": "yesterday"}},
                {"data": self.USER | {"name": None}}, {"data": self.USER | {"email": "nobody"}},
                {"content-type": "text/html"}, {"path": "/api/users"}, {"method": "DELETE"}]
        for row in rows:
            with self.subTest(row), self.assertRaises(openapi.Mismatch):
                self.answer(**row)

    def test_only_what_is_understood_is_used(self):
        for schema in openapi.DESCRIPTION["components"]["schemas"].values():
            self.assertEqual(schema["type"], "object")
            self.assertIn("additionalProperties", schema)
        text = (ROOT / "app/openapi.json").read_text()
        for target in re.findall(r'"\$ref": "([^"]+)"', text):
            openapi.resolved({"$ref": target})

    def test_an_operation_has_all_that_can_happen(self):
        for path, operations in openapi.DESCRIPTION["paths"].items():
            names = set(re.findall(r"{(\w+)}", path))
            for method, operation in operations.items():
                with self.subTest(f"{method} {path}"):
                    self.assertTrue({"400", "408", "413", "431", "500", "503"}
                                    <= operation["responses"].keys())
                    if operation["security"] == [{"bearer": []}]:
                        self.assertIn("401", operation["responses"])
                    given = {one["name"] for one in operation.get("parameters", ())
                             if one["in"] == "path"}
                    self.assertEqual(given, names)


class Served(AppTestCase):
    def test_the_description_is_the_committed_one(self):
        app = self.started()
        answer = app.get("/api/openapi.json")
        self.assertEqual(answer.text, (ROOT / "app/openapi.json").read_text())
        self.assertEqual(answer.headers["cache-control"], "public, max-age=300")

    def test_every_route_is_described_and_nothing_else(self):
        app = self.started()
        # The metrics name every route from the first moment, the 405 its methods.
        text = app.get("/metrics").text
        routes = set(re.findall(r'^http_request_duration_seconds_count\{route="(/.*)"\}', text,
                                re.M))
        # Engine.IO is no API of JSON requests; docs/app-socketio.md describes it.
        api = {route for route in routes if not route.startswith("/socket.io")}
        self.assertEqual(sorted(api), sorted(openapi.DESCRIPTION["paths"]))
        for path, operations in openapi.DESCRIPTION["paths"].items():
            answer = app.request("PATCH", re.sub(r"{\w+}", "x", path))
            self.assertEqual(answer.status, 405)
            methods = set(answer.headers["allow"].split(", ")) - {"HEAD"}
            self.assertEqual(methods, {method.upper() for method in operations}, path)

    def test_answers_of_the_simple_routes(self):
        app = self.started()
        for path in ("/", "/health", "/health/live", "/health/ready", "/slow?ms=1", "/slow?ms=x",
                     "/nope", "/metrics", "/metrics?scope=instance", "/metrics?scope=x",
                     "/api/users/me", "/api/jobs", "/api/jobs?page=0", "/api/jobs/1?x=%"):
            app.get(path)  # checked by the helper
        app.post("/health")
        app.post("/api/auth/login", "{")
        app.post("/api/auth/login", {"email": 1})
        app.request("HEAD", "/health")
        app.request("BREW", "/health")


if __name__ == "__main__":
    unittest.main()
