"""The file store of the app in each of its forms, S3 against servers that check and that fail."""

import contextlib
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import subprocess
import unittest
import urllib.parse

import fake_s3
import node_packages
from harness import BIN, SANITIZED, ClusterTestCase, free_port, wait_for

PROBE = BIN / "files_probe"
UNAVAILABLE, REFUSED = 1, 5
MB = 1 << 20


class FilesTestCase(ClusterTestCase):
    def setUp(self):
        super().setUp()
        self.settings = {}
        self.begun = []

    def tearDown(self):
        for process in self.begun:
            process.kill()
            process.wait(20)
        super().tearDown()

    def environment(self, **more):
        inherited = {name: os.environ[name] for name in ("PATH", "TMPDIR", "ASAN_OPTIONS")
                     if name in os.environ}
        return inherited | {"DATA_DIR": str(self.dir), "FILES_LINK_SECRET": "s" * 32} \
            | self.settings | more

    def run_probe(self, *arguments, timeout=60, **more):
        return subprocess.run([PROBE, *map(str, arguments)], env=self.environment(**more),
                              text=True, capture_output=True, timeout=timeout, cwd=self.dir)

    def probe(self, *arguments, timeout=60, **more):
        done = self.run_probe(*arguments, timeout=timeout, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def fails(self, code, why, *arguments, **more):
        done = self.run_probe(*arguments, **more)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertRegex(done.stderr, why)

    def content(self, size, name="content"):
        """A file of `size` bytes that are like no others; its path."""
        path = self.dir / name
        path.write_bytes(random.Random(size).randbytes(size))
        return path

    def put(self, key, size, *more):
        path = self.content(size)
        info = self.probe("put", key, path, *more)
        self.assertEqual((info["key"], info["size"], info["owner"]), (key, size, "tester"))
        return path

    def assert_same(self, key, path, *part):
        got = self.dir / "got"
        self.probe("get", key, got, *part)
        want = path.read_bytes()
        if part:
            want = want[part[0]:part[0] + part[1]]
        self.assertEqual(hashlib.sha256(got.read_bytes()).hexdigest(),
                         hashlib.sha256(want).hexdigest())


class Behaviour:
    """What every form must do; mixed into a test case per form."""

    LARGE = 48

    def nothing_is_left_over(self):
        raise NotImplementedError

    def test_what_was_put_comes_back(self):
        for size in 0, 1, 300_000, 8 * MB - 1, 8 * MB, 20 * MB + 17:
            with self.subTest(size=size):
                path = self.put(f"file-{size}", size)
                self.assert_same(f"file-{size}", path)
        self.assert_same("file-20971537", path, 8 * MB - 5, 6 * MB)
        self.assert_same("file-20971537", path, 20 * MB + 16, 1)
        self.nothing_is_left_over()

    def test_what_tells_of_a_file_is_kept(self):
        name = "Bericht „Ä%20\" 100 %.pdf"
        self.put("a", 10, name, "application/pdf")
        info = self.probe("stat", "a")
        self.assertEqual((info["name"], info["type"], info["size"]), (name, "application/pdf", 10))
        self.assertTrue(info["tag"])
        self.assertGreater(info["changed_ms"], 0)
        self.assertIsNone(self.probe("stat", "b"))
        self.assertIsNone(self.probe("get", "b", self.dir / "got"))

    def test_a_file_is_replaced_and_removed(self):
        self.put("a", 100)
        first = self.probe("stat", "a")
        path = self.put("a", 200, "other")
        self.assert_same("a", path)
        second = self.probe("stat", "a")
        self.assertNotEqual(first["tag"], second["tag"])
        self.assertEqual(second["name"], "other")
        self.assertTrue(self.probe("remove", "a")["removed"])
        self.assertIsNone(self.probe("stat", "a"))
        self.nothing_is_left_over()

    def test_no_key_leads_elsewhere(self):
        path = self.content(10)
        for key in "../a", "a/b", ".info", "", "a\nb", "ä", "x" * 129, "-a":
            with self.subTest(key):
                self.fails(REFUSED, "is no key", "put", key, path)
                self.assertIsNone(self.probe("stat", key))
                self.assertFalse(self.probe("remove", key)["removed"])

    def test_a_source_that_fails_leaves_nothing(self):
        path = self.content(20 * MB)
        for at in 0, 100, 12 * MB:
            self.fails(UNAVAILABLE, "the source failed", "put", "a", path, "n", "t/t", at)
            self.assertIsNone(self.probe("stat", "a"))
        self.nothing_is_left_over()

    def test_memory_stays_flat(self):
        size = (40 if SANITIZED else self.LARGE) * MB
        path = self.content(size, "large")
        base = self.probe("stat", "nobody", FILES_LINK_SECRET="x" * 32)
        self.assertIsNone(base)
        small = self.probe("put", "small", self.content(1000))["peak_kb"]
        up = self.probe("put", "large", path, timeout=300)["peak_kb"]
        down = self.probe("get", "large", self.dir / "got", timeout=300)["peak_kb"]
        self.assertEqual((self.dir / "got").stat().st_size, size)
        print(f"{type(self).__name__}: {size // MB} MB, peak {small} kB with 1 kB, "
              f"{up} kB up, {down} kB down")
        # A part of 8 MB, or a piece of 2 MB for each thread, and what the allocator keeps of it.
        allowed = small + (200 if SANITIZED else 48) * 1024
        self.assertLess(up, allowed)
        self.assertLess(down, allowed)


class Local(Behaviour, FilesTestCase):
    LARGE = 128

    def nothing_is_left_over(self):
        self.assertEqual(list((self.dir / "files/.new").iterdir()), [])
        content = {path.name for path in (self.dir / "files").iterdir() if path.is_file()}
        self.assertEqual(content, {path.name for path in (self.dir / "files/.info").iterdir()})

    def test_nobody_else_can_read_it(self):
        self.put("a", 10)
        for path in "files", "files/.info", "files/.new":
            self.assertEqual((self.dir / path).stat().st_mode & 0o777, 0o700)
        self.assertEqual((self.dir / "files/a").stat().st_mode & 0o777, 0o600)

    def test_a_link_in_the_folder_is_no_file(self):
        self.put("a", 10)
        (self.dir / "files/b").symlink_to("/etc/passwd")
        shutil.copy(self.dir / "files/.info/a", self.dir / "files/.info/b")
        self.assertIsNone(self.probe("stat", "b"))

    def test_a_full_disk_is_told_and_leaves_nothing(self):
        small = self.dir / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", small],
                          capture_output=True).returncode != 0:
            self.skipTest("no right to mount a tmpfs")
        try:
            path = self.content(8 * MB)
            self.fails(UNAVAILABLE, "no space left", "put", "a", path, FILES_DIR=small)
            self.assertEqual(list((small / ".new").iterdir()), [])
            self.probe("put", "b", self.content(MB), FILES_DIR=small)
        finally:
            subprocess.run(["umount", small], check=True)

    def test_a_link_is_signed(self):
        link = self.probe("link", "a", "x & y.pdf", 60, PUBLIC_URL="https://example.org/")
        self.assertRegex(link, r"^https://example\.org/api/files/a\?expires=\d{10}"
                               r"&name=x%20%26%20y\.pdf&signature=[0-9a-f]{64}$")
        self.assertNotEqual(link, self.probe("link", "b", "x & y.pdf", 60,
                                             PUBLIC_URL="https://example.org/"))


