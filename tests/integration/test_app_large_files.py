#!/usr/bin/env python3
"""A large file up and down through HTTP and a real S3 server: the bytes are the same, and the memory
of the process does not grow with them. LARGE_MB says how large, for runs by hand."""

import contextlib
import hashlib
import http.client
import json
import os
import random
import subprocess
import unittest
import urllib.request

import node_packages
from app_people import AccountsTestCase
from harness import SANITIZED, free_port, wait_for

MB = 1 << 20
SIZE_MB = int(os.environ.get("LARGE_MB", "40" if SANITIZED else "200"))
GROWTH_MB = 200 if SANITIZED else 64  # a sanitizer keeps what was freed


def peak_mb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


class LargeFiles(AccountsTestCase):
    def setUp(self):
        super().setUp()
        folder = node_packages.installed("s3rver@3.7.1")
        port = free_port()
        with open(self.dir / "s3rver.log", "wb") as log:
            self.storage = subprocess.Popen(
                ["node", folder / "node_modules/s3rver/bin/s3rver.js", "-d", self.dir / "s3",
                 "-a", "127.0.0.1", "-p", str(port), "--configure-bucket", "bucket"],
                stdout=log, stderr=log, cwd=self.dir)

        def there():
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/bucket", timeout=5).status
        wait_for(there, what="s3rver")
        [self.app] = self.instances(1, AWS_S3_BUCKET="bucket", AWS_ACCESS_KEY_ID="S3RVER",
                                    AWS_SECRET_ACCESS_KEY="S3RVER",
                                    S3_ENDPOINT=f"http://127.0.0.1:{port}",
                                    FILES_MAX_MB=str(SIZE_MB))
        token = self.person(self.app, "ada@example.com")
        self.headers = {"Authorization": f"Bearer {token}"}

    def tearDown(self):
        self.storage.kill()
        self.storage.wait(20)
        super().tearDown()

    def connection(self):
        made = http.client.HTTPConnection("127.0.0.1", self.app.port, timeout=60)
        self.addCleanup(made.close)
        return made

    def up(self, megabytes):
        """(the new file, the digest of what was sent)"""
        digest = hashlib.sha256()
        block = random.Random(7).randbytes(MB)

        def content():
            for at in range(megabytes):
                piece = block[at:] + block[:at]
                digest.update(piece)
                yield piece
        connection = self.connection()
        connection.request("POST", "/api/files?name=large", content(),
                           self.headers | {"Content-Type": "application/octet-stream",
                                           "Content-Length": str(megabytes * MB)})
        answer = connection.getresponse()
        text = answer.read()
        self.assertEqual(answer.status, 201, text)
        return json.loads(text)["data"], digest.hexdigest()

    def down(self, file_id):
        digest = hashlib.sha256()
        connection = self.connection()
        connection.request("GET", f"/api/files/{file_id}", headers=self.headers)
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        while piece := answer.read(MB):
            digest.update(piece)
        return digest.hexdigest()

    def test_memory_stays_flat(self):
        small, sent = self.up(1)
        self.assertEqual(self.down(small["id"]), sent)
        before = peak_mb(self.app.pid)
        large, sent = self.up(SIZE_MB)
        up = peak_mb(self.app.pid)
        self.assertEqual(self.down(large["id"]), sent)
        down = peak_mb(self.app.pid)
        print(f"{SIZE_MB} MB: peak {before:.1f} MB with a small file, {up:.1f} MB up, "
              f"{down:.1f} MB down")
        self.assertLess(down - before, GROWTH_MB)


if __name__ == "__main__":
    unittest.main()
