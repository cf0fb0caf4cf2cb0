#!/usr/bin/env python3
"""Socket.IO in a real browser: a page of another origin with the official client of the npm package,
in a headless Chromium. Skipped where there is none."""

import http.server
import json
import queue
import shutil
import threading
import unittest

import socketio
from socketio import Driver, SocketIoTestCase, start_program

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
# Each transport: connect, acknowledge, binary both ways, a room; then what came is reported.
PAGE = """<!doctype html><script src="/socket.io.js"></script><script>
const report = (word) => fetch("/report", { method: "POST", body: JSON.stringify(word) });
const once = (socket, event) => new Promise((done) => socket.once(event, done));
async function run(name, transports) {
  const socket = io("URL", { transports, auth: { token: "TOKEN" }, forceNew: true, reconnection: false });
  await new Promise((done, failed) => {
    socket.once("connect", done);
    socket.once("connect_error", failed);
  });
  const engine = socket.io.engine; // a quick one has upgraded before the namespace is entered
  if (transports.length > 1 && engine.transport.name !== "websocket") await once(engine, "upgrade");
  const joined = await socket.timeout(9000).emitWithAck("join", "PROJECT");
  const heard = (which) => new Promise((done) =>
    socket.on("message", (value) => which(value) && done(value)));
  const back = heard((value) => value.name === name);
  const other = heard((value) => value.from === "outside");
  const bytes = new Uint8Array([0, 1, 255]);
  await socket.timeout(9000).emitWithAck("message", { room: "PROJECT", name, bytes });
  const got = Array.from(new Uint8Array((await back).bytes));
  const outside = await other;
  const transport = socket.io.engine.transport.name;
  socket.disconnect();
  return { name, transport, joined, got, outside };
}
(async () => {
  try {
    await report("loaded");
    for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]])
      await report(await run(transports.join("+"), transports));
    await report("done");
  } catch (error) {
    await report({ failed: String(error) });
  }
})();
</script>"""


def setUpModule():
    if not BROWSER:
        raise unittest.SkipTest("chromium is not installed; scripts/deps --test does it")
    try:
        socketio.packages()
    except socketio.Unavailable as reason:
        raise unittest.SkipTest(str(reason)) from None


class Site(http.server.ThreadingHTTPServer):
    """Serves the page and the client, and takes the page's reports."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.reports = queue.Queue()
        self.page = ""
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        script = socketio.packages() / "socket.io-client" / "dist" / "socket.io.min.js"
        files = {"/": ("text/html", self.server.page.encode()),
                 "/socket.io.js": ("text/javascript", script.read_bytes())}
        if self.path not in files:
            self.send_error(404)
            return
        kind, body = files[self.path]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        # Before the answer: with it the page goes on, and its next report has a thread of its own.
        self.server.reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Browser(SocketIoTestCase):
    def setUp(self):
        super().setUp()
        self.site = Site()
        thread = threading.Thread(target=self.site.serve_forever)
        thread.start()

        def end():
            self.site.shutdown()
            thread.join()
            self.site.server_close()
        self.endings.append(end)

    def browse(self):
        start_program(self, "chromium", BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu",
                      "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                      f"--user-data-dir={self.dir / 'profile'}", "--remote-debugging-port=0",
                      self.site.url + "/")

    def page(self):
        return PAGE.replace("URL", self.url).replace("TOKEN", self.token).replace(
            "PROJECT", self.project)

    def report(self):
        return self.site.reports.get(timeout=30)

    def test_a_page_of_another_origin(self):
        self.serve(SOCKETIO_CORS_ORIGIN=self.site.url)
        self.site.page = self.page()
        self.browse()
        self.assertEqual(self.report(), "loaded")
        stop = threading.Event()
        talker = Driver(self)
        talker.call("connect", name="t", url=self.url, options={"transports": ["websocket"],
                                                                "auth": {"token": self.token}})
        talker.call("ask", name="t", args=["join", self.project])

        def talk():  # an event from elsewhere, until each page has had one
            while not stop.wait(0.1):
                talker.call("ask", name="t", args=["message", {"room": self.project, "from": "outside"}])
        thread = threading.Thread(target=talk)
        thread.start()
        try:
            for transports, transport in (("polling", "polling"), ("websocket", "websocket"),
                                          ("polling+websocket", "websocket")):
                got = self.report()
                self.assertEqual(got.get("name"), transports, got)
                self.assertEqual(got["transport"], transport)
                self.assertEqual(got["joined"], {"success": True, "room": self.room})
                self.assertEqual(got["got"], [0, 1, 255])
                self.assertEqual(got["outside"]["from"], "outside")
            self.assertEqual(self.report(), "done")
        finally:
            stop.set()
            thread.join()

    def test_a_page_of_an_origin_that_is_not_allowed(self):
        self.serve(SOCKETIO_CORS_ORIGIN="https://other.example")
        self.site.page = self.page()
        self.browse()
        self.assertEqual(self.report(), "loaded")
        self.assertIn("xhr poll error", self.report()["failed"])


if __name__ == "__main__":
    unittest.main()