class CheckingS3(Behaviour, FilesTestCase):
    """A server of our own that checks each signature."""

    def setUp(self):
        super().setUp()
        self.server = fake_s3.FakeS3()
        self.settings = self.server.environment()

    def tearDown(self):
        self.server.close()
        super().tearDown()

    def nothing_is_left_over(self):
        self.assertEqual(self.server.uploads, {})
        self.assertEqual(self.server.refused, [])

    def count(self, matching):
        return sum(bool(re.search(matching, f"{method} {path}"))
                   for method, path in self.server.seen)

    def test_a_wrong_secret_is_refused_once(self):
        self.fails(REFUSED, "403 SignatureDoesNotMatch, as the test wants & more",
                   "put", "a", self.content(10), AWS_SECRET_ACCESS_KEY="wrong")
        self.assertEqual(self.count("PUT"), 1)

    def test_a_session_token_and_a_prefix_are_sent(self):
        self.settings |= {"AWS_SESSION_TOKEN": "token/with+signs==", "AWS_S3_PREFIX": "up loads/ä/"}
        path = self.put("a", 10)
        self.assert_same("a", path)
        self.assertEqual(list(self.server.objects), ["/bucket/up%20loads/%C3%A4/a"])
        self.nothing_is_left_over()

    def test_passing_errors_are_tried_again(self):
        for name, happen in (("500", lambda handler: handler.error(500, "InternalError")),
                             ("503", lambda handler: handler.error(503, "SlowDown")),
                             ("break", fake_s3.break_off)):
            with self.subTest(name):
                self.server.fail_first(2, f"PUT /bucket/{name}", happen)
                self.server.fail_first(2, f"HEAD /bucket/{name}",
                                       lambda handler: handler.error(500, "InternalError"))
                self.server.fail_first(2, f"GET /bucket/{name}", happen)
                self.assert_same(name, self.put(name, 1000))

    def test_errors_that_stay_are_told(self):
        self.server.fail_first(100, "PUT /bucket/a", lambda handler: handler.error(503, "SlowDown"))
        self.fails(UNAVAILABLE, "503 SlowDown", "put", "a", self.content(10))
        self.assertEqual(self.count("PUT"), 4)

    def test_a_part_is_tried_again_and_an_upload_that_fails_is_aborted(self):
        self.server.fail_first(1, "PUT .*partNumber=2",
                               lambda handler: handler.error(500, "InternalError"))
        self.assert_same("a", self.put("a", 20 * MB))
        self.assertEqual(self.count("PUT .*partNumber=2"), 2)
        self.server.fail_first(1, "PUT /bucket/b.*partNumber=2",
                               lambda handler: handler.error(400, "BadDigest"))
        self.fails(REFUSED, "400 BadDigest", "put", "b", self.content(20 * MB))
        self.assertIsNone(self.probe("stat", "b"))
        self.nothing_is_left_over()

    def test_a_completion_whose_answer_is_lost_counts(self):
        def lose(handler):
            upload = urllib.parse.parse_qs(urllib.parse.urlsplit(handler.path).query)["uploadId"][0]
            done = self.server.uploads.pop(upload)
            self.server.objects[done["path"]] = (
                b"".join(done["parts"][n] for n in sorted(done["parts"])), done["headers"])
            fake_s3.break_off(handler)
        self.server.fail_first(1, "POST .*uploadId", lose)
        self.assert_same("a", self.put("a", 9 * MB))

    def test_an_error_inside_of_a_200_is_an_error(self):
        self.server.fail_first(9, "POST .*uploadId", lambda handler: handler.answer(
            200, b"<Error><Code>InternalError</Code></Error>"))
        self.fails(REFUSED, "InternalError", "put", "a", self.content(9 * MB))
        self.nothing_is_left_over()

    def test_a_server_that_says_nothing_is_left(self):
        self.server.fail_first(100, "HEAD", fake_s3.stall)
        self.fails(UNAVAILABLE, "s3: HEAD", "stat", "a", S3_TIMEOUT_MS="1000")

    def test_nobody_there(self):
        self.fails(UNAVAILABLE, "s3: HEAD", "stat", "a",
                   S3_ENDPOINT=f"http://127.0.0.1:{free_port()}")

    def test_a_file_that_changes_while_it_is_read(self):
        self.put("a", 9 * MB)
        other = (bytes(9 * MB), {})

        def replace(handler):
            self.server.objects["/bucket/a"] = other
            handler.error(500, "InternalError")
        self.server.fail_first(1, "GET", replace)
        done = self.run_probe("get", "a", self.dir / "got")
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("was replaced meanwhile", done.stderr)

    def test_a_link_works_for_anybody_until_it_expires(self):
        path = self.put("a", 1000)
        link = self.probe("link", "a", "Bericht ä.pdf", 60)
        status, headers, body = fetch(link)
        self.assertEqual((status, body), (200, path.read_bytes()))
        self.assertEqual(headers["content-disposition"],
                         "attachment; filename=\"Bericht __.pdf\"; "
                         "filename*=UTF-8''Bericht%20%C3%A4.pdf")
        for wrong in (link.replace("/a?", "/b?"), link.replace("Expires=60", "Expires=600"),
                      link[:-1] + ("0" if link[-1] != "0" else "1")):
            self.assertEqual(fetch(wrong)[0], 403)
        self.server.refused.clear()
        old = self.probe("link", "a", "x", 1)
        wait_for(lambda: fetch(old)[0] == 403, what="the link to expire")

    def test_faults_of_settings_are_told(self):
        rows = [({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY must be set"),
                ({"S3_ENDPOINT": "localhost:9000"}, "S3_ENDPOINT must be http:// or https://"),
                ({"AWS_S3_BUCKET": "A"}, "AWS_S3_BUCKET must be 3 to 63"),
                ({"FILES_LINK_SECRET": "short"}, "FILES_LINK_SECRET must have at least 32")]
        for more, why in rows:
            self.fails(100, why, "stat", "a", **more)


def fetch(url):
    """(status, headers with lower-case names, body)."""
    parts = urllib.parse.urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.netloc, timeout=10)) as connection:
        connection.request("GET", url[len(f"http://{parts.netloc}"):])
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


