"""The official Socket.IO client and server (npm), led from Python; and what stands around several
instances: Redis, nginx, HAProxy.

The packages are installed once into ~/.cache/clusterctl-tests. `Unavailable` says why they cannot be
had.
"""

import base64
import contextlib
import fcntl
import json
import os
import pathlib
import queue
import shutil
import subprocess
import threading

from app_server import AppTestCase
from harness import ROOT, free_port, wait_for

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
PACKAGES = ("socket.io@4.8.4", "socket.io-client@4.8.4", "@socket.io/redis-adapter@8.3.0",
            "redis@4.7.1")
FOLDER = CACHE / "clusterctl-tests" / "socketio-1"  # another number when the packages change
TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"]}
EXAMPLES = ROOT / "examples" / "load-balancer"


class Unavailable(Exception):
    """This machine has no npm, or npm no packages; says why."""


def packages():
    """The node_modules folder, filled if it is not there. One installs, others wait."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        raise Unavailable("node and npm are not installed")
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with (FOLDER.parent / "socketio.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (FOLDER / "done").exists():
            return FOLDER / "node_modules"
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        (FOLDER / "package.json").write_text("{}")
        done = subprocess.run([npm, "install", "--no-audit", "--no-fund", *PACKAGES], cwd=FOLDER,
                              capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            shutil.rmtree(FOLDER, ignore_errors=True)
            raise Unavailable(f"npm cannot install {PACKAGES[0]}: {done.stderr[-200:]}")
        (FOLDER / "done").touch()
    return FOLDER / "node_modules"


class Refused(Exception):
    """What the driver said was an error."""


class Driver:
    """One Node process with official clients, or a server, in it. `case` ends it."""

    def __init__(self, case):
        self.process = subprocess.Popen(
            [shutil.which("node"), case.worker("socketio_driver.js")],
            env=case.environment({"NODE_PATH": str(packages())}), cwd=case.dir,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        case.endings.append(self.end)
        self.last = 0
        self.answers = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.answers.put(json.loads(line))

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def begin(self, do, **arguments):
        """Asks, and does not wait; `finish` does."""
        self.last += 1
        self.process.stdin.write(json.dumps({"id": self.last, "do": do} | arguments) + "\n")
        self.process.stdin.flush()
        return self.last

    def finish(self, number, timeout=30.0):
        kept = []
        while True:
            answer = self.answers.get(timeout=timeout)
            if answer["id"] == number:
                break
            kept.append(answer)
        for other in kept:
            self.answers.put(other)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["value"]

    def call(self, do, timeout=30.0, **arguments):
        return self.finish(self.begin(do, **arguments), timeout)

    # Shorter words for what is asked most.

    def events(self, name, event="message"):
        """The arguments of each such event that the client has heard."""
        return [entry[2:] for entry in self.call("log", name=name)
                if entry[0] == "event" and entry[1] == event]

    def said(self, name, word):
        """What was logged as connect, disconnect or connect_error."""
        return [entry[1] for entry in self.call("log", name=name) if entry[0] == word]

    def wait_events(self, name, count, event="message"):
        return wait_for(lambda: (lambda found: found if len(found) >= count else None)(
            self.events(name, event)), what=f"{count} times {event} at {name}")


def bytes_value(data):
    return {"$bytes": base64.b64encode(data).decode()}


def start_program(case, name, *command):
    """A server that the test needs; its output in a file. Ended with the test."""
    log = open(case.dir / f"{name}.log", "ab")
    process = subprocess.Popen([str(part) for part in command], cwd=case.dir,
                               env=case.environment(), stdin=subprocess.DEVNULL, stdout=log,
                               stderr=log)
    log.close()

    def end():
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    case.endings.append(end)
    return process


def start_redis(case, port=None):
    """(process, port) of a Redis that keeps nothing."""
    port = port or free_port()
    process = start_program(case, f"redis-{port}", "redis-server", "--port", port, "--bind",
                            "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", case.dir)
    wait_for(lambda: subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True,
                                    text=True).stdout == "PONG\n", what="redis")
    return process, port


def nginx_program():
    return shutil.which("nginx") or ("/usr/sbin/nginx" if os.path.exists("/usr/sbin/nginx")
                                     else None)


def haproxy_program():
    return shutil.which("haproxy") or ("/usr/sbin/haproxy" if os.path.exists("/usr/sbin/haproxy")
                                       else None)


def changed(text, ports, listen):
    """An example's text for these ports: 5001, 5002, … become ours."""
    for index, port in enumerate(ports):
        text = text.replace(f"127.0.0.1:{5001 + index}", f"127.0.0.1:{port}")
    return text.replace("*:8080", f"127.0.0.1:{listen}").replace(
        "listen 8080;", f"listen 127.0.0.1:{listen};")


