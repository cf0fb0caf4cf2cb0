"""An S3 server for tests that is stricter than real ones in one respect and can be made to fail: it
checks each signature (Signature Version 4, written down here once more, from the specification),
keeps objects in memory, and answers, stalls or breaks off as the test wants.

Understands path style: PUT, GET (with Range), HEAD, DELETE of /BUCKET/KEY, and multipart uploads.
"""

import datetime
import hashlib
import hmac
import http.server
import re
import threading
import time
import urllib.parse

ACCESS_KEY, SECRET_KEY, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-test-1"


def _quote(text):
    return urllib.parse.quote(text, safe="-._~")


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def expected_signature(method, path, query, headers, names, payload, stamp, scope):
    """Of a request whose parts are as they came; `query` without the signature."""
    canonical_query = "&".join(sorted(f"{_quote(k)}={_quote(v)}" for k, v in query))
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in names]
    canonical = "\n".join([method, path, canonical_query, *lines, "", ";".join(names), payload])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                         hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET_KEY).encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


class FakeS3:
    def __init__(self):
        self.objects = {}   # path → (bytes, headers)
        self.uploads = {}   # id → {"path", "headers", "parts": {number: bytes}}
        self.seen = []      # (method, path with query)
        self.refused = []   # why a signature was not accepted
        self.faults = []    # functions (handler, method, path) → True when it has answered
        self.lock = threading.Lock()
        outer = self

        class Handler(_Handler):
            server_of = outer

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_port
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def environment(self, **more):
        return {"AWS_S3_BUCKET": "bucket", "AWS_S3_REGION": REGION,
                "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "S3_ENDPOINT": f"http://127.0.0.1:{self.port}"} | more

    def fail_first(self, times, matching, happen):
        """The first `times` requests whose "METHOD /path?query" matches meet `happen(handler)`."""
        left = [times]

        def fault(handler, method, path):
            if left[0] > 0 and re.search(matching, f"{method} {path}"):
                left[0] -= 1
                happen(handler)
                return True
            return False
        self.faults.append(fault)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of = None

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name == "Content-Length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code):
        self.answer(status, f"<?xml version=\"1.0\"?><Error><Code>{code}</Code>"
                            f"<Message>as the test wants &amp; more</Message></Error>".encode())

    def serve(self):
        server = self.server_of
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qsl(url.query, keep_blank_values=True)
        with server.lock:
            server.seen.append((self.command, self.path))
        for fault in server.faults:
            if fault(self, self.command, self.path):
                return
        why = self.check_signature(url.path, query, body)
        if why:
            server.refused.append(why)
            return self.error(403, "SignatureDoesNotMatch")
        with server.lock:
            getattr(self, "do_it_" + self.command)(url.path, dict(query), body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve

    def check_signature(self, path, query, body):
        headers = {name.lower(): value for name, value in self.headers.items()}
        by_query = dict(query)
        if "X-Amz-Signature" in by_query:
            given = by_query["X-Amz-Signature"]
            scope = by_query["X-Amz-Credential"].split("/", 1)
            names = by_query["X-Amz-SignedHeaders"].split(";")
            stamp, payload = by_query["X-Amz-Date"], "UNSIGNED-PAYLOAD"
            query = [pair for pair in query if pair[0] != "X-Amz-Signature"]
            begin = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
            age = datetime.datetime.utcnow() - begin
            if age.total_seconds() > int(by_query["X-Amz-Expires"]):
                return "the link has expired"
        else:
            match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), "
                                 r"Signature=([0-9a-f]{64})", headers.get("authorization", ""))
            if not match:
                return "no signature"
            scope, names, given = match[1].split("/", 1), match[2].split(";"), match[3]
            stamp, payload = headers["x-amz-date"], headers["x-amz-content-sha256"]
            if payload != hashlib.sha256(body).hexdigest():
                return "the payload has another hash"
            unsigned = [name for name in headers
                        if name.startswith("x-amz-") and name not in names]
            if unsigned:
                return f"{unsigned} are not signed"
        if scope[0] != ACCESS_KEY or scope[1] != f"{stamp[:8]}/{REGION}/s3/aws4_request":
            return f"scope {scope}"
        want = expected_signature(self.command, path, query, headers, names, payload, stamp,
                                  scope[1])
        return "" if given == want else f"signature {given}, expected {want}"

    def kept_headers(self):
        return {name.lower(): value for name, value in self.headers.items()
                if name.lower().startswith("x-amz-meta-") or name.lower() == "content-type"}

    def do_it_PUT(self, path, query, body):
        tag = '"' + hashlib.md5(body).hexdigest() + '"'
        if "uploadId" in query:
            upload = self.server_of.uploads.get(query["uploadId"])
            if upload is None:
                return self.error(404, "NoSuchUpload")
            upload["parts"][int(query["partNumber"])] = body
        else:
            self.server_of.objects[path] = (body, self.kept_headers())
        self.answer(200, headers=[("ETag", tag)])

    def do_it_POST(self, path, query, body):
        uploads = self.server_of.uploads
        if "uploads" in query:
            name = f"upload&{len(self.server_of.seen)}"
            uploads[name] = {"path": path, "headers": self.kept_headers(), "parts": {}}
            return self.answer(200, f"<R><UploadId>{name.replace('&', '&amp;')}</UploadId></R>"
                               .encode())
        upload = uploads.get(query["uploadId"])
        if upload is None:
            return self.error(404, "NoSuchUpload")
        numbers = [int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        tags = [tag.decode().replace("&quot;", '"')
                for tag in re.findall(rb"<ETag>(.*?)</ETag>", body)]
        parts = [upload["parts"].get(number, b"") for number in numbers]
        if tags != ['"' + hashlib.md5(part).hexdigest() + '"' for part in parts]:
            return self.error(400, "InvalidPart")
        if any(len(part) < 5 << 20 for part in parts[:-1]):
            return self.error(400, "EntityTooSmall")
        del uploads[query["uploadId"]]
        self.server_of.objects[path] = (b"".join(parts), upload["headers"])
        self.answer(200, b"<CompleteMultipartUploadResult/>")

    def do_it_HEAD(self, path, query, body):
        self.do_it_GET(path, query, body)

    def do_it_GET(self, path, query, _body):
        if path not in self.server_of.objects:
            return self.error(404, "NoSuchKey")
        content, kept = self.server_of.objects[path]
        headers = [*kept.items(), ("ETag", '"' + hashlib.md5(content).hexdigest() + '"'),
                   ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")]
        if "response-content-disposition" in query:
            headers.append(("Content-Disposition", query["response-content-disposition"]))
        status = 200
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if match:
            status, content = 206, content[int(match[1]):int(match[2]) + 1]
        self.answer(status, content, [*headers, ("Content-Length", str(len(content)))])

    def do_it_DELETE(self, path, query, _body):
        if "uploadId" in query:
            gone = self.server_of.uploads.pop(query["uploadId"], None)
            return self.answer(204) if gone else self.error(404, "NoSuchUpload")
        self.server_of.objects.pop(path, None)
        self.answer(204)


def stall(handler, seconds=30):
    """Says nothing for a while, until the client has gone."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and handler.connection.fileno() >= 0:
        time.sleep(0.05)
    handler.close_connection = True


def break_off(handler):
    """Ends the connection in the middle of an answer."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhalf")
    handler.wfile.flush()
    handler.connection.close()
    handler.close_connection = True
