"""clusterapp beside the same answers by Node's http with express, turn by turn, and what a request
costs when there are more instances. The load comes from wrk; express and its friends from npm, into
the scratch folder; Redis is a real one.
"""

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import time

from peers import Missing, packages
from processes import GIVEN_UP_AFTER, cpu_seconds, end_all
from report import Row, Samples
from setting import HERE, free_port

PACKAGES = ("express@5", "jsonwebtoken@9", "ioredis@5")
SECRET = "a secret that only the benchmark knows"
PATHS = {"GET /": "/", "GET /api/users/me": "/api/users/me"}
COUNTS = (1, 2, 4)


def app(setting):
    """clusterapp beside Node's http with express, one instance each; CPU per request with more"""
    missing = [name for name in ("wrk", "redis-server", "redis-cli") if not shutil.which(name)]
    if missing:
        setting.leave_out(f"clusterapp: there is no {missing[0]} (apt-get install wrk redis-server)")
        return
    folder = express_folder(setting)
    with redis_server(setting) as redis:
        peers = {"ours": lambda: ours(setting, redis)}
        if folder:
            peers["express"] = lambda: express(setting, folder, redis)
        yield from beside_express(setting, redis, peers)
        yield from with_more_instances(setting, redis)


def beside_express(setting, redis, peers):
    rates = {(name, path): Samples() for name in peers for path in PATHS}
    costs = {key: Samples() for key in rates}
    token = None
    for _ in range(setting.pick(4, 2)):
        for name, serve in peers.items():
            with serve() as (port, pids):
                if name == "ours":
                    token = token_for(redis, port)
                for path, target in PATHS.items():
                    rate, cost = measure(setting, port, target, token, pids)
                    rates[name, path].add(rate)
                    costs[name, path].add(cost)
    for path in PATHS:
        if "express" in peers:
            yield Row(f"`{path}`", "requests/s", rates["ours", path], rates["express", path],
                      "express", 3, "times")
            yield Row(f"`{path}`, CPU per request", "µs", costs["ours", path],
                      costs["express", path], "express", 1 / 3)
        else:
            yield Row(f"`{path}`", "requests/s", rates["ours", path])
            yield Row(f"`{path}`, CPU per request", "µs", costs["ours", path])


def with_more_instances(setting, redis):
    costs = {count: Samples() for count in COUNTS}
    for _ in range(setting.pick(4, 2)):
        for count in COUNTS:
            with ours(setting, redis, count) as (port, pids):
                token = token_for(redis, port)
                costs[count].add(measure(setting, port, "/api/users/me", token, pids)[1])
    for count in COUNTS[1:]:
        yield Row(f"`GET /api/users/me`, CPU per request with {count} instances", "µs",
                  costs[count], costs[1], "one instance", 1.15)


def measure(setting, port, target, token, pids):
    """(requests per second, µs of CPU per request), all of them answered with 200."""
    seconds = 3
    before = cpu_seconds(pids)
    out = subprocess.run(["wrk", "-t1", "-c32", f"-d{seconds}s", "-s", HERE / "wrk_report.lua",
                          "-H", f"Authorization: Bearer {token}",
                          f"http://127.0.0.1:{port}{target}"],
                         capture_output=True, text=True, check=True).stdout
    used = cpu_seconds(pids) - before
    result = json.loads(out.splitlines()[-1])
    if result["errors"] or not result["requests"]:
        raise RuntimeError(f"{target}: {result}")
    return result["requests"] / result["seconds"], used / result["requests"] * 1e6


@contextlib.contextmanager
def running(processes):
    try:
        yield
    finally:
        end_all([process.pid for process in processes])
        for process in processes:
            process.wait()


@contextlib.contextmanager
def redis_server(setting):
    port = free_port()
    server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1",
                               "--save", "", "--dir", setting.dir], stdout=subprocess.DEVNULL,
                              start_new_session=True)
    with running([server]):
        wait_until(lambda: subprocess.run(["redis-cli", "-p", str(port), "PING"],
                                          capture_output=True).stdout == b"PONG\n", "redis-server")
        yield port


@contextlib.contextmanager
def ours(setting, redis, instances=1):
    """All on one listening socket, as under a supervisor. What express has not is left out: the
    limit of requests and the access log."""
    environment = setting.environment | {
        "REDIS_URL": f"redis://127.0.0.1:{redis}", "JWT_SECRET": SECRET, "RATE_LIMIT": "false",
        "ACCESS_LOG": "false", "DATA_DIR": str(setting.fresh_folder("data")), "LISTEN_FDS": "1"}
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        port = listener.getsockname()[1]
        command = ["sh", "-c", f"LISTEN_PID=$$ exec {setting.helper('clusterapp')} "
                   f"3<&{listener.fileno()}"]
        servers = [subprocess.Popen(command, env=environment, cwd=setting.dir,
                                    pass_fds=[listener.fileno()], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL, start_new_session=True)
                   for _ in range(instances)]
        with running(servers):
            wait_until(lambda: answers(port), "clusterapp")
            yield port, [server.pid for server in servers]


@contextlib.contextmanager
def express(setting, folder, redis):
    port = free_port()
    environment = setting.environment | {
        "PORT": str(port), "REDIS_URL": f"redis://127.0.0.1:{redis}", "JWT_SECRET": SECRET,
        "NODE_ENV": "production", "NODE_PATH": str(folder)}
    server = subprocess.Popen([setting.node(), HERE / "node" / "express.js"], env=environment,
                              start_new_session=True)
    with running([server]):
        wait_until(lambda: answers(port), "express")
        yield port, [server.pid]


def express_folder(setting):
    """The node_modules with express; None, which is said, where it cannot be had."""
    if not setting.node() or setting.only == []:
        return None
    try:
        return packages.npm(setting.cache, *PACKAGES)
    except Missing as reason:
        setting.leave_out(f"express: {reason}")
        return None


def token_for(redis, port):
    """An access token of a user whom clusterapp has just registered; express knows him from Redis,
    and the token from the secret that both have."""
    body = json.dumps({"email": f"ada{time.monotonic_ns()}@example.com", "name": "Ada",
                       "password": "correct horse"})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GIVEN_UP_AFTER)
    with contextlib.closing(connection):
        connection.request("POST", "/api/auth/register", body,
                           {"Content-Type": "application/json"})
        data = json.loads(connection.getresponse().read())["data"]
    user = data["user"]
    subprocess.run(["redis-cli", "-p", str(redis), "SET", f"bench-user:{user['id']}",
                    json.dumps(user)], check=True, stdout=subprocess.DEVNULL)
    return data["token"]


def answers(port):
    with contextlib.suppress(OSError, http.client.HTTPException), \
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
        client.request("GET", "/")
        return client.getresponse().status == 200


def wait_until(condition, what):
    end = time.monotonic() + GIVEN_UP_AFTER
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"{what} does not answer")
        time.sleep(0.02)
