"""Files, exports and queues over HTTP, with workers that are processes of their own: on SQLite and a
folder, and on Redis and S3."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import unittest
import urllib.parse

import fake_s3
import servers_redis
import socketio
from app_server import AppTestCase
from harness import SANITIZED, wait_for

MB = 1 << 20
PASSWORD = "correct horse battery"


def peak_kb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


class ExportsTestCase(AppTestCase):
    settings = {}

    def started(self, **env):
        return super().started(**self.settings | env)

    def start_worker(self, **env):
        worker = self.start(args=["--worker"], **self.settings | env)
        worker.said("working for the background queue")
        return worker

    def account(self, app, email="ann@example.org"):
        """A token of a new account."""
        answer = app.post("/api/auth/register", {"email": email, "password": PASSWORD,
                                                 "name": "Ann"})
        self.assertEqual(answer.status, 201, answer)
        return answer.json["data"]["token"]

    def project(self, app, token, title="Quarter", content=None):
        content = content or {"slides": [{"title": "Größe", "bullets": ["eins", "zwei"]}]}
        answer = app.post("/api/projects", {"title": title, "content": content}, token=token)
        self.assertEqual(answer.status, 201, answer)
        return answer.json["data"]["id"]

    def export(self, app, token, project):
        answer = app.post(f"/api/projects/{project}/export", token=token)
        self.assertEqual(answer.status, 202, answer)
        data = answer.json["data"]
        self.assertEqual((data["status"], data["projectId"]), ("pending", project))
        self.assertEqual(answer.headers["location"], f"/api/exports/{data['exportId']}")
        return data["exportId"]

    def finished(self, app, token, export, status="completed", deadline=30):
        def look():
            data = app.get(f"/api/exports/{export}", token=token).json["data"]
            return data if data["status"] == status else None
        return wait_for(look, deadline, f"the export to be {status}")

    def raw(self, port, method, url, body=None, headers=None, read=True):
        """(status, headers, bytes) of a request whose body or answer is no text."""
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc or f"127.0.0.1:{port}", timeout=60)
        with contextlib.closing(connection):
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return (answer.status, {k.lower(): v for k, v in answer.getheaders()},
                    answer.read() if read else b"")

    def upload(self, app, token, content, name="n.bin", kind="application/x-test"):
        status, _, body = self.raw(app.port, "POST",
                                   "/api/files?" + urllib.parse.urlencode({"name": name}), content,
                                   {"Authorization": f"Bearer {token}", "Content-Type": kind})
        self.assertEqual(status, 201, body)
        return json.loads(body)["data"]

    def pdf_text(self, content):
        path = self.dir / "export.pdf"
        path.write_bytes(content)
        for tool in (["pdfinfo", path], ["pdftotext", "-layout", path, "-"]):
            done = subprocess.run(tool, capture_output=True, text=True, timeout=20)
            self.assertEqual(done.returncode, 0, done.stderr)
            # What libharu writes into the map back to Unicode reads well all the same.
            said = [line for line in done.stderr.splitlines() if "begincidrange" not in line]
            self.assertEqual(said, [])
            if tool[0] == "pdfinfo":
                pages = int(re.search(r"Pages:\s+(\d+)", done.stdout)[1])
                title = re.search(r"Title:\s+(.*)", done.stdout)[1]
        return pages, title, done.stdout


class Whole:
    """What a user sees, on whatever stands behind it; mixed into a test case per form."""

    def test_an_export_from_the_order_to_the_pdf(self):
        app = self.started()
        worker = self.start_worker()
        token = self.account(app)
        slides = [{"title": f"Seite {n}", "bullets": [f"Größe {n} €", "Ж" if n == 1 else "x"]}
                  for n in range(25)]
        project = self.project(app, token, "Überblick \"Q3\"", {"slides": slides})
        export = self.export(app, token, project)
        done = self.finished(app, token, export)
        self.assertEqual((done["progress"], done["projectId"]), (100, project))
        self.assertEqual(done["file"]["name"], "Überblick _Q3_.pdf")
        status, headers, content = self.raw(app.port, "GET", done["file"]["url"])
        self.assertEqual((status, len(content)), (200, done["file"]["size"]))
        self.assertEqual(headers["content-type"], "application/pdf")
        self.assertIn("filename*=UTF-8''%C3%9Cberblick%20_Q3_.pdf", headers["content-disposition"])
        pages, title, text = self.pdf_text(content)
        self.assertEqual((pages, title), (26, 'Überblick "Q3"'))
        for want in "Seite 0", "Seite 24", "Größe 17 €", "Ж":
            self.assertIn(want, text)
        self.assertEqual(worker.terminate().ended()[0], 0)

    def test_only_who_sees_the_project_sees_the_export(self):
        app = self.started()
        self.start_worker()
        ann, bob = self.account(app), self.account(app, "bob@example.org")
        project = self.project(app, ann)
        self.assertEqual(app.post(f"/api/projects/{project}/export", token=bob).status, 404)
        self.assertEqual(app.post(f"/api/projects/{project}/export").status, 401)
        export = self.export(app, ann, project)
        done = self.finished(app, ann, export)
        self.assertEqual(app.get(f"/api/exports/{export}", token=bob).status, 404)
        self.assertEqual(app.get(f"/api/exports/{export}").status, 401)
        for wrong in "nobody", "a b", "..%2f", "x" * 200:
            answer = app.get(f"/api/exports/{urllib.parse.quote(wrong)}", token=ann, check=False)
            self.assertEqual(answer.status, 404, answer)
        # Somebody who is let in may see it.
        answer = app.post(f"/api/projects/{project}/collaborators",
                          {"email": "bob@example.org", "role": "viewer"}, token=ann)
        self.assertEqual(answer.status, 201, answer)
        seen = app.get(f"/api/exports/{export}", token=bob).json["data"]
        self.assertEqual(seen["file"]["name"], done["file"]["name"])

    def test_a_worker_that_is_killed_is_replaced(self):
        """No worker at first; then one that is killed while it holds the job."""
        settings = {"QUEUE_HOLD_MS": "1000"}
        app = self.started(WORKER_INLINE="false", **settings)
        token = self.account(app)
        slides = [{"title": f"{n}", "text": "wort " * 400} for n in range(300)]
        project = self.project(app, token, "Long", {"slides": slides})
        export = self.export(app, token, project)
        first = self.start_worker(**settings)
        self.finished(app, token, export, "processing")
        first.kill()
        self.assertNotEqual(
            app.get(f"/api/exports/{export}", token=token).json["data"]["status"], "completed")
        self.start_worker(**settings)
        done = self.finished(app, token, export, deadline=60)
        pages, _, _ = self.pdf_text(self.raw(app.port, "GET", done["file"]["url"])[2])
        self.assertGreaterEqual(pages, 301)

    def test_a_worker_that_is_stopped_gives_its_job_to_another_one(self):
        app = self.started(WORKER_INLINE="false")
        token = self.account(app)
        slides = [{"title": f"{n}", "text": "wort " * 400} for n in range(500)]
        project = self.project(app, token, "Long", {"slides": slides})
        export = self.export(app, token, project)
        # The default hold is 30 s: who had to wait for that would be too late.
        first = self.start_worker(DRAIN_TIMEOUT_MS="200", QUEUE_HOLD_MS="30000")
        self.finished(app, token, export, "processing")
        first.terminate()
        self.start_worker()
        self.assertEqual(first.ended()[0], 0)
        self.finished(app, token, export, deadline=20)

    def test_files_go_up_and_come_down(self):
        app = self.started()
        token = self.account(app)
        content = os.urandom(9 * MB + 5)
        file = self.upload(app, token, content, "Bild „ä\".png", "image/png")
        self.assertEqual((file["name"], file["size"], file["contentType"]),
                         ("Bild „ä\".png", len(content), "image/png"))
        own = {"Authorization": f"Bearer {token}"}
        path = f"/api/files/{file['id']}"
        status, headers, got = self.raw(app.port, "GET", path, headers=own)
        self.assertEqual((status, got == content), (200, True))
        self.assertEqual(headers["content-type"], "image/png")
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertTrue(headers["content-disposition"].startswith("attachment; filename="))
        tag = headers["etag"]

        rows = [("bytes=0-9", 206, content[:10]), ("bytes=-7", 206, content[-7:]),
                (f"bytes={8 * MB - 3}-{8 * MB + 3}", 206, content[8 * MB - 3:8 * MB + 4]),
                ("bytes=5-4", 200, content), (f"bytes={len(content)}-", 416, None)]
        for given, want, part in rows:
            status, headers, got = self.raw(app.port, "GET", path, headers=own | {"Range": given})
            self.assertEqual(status, want, given)
            self.assertTrue(part is None or got == part, given)
            if want != 200:
                self.assertRegex(headers["content-range"], rf"^bytes (\*|\d+-\d+)/{len(content)}$")
        # A range of another version would not fit.
        status, _, got = self.raw(app.port, "GET", path,
                                  headers=own | {"Range": "bytes=0-9", "If-Range": '"other"'})
        self.assertEqual((status, len(got)), (200, len(content)))
        self.assertEqual(self.raw(app.port, "GET", path,
                                  headers=own | {"If-None-Match": tag})[0], 304)
        status, headers, got = self.raw(app.port, "HEAD", path, headers=own)
        self.assertEqual((status, headers["content-length"], got), (200, str(len(content)), b""))

        other = {"Authorization": f"Bearer {self.account(app, 'bob@example.org')}"}
        for method in "GET", "DELETE":
            self.assertEqual(self.raw(app.port, method, path, headers=other)[0], 404)
        self.assertEqual(self.raw(app.port, "GET", path)[0], 401)
        self.assertEqual(self.raw(app.port, "GET", f"{path}/link", headers=other)[0], 404)

        link = app.get(f"{path}/link", token=token).json["data"]
        status, headers, got = self.raw(app.port, "GET", link["url"])
        self.assertEqual((status, got == content), (200, True))
        status, headers, _ = self.raw(app.port, "GET", f"{path}?redirect=true", headers=own)
        self.assertEqual(status, 302)
        self.assertEqual(self.raw(app.port, "GET", headers["location"])[2], content)
        self.assertNotIn(self.raw(app.port, "GET", link["url"][:-1] + "x")[0], (200, 206))

        self.assertEqual(self.raw(app.port, "DELETE", path, headers=own)[0], 200)
        self.assertEqual(self.raw(app.port, "GET", path, headers=own)[0], 404)
        self.assertEqual(self.raw(app.port, "DELETE", path, headers=own)[0], 404)

    def test_uploads_that_do_not_fit_or_break_off(self):
        app = self.started(FILES_MAX_MB="2")
        token = self.account(app)
        own = {"Authorization": f"Bearer {token}"}
        status, _, body = self.raw(app.port, "POST", "/api/files", bytes(2 * MB + 1), own)
        self.assertEqual((status, json.loads(body)["error"]["code"]), (413, "FILE_TOO_LARGE"))

        def chunks():
            for _ in range(40):
                yield bytes(MB // 8)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.assertEqual(self.raw(app.port, "POST", "/api/files", chunks(), own)[0], 413)
        self.upload(app, token, bytes(2 * MB))
        self.assertEqual(self.raw(app.port, "POST", "/api/files", b"x")[0], 401)
        status, _, _ = self.raw(app.port, "POST", "/api/files?name=%00", b"x", own)
        self.assertEqual(status, 400)

        client = self.client(("127.0.0.1", app.port))
        client.send(f"POST /api/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                    f"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n".encode())
        self.assertEqual(client.answer()[0], 400)
        client = self.client(("127.0.0.1", app.port))
        client.send(f"POST /api/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                    f"Content-Length: 100000\r\n\r\nhalf".encode())
        client.close()
        self.nothing_is_left_over()

    def test_memory_stays_flat(self):
        size = (20 if SANITIZED else 60) * MB
        app = self.started()
        token = self.account(app)
        self.upload(app, token, b"x")
        before = peak_kb(app.pid)
        content = os.urandom(MB) * (size // MB)
        file = self.upload(app, token, content)
        own = {"Authorization": f"Bearer {token}"}
        got = self.raw(app.port, "GET", f"/api/files/{file['id']}", headers=own)[2]
        self.assertEqual(got, content)
        grown = peak_kb(app.pid) - before
        print(f"{type(self).__name__}: {size // MB} MB up and down over HTTP, "
              f"{before} kB before, {grown} kB more")
        self.assertLess(grown, (200 if SANITIZED else 48) * 1024)

    def test_queues_are_for_administrators(self):
        app = self.started(ADMIN_EMAILS="Boss@example.org, other@example.org")
        boss, ann = self.account(app, "boss@example.org"), self.account(app)
        self.assertEqual(app.get("/api/queues", token=ann).status, 403)
        self.assertEqual(app.get("/api/queues").status, 401)
        project = self.project(app, ann)
        self.start_worker()
        self.finished(app, ann, self.export(app, ann, project))
        data = app.get("/api/queues", token=boss).json["data"]
        self.assertEqual(data["queues"], [{"name": "exports", "waiting": 0, "delayed": 0,
                                           "active": 0, "dead": 0, "done": 1}])

    def test_a_job_that_dies_can_be_tried_again(self):
        app = self.started(ADMIN_EMAILS="boss@example.org")
        boss, ann = self.account(app, "boss@example.org"), self.account(app)
        project = self.project(app, ann)
        broken = self.break_files()
        self.start_worker(**broken)
        export = self.export(app, ann, project)
        failed = self.finished(app, ann, export, "failed", deadline=40)
        self.assertIn("error", failed)
        self.assertNotIn("file", failed)
        dead = app.get("/api/queues/exports/dead?limit=5", token=boss).json["data"]["jobs"]
        self.assertEqual([(job["id"], job["failures"]) for job in dead], [(export, 3)])
        self.assertTrue(dead[0]["reason"])
        for path in ("/api/queues/none/dead", "/api/queues/exports/dead?limit=0"):
            self.assertIn(app.get(path, token=boss).status, (400, 404))
        again = f"/api/queues/exports/dead/{export}/retry"
        self.assertEqual(app.post(again, token=ann).status, 403)
        self.mend_files()
        self.assertEqual(app.post(again, token=boss).status, 200)
        self.finished(app, ann, export, deadline=40)
        self.assertEqual(app.post(again, token=boss).status, 404)
        self.assertEqual(
            app.request("DELETE", f"/api/queues/exports/dead/{export}", token=boss).status, 404)

    def test_metrics_count_jobs(self):
        app = self.started()
        self.start_worker()
        token = self.account(app)
        self.finished(app, token, self.export(app, token, self.project(app, token)))

        def counted():
            text = app.get("/metrics", check=False).text
            return re.search(r'^queue_jobs_total\{[^}]*result="done"[^}]*\} 1$', text, re.M)
        wait_for(counted, what="the figure of the worker")
        text = app.get("/metrics", check=False).text
        for name in "queue_depth", "queue_job_seconds_count", "queue_jobs_total":
            self.assertIn(name, text)


class Embedded(Whole, ExportsTestCase):
    """SQLite and a folder. The server would do the work itself: here it leaves that to workers."""

    settings = {"WORKER_INLINE": "false", "RATE_LIMIT": "off"}

    def nothing_is_left_over(self):
        wait_for(lambda: not list((self.dir / "data/files/.new").iterdir()),
                 what="the draft to go")

    def break_files(self):
        bad = self.dir / "broken"
        bad.mkdir()
        (bad / ".new").write_text("in the way")
        (bad / ".info").mkdir()
        self.bad = bad
        return {"FILES_DIR": str(bad)}

    def mend_files(self):
        # The worker's folder becomes that of the server.
        (self.bad / ".new").unlink()
        (self.bad / ".new").mkdir()

    def test_a_server_alone_works_itself(self):
        app = self.started(WORKER_INLINE="")
        token = self.account(app)
        self.finished(app, token, self.export(app, token, self.project(app, token)))
        self.assertEqual(app.terminate().ended()[0], 0)

    def test_a_worker_opens_no_port(self):
        worker = self.start_worker()
        sockets = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout
        self.assertNotIn(f"pid={worker.pid},", sockets)
        worker.process.send_signal(signal.SIGINT)
        self.assertEqual(worker.ended()[0], 0)


class Shared(Whole, ExportsTestCase):
    """Redis and S3 (a server of ours that checks signatures); accounts in SQLite."""

    def setUp(self):
        super().setUp()
        self.endings = []
        self.redis = servers_redis.Single()
        self.s3 = fake_s3.FakeS3()
        self.settings = self.s3.environment() | {
            "REDIS_URL": f"redis://127.0.0.1:{self.redis.port}", "RATE_LIMIT": "off",
            "JWT_SECRET": "j" * 40}

    def tearDown(self):
        for app in self.apps:
            app.kill()
        for end in self.endings:
            end()
        self.s3.close()
        self.redis.stop()
        super().tearDown()

    def nothing_is_left_over(self):
        self.assertEqual(self.s3.uploads, {})
        self.assertEqual(self.s3.refused, [])

    def break_files(self):
        self.s3.faults.append(lambda handler, *_: self.broken and
                              (handler.error(403, "AccessDenied"), True)[1])
        self.broken = True
        return {}

    def mend_files(self):
        self.broken = False

    def test_any_server_answers_for_the_work_of_another_host(self):
        """Two servers and a worker that have nothing in common but Redis, S3 and the accounts."""
        first, second = self.started(), self.started()
        self.start_worker()
        token = self.account(first)
        export = self.export(first, token, self.project(first, token))
        done = self.finished(second, token, export)
        status, _, content = self.raw(None, "GET", done["file"]["url"])
        self.assertEqual((status, content[:5]), (200, b"%PDF-"))
        self.assertIn(f":{self.s3.port}/", done["file"]["url"])

    def test_progress_is_heard_by_clients_of_any_server(self):
        """The official client at one server, the order at another one, the work in a third process."""
        first, second = self.started(), self.started()
        token = self.account(first)
        project = self.project(first, token, content={"slides": [{"title": f"{n}"}
                                                                 for n in range(30)]})
        try:
            driver = socketio.Driver(self)
        except socketio.Unavailable as why:
            self.skipTest(str(why))
        driver.call("connect", name="a", url=f"http://127.0.0.1:{second.port}",
                    options={"transports": ["websocket"], "auth": {"token": token}})
        joined = driver.call("ask", name="a", args=["join", project], timeout=10000)
        self.assertTrue(joined["success"], joined)
        self.start_worker()
        export = self.export(first, token, project)
        done = self.finished(first, token, export)
        wait_for(lambda: [e for [e] in driver.events("a", "export:progress")
                          if e["status"] == "completed"], what="the last event")
        events = [event for [event] in driver.events("a", "export:progress")]
        self.assertEqual({(e["exportId"], e["projectId"]) for e in events}, {(export, project)})
        steps = [event["progress"] for event in events]
        self.assertEqual((steps, steps[-1]), (sorted(steps), 100))
        self.assertGreaterEqual(len(steps), 4)  # 30 slides, ten at a time
        self.assertEqual(self.raw(None, "GET", done["file"]["url"])[2][:5], b"%PDF-")


if __name__ == "__main__":
    unittest.main()