class RealS3(Behaviour, FilesTestCase):
    """s3rver, an S3 server that we did not write (it checks no signatures)."""

    def setUp(self):
        folder = node_packages.installed("s3rver@3.7.1")
        super().setUp()
        self.port = free_port()
        with open(self.dir / "s3rver.log", "wb") as log:
            self.begun.append(subprocess.Popen(
                ["node", folder / "node_modules/s3rver/bin/s3rver.js", "-d", self.dir / "s3",
                 "-a", "127.0.0.1", "-p", str(self.port), "--configure-bucket", "bucket"],
                stdout=log, stderr=log, cwd=self.dir))
        self.settings = {"AWS_S3_BUCKET": "bucket", "AWS_ACCESS_KEY_ID": "S3RVER",
                         "AWS_SECRET_ACCESS_KEY": "S3RVER",
                         "S3_ENDPOINT": f"http://127.0.0.1:{self.port}"}

        def there():
            with contextlib.suppress(OSError):
                return fetch(f"http://127.0.0.1:{self.port}/bucket")[0]
        wait_for(there, what="s3rver")

    def nothing_is_left_over(self):
        pass  # s3rver lists no uploads; the other server checks that

    def test_a_link_works(self):
        path = self.put("a", 1000)
        status, headers, body = fetch(self.probe("link", "a", "x.pdf", 60))
        self.assertEqual((status, body), (200, path.read_bytes()))
        self.assertIn('filename="x.pdf"', headers["content-disposition"])