def start_nginx(case, ports, change=lambda text: text):
    """nginx with examples/load-balancer/nginx.conf before `ports`; returns its own port."""
    listen = free_port()
    text = change(changed((EXAMPLES / "nginx.conf").read_text(), ports, listen))
    folder = case.dir / f"nginx-{listen}"
    folder.mkdir()
    (folder / "nginx.conf").write_text(text)
    extra = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    start_program(case, folder.name, nginx_program(), "-p", folder, "-e", folder / "error.log",
                  "-c", folder / "nginx.conf", "-g", extra)
    wait_until_open(listen)
    return listen


def start_haproxy(case, ports, change=lambda text: text):
    """HAProxy with examples/load-balancer/haproxy.cfg before `ports`; returns its own port."""
    listen = free_port()
    text = change(changed((EXAMPLES / "haproxy.cfg").read_text(), ports, listen))
    path = case.dir / f"haproxy-{listen}.cfg"
    path.write_text(text)
    start_program(case, path.stem, haproxy_program(), "-db", "-f", path)
    wait_until_open(listen)
    return listen


def wait_until_open(port):
    import socket

    def look():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
    wait_for(look, what=f"a listener on {port}")


class SocketIoTestCase(AppTestCase):
    def setUp(self):
        super().setUp()
        self.driver = None
        self.endings = []
        self.token = self.project = None

    def tearDown(self):
        for end in reversed(self.endings):
            end()
        super().tearDown()

    def serve(self, **env):
        self.app = self.started(**env)
        self.url = f"http://127.0.0.1:{self.port}"
        self.driver = Driver(self)
        self.account(self.app)
        return self.app

    def register(self, app, name):
        """The access token of a new user."""
        answer = app.post("/api/auth/register", {"email": f"{name}@example.com", "name": name,
                                                 "password": "correct horse battery"})
        self.assertEqual(answer.status, 201, answer)
        return answer.json["data"]["token"]

    def account(self, app):
        """A user of `app`, who from then on is who connects, with a project."""
        self.token = self.register(app, "owner")
        answer = app.post("/api/projects", {"title": "slides"}, token=self.token)
        self.assertEqual(answer.status, 201, answer)
        self.project = answer.json["data"]["id"]
        self.room = f"project:{self.project}"

    def connect(self, name, transports="websocket", url=None, **options):
        """An official client under `name`; "upgrade" begins by polling and ends as a WebSocket."""
        if transports in TRANSPORTS:
            options["transports"] = TRANSPORTS[transports]
        if self.token:
            options.setdefault("auth", {"token": self.token})
        self.driver.call("connect", name=name, url=url or self.url, options=options)
        if transports == "upgrade":
            self.wait_transport(name, "websocket")

    def wait_transport(self, name, transport):
        wait_for(lambda: self.driver.call("state", name=name)["transport"] == transport,
                 what=f"{name} on {transport}")

    def ask(self, name, *args, timeout=10000):
        return self.driver.call("ask", name=name, args=list(args), timeout=timeout)

    def wait_end(self, name):
        """Why the client was disconnected."""
        return wait_for(lambda: self.driver.said(name, "disconnect"), what=f"{name} to be ended")[0]