class Signatures(FilesTestCase):
    """Ours against those of the official SDK."""

    SCRIPT = """
const {SignatureV4} = require("@smithy/signature-v4");
const {Sha256} = require("@aws-crypto/sha256-js");
const lines = require("fs").readFileSync(0, "utf8").trim().split("\\n");
(async () => {
  for (const line of lines) {
    const asked = JSON.parse(line);
    const signer = new SignatureV4({service: "s3", region: asked.region, sha256: Sha256,
      uriEscapePath: false, applyChecksum: true,
      credentials: {accessKeyId: asked.accessKey, secretAccessKey: asked.secretKey,
                    sessionToken: asked.sessionToken || undefined}});
    const request = () => ({method: asked.method, protocol: "https:", hostname: asked.host,
      path: asked.path, query: Object.fromEntries(asked.query),
      headers: {...Object.fromEntries(asked.headers), host: asked.host}, body: asked.body});
    const signingDate = new Date(asked.time * 1000);
    const signed = await signer.sign(request(), {signingDate});
    const bare = request();
    delete bare.body;
    const presigned = await signer.presign(
      {...bare, headers: {host: asked.host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}},
      {signingDate, expiresIn: asked.expires,
       unhoistableHeaders: new Set(), unsignableHeaders: new Set(["x-amz-content-sha256"])});
    console.log(JSON.stringify({headers: signed.headers, query: presigned.query}));
  }
})();
"""

    def requests(self, count):
        chance = random.Random(7)
        letters = "aZ09-._~ /+&=?%:äß€😀\"'<>()*!,;@$"

        def word(most=12):
            return "".join(chance.choice(letters) for _ in range(chance.randint(0, most)))
        for _ in range(count):
            query = {word() or "q": word() for _ in range(chance.randint(0, 4))}
            headers = {"content-type": "text/plain; a=b",
                       "x-amz-meta-name": urllib.parse.quote(word(), safe=""),
                       "x-amz-meta-blanks": "  two   blanks  "}
            path = "/" + "/".join(urllib.parse.quote(word(), safe="-._~") or "x"
                                  for _ in range(chance.randint(1, 3)))
            yield {"method": chance.choice(["GET", "PUT", "HEAD", "DELETE", "POST"]),
                   "host": chance.choice(["bucket.s3.eu-west-1.amazonaws.com", "127.0.0.1:9000"]),
                   "path": path, "query": list(query.items()), "body": word(200),
                   "headers": chance.sample(list(headers.items()), chance.randint(0, 3)),
                   "region": chance.choice(["eu-west-1", "us-east-1"]),
                   "accessKey": "AKIDEXAMPLE", "secretKey": "secret/" + word(),
                   "sessionToken": chance.choice(["", "token/+="]),
                   "time": chance.randint(10**9, 2 * 10**9), "expires": chance.randint(1, 604800)}

    def test_ours_are_those_of_the_official_signer(self):
        folder = node_packages.installed("@smithy/signature-v4@5.3.3",
                                         "@aws-crypto/sha256-js@5.2.0")
        asked = list(self.requests(300))
        lines = "".join(json.dumps(one) + "\n" for one in asked)
        theirs = subprocess.run(["node", "-e", self.SCRIPT], input=lines, text=True, cwd=folder,
                                capture_output=True, timeout=60, check=True).stdout.splitlines()
        ours = self.sign(lines)
        for one in asked:  # theirs moves the header that says so into the query
            one["query"].append(["x-amz-content-sha256", "UNSIGNED-PAYLOAD"])
            one["headers"] = []
        presigned = self.sign("".join(json.dumps(one) + "\n" for one in asked))
        self.assertEqual((len(ours), len(presigned), len(theirs)), (300, 300, 300))
        for one, our, link, their in zip(asked, ours, presigned, map(json.loads, theirs)):
            for name, value in our["headers"].items():
                self.assertEqual(value, their["headers"].get(name), (name, one))
            query = dict(urllib.parse.parse_qsl(link["query"], keep_blank_values=True))
            self.assertEqual(query, their["query"], one)

    def sign(self, lines):
        done = subprocess.run([PROBE, "sign"], input=lines, text=True, capture_output=True,
                              timeout=60, check=True, env=self.environment())
        return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    unittest.main()
