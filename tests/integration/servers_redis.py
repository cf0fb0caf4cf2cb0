"""Real Redis servers for tests: one, a master with a replica and three sentinels, a Cluster. All
listen on 127.0.0.1 alone, keep nothing, and end with the process that started them."""

import atexit
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile

import harness

SERVER = shutil.which("redis-server")
PASSWORD = "s3cret & more"


class RedisError(Exception):
    pass


class Client:
    """RESP2, as much as tests need; by TLS to a server that `ca` vouches for."""

    def __init__(self, port, password=None, timeout=5.0, ca=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        if ca:
            context = ssl.create_default_context(cafile=ca)
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.file = self.socket.makefile("rb")
        if password:
            self("AUTH", password)

    def __call__(self, *words):
        data = b"*%d\r\n" % len(words)
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            data += b"$%d\r\n%s\r\n" % (len(word), word)
        self.socket.sendall(data)
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        size = int(rest)
        if size < 0:
            return None
        if kind == b"$":
            return self.file.read(size + 2)[:-2].decode("utf-8", "surrogateescape")
        return [self.read() for _ in range(size)]

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask(port, *words, password=None, ca=None):
    """One command on a connection of its own."""
    with Client(port, password, ca=ca) as client:
        return client(*words)


def answers(port, *words, password=None, ca=None):
    """`ask`, or None while nobody answers there: a condition for `wait_for`."""
    try:
        return ask(port, *words, password=password, ca=ca)
    except (OSError, RedisError):
        return None


def self_signed(folder, name="127.0.0.1"):
    """(certificate, key) of a server that is its own authority."""
    cert, key = folder / "redis.crt", folder / "redis.key"
    names = f"IP:{name}" if name[0].isdigit() else f"DNS:{name}"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test",
                    "-addext", f"subjectAltName={names}", "-keyout", key, "-out", cert],
                   check=True, capture_output=True, timeout=30)
    return cert, key


class Servers:
    """Some processes in a folder of their own. Usable in a `with`. With `tls` they speak TLS alone,
    also among themselves, and `self.ca` vouches for them (under the address or host `name`)."""

    def __init__(self, tls=False, name="127.0.0.1"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="redis.", dir="/tmp"))
        self.processes = {}
        self.commands = {}
        atexit.register(self.stop)
        self.ca, self.key = self_signed(self.dir, name) if tls else (None, None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, name, command):
        self.commands[name] = [str(word) for word in command]
        log = open(self.dir / f"{name}.log", "ab")
        with log:
            # A group of its own: Ctrl-C at the tests is not for it. It ends with us in any case.
            self.processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.commands[name]], cwd=self.dir,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def listening(self, port):
        """The settings of a server that listens on `port`."""
        if not self.ca:
            return {"port": port}
        return {"port": 0, "tls-port": port, "tls-cert-file": self.ca, "tls-key-file": self.key,
                "tls-ca-cert-file": self.ca, "tls-auth-clients": "optional",
                "tls-replication": "yes", "tls-cluster": "yes"}

    def tls_environment(self):
        return {"REDIS_TLS": "true", "REDIS_TLS_CA": str(self.ca)} if self.ca else {}

    def redis(self, name, port, *options):
        folder = self.dir / name
        folder.mkdir(exist_ok=True)
        listening = [word for setting, value in self.listening(port).items()
                     for word in (f"--{setting}", value)]
        self.start(name, [SERVER, *listening, "--bind", "127.0.0.1", "--save", "",
                          "--appendonly", "no", "--dir", folder, "--daemonize", "no",
                          "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0",
                          *options])

    def again(self, name):
        """Starts what was killed, as it was started before."""
        self.start(name, self.commands[name])

    def signal(self, name, number):
        self.processes[name].send_signal(number)

    def kill(self, name):
        process = self.processes[name]
        process.kill()
        process.wait()

    def stop(self):
        atexit.unregister(self.stop)
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Single(Servers):
    """One server."""

    def __init__(self, password=None, tls=False, unix=False, name="127.0.0.1"):
        super().__init__(tls, name)
        self.port = harness.free_port()
        self.password = password
        options = ["--requirepass", password] if password else []
        if unix:
            self.path = self.dir / "redis.sock"
            options += ["--unixsocket", self.path]
        self.redis("redis", self.port, *options)
        harness.wait_for(self.is_up, what="redis-server")

    def is_up(self):
        if not self.ca:
            return answers(self.port, "PING", password=self.password)
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, *words):
        return ask(self.port, *words, password=self.password)

    def environment(self):
        scheme = "rediss" if self.ca else "redis"
        env = {"REDIS_URL": f"{scheme}://127.0.0.1:{self.port}"}
        if self.ca:
            env["REDIS_TLS_CA"] = str(self.ca)
        if self.password:
            env["REDIS_PASSWORD"] = self.password
        return env


class Sentinels(Servers):
    """A master, a replica and three sentinels that fail over within about two seconds."""

    def __init__(self, password=None, tls=False):
        super().__init__(tls)
        self.password = password
        self.ports = {name: harness.free_port() for name in ("one", "two")}
        self.sentinels = [harness.free_port() for _ in range(3)]
        secret = ["--requirepass", password, "--masterauth", password] if password else []
        master = self.ports["one"]
        self.redis("one", master, *secret)
        self.redis("two", self.ports["two"], "--replicaof", "127.0.0.1", master, *secret)
        # Sentinels look at a master every ten seconds: its replica must be there at the first time.
        harness.wait_for(self.is_replicated, what="the replica")
        for index, port in enumerate(self.sentinels):
            config = self.dir / f"sentinel{index}.conf"
            config.write_text("\n".join([
                *(f"{setting} {value}" for setting, value in self.listening(port).items()
                  if setting != "tls-cluster"),
                "bind 127.0.0.1", f"dir {self.dir}",
                f"sentinel monitor mymaster 127.0.0.1 {master} 2",
                "sentinel down-after-milliseconds mymaster 1500",
                "sentinel failover-timeout mymaster 3000",
                f'sentinel auth-pass mymaster "{password}"' if password else "", ""]))
            self.start(f"sentinel{index}", [SERVER, config, "--sentinel"])
        harness.wait_for(self.is_ready, what="master, replica and sentinels")

    def is_ready(self):
        """Every sentinel knows the replica and both others; else it would not fail over."""
        for port in self.sentinels:
            reply = answers(port, "SENTINEL", "master", "mymaster", ca=self.ca)
            if not reply:
                return False
            facts = dict(zip(reply[::2], reply[1::2]))
            if (facts["num-slaves"], facts["num-other-sentinels"]) != ("1", "2"):
                return False
        return True

    def is_replicated(self):
        info = answers(self.ports["two"], "INFO", "replication", password=self.password,
                       ca=self.ca)
        return info and "master_link_status:up" in info

    def master(self):
        """The name of who the first sentinel says is the master."""
        reply = answers(self.sentinels[0], "SENTINEL", "get-master-addr-by-name", "mymaster",
                        ca=self.ca)
        return next((name for name, port in self.ports.items() if reply == ["127.0.0.1", str(port)]),
                    None)

    def environment(self):
        env = {"REDIS_SENTINEL_MODE": "true", "REDIS_SENTINEL_MASTER": "mymaster",
               "REDIS_SENTINEL_HOSTS": ",".join(f"127.0.0.1:{port}" for port in self.sentinels)}
        env |= self.tls_environment()
        if self.password:
            env["REDIS_PASSWORD"] = self.password
        return env


class Cluster(Servers):
    """Three masters with a replica each."""

    def __init__(self, password=None, replicas=True, tls=False):
        super().__init__(tls)
        self.password = password
        secret = ["--requirepass", password, "--masterauth", password] if password else []
        self.ports = [self.start_node(secret) for _ in range(6 if replicas else 3)]
        command = ["redis-cli", "--no-auth-warning"] + (["-a", password] if password else [])
        command += ["--tls", "--cacert", self.ca] if tls else []
        command += ["--cluster", "create", *(f"127.0.0.1:{port}" for port in self.ports),
                    "--cluster-replicas", "1" if replicas else "0", "--cluster-yes"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)
        harness.wait_for(self.is_ready, what="the Cluster")

    def start_node(self, secret):
        """Returns its port. Another program may take one of its two ports first: then once more."""
        while True:
            port = harness.free_port(twin=10_000)  # where its bus listens
            self.redis(str(port), port, "--cluster-enabled", "yes", "--cluster-node-timeout", 1000,
                       "--cluster-config-file", "nodes.conf", "--repl-ping-replica-period", 1,
                       *secret)
            process = self.processes[str(port)]
            harness.wait_for(lambda: process.poll() is not None or
                             answers(port, "PING", password=self.password, ca=self.ca),
                             what="redis-server")
            if process.poll() is None:
                return port
            del self.processes[str(port)]

    def ask(self, port, *words):
        return ask(port, *words, password=self.password, ca=self.ca)

    def is_ready(self):
        for port in self.ports:
            info = answers(port, "CLUSTER", "INFO", password=self.password, ca=self.ca)
            if not info or "cluster_state:ok" not in info or "cluster_slots_ok:16384" not in info:
                return False
            if len(self.ports) > 3 and any(len(row) < 4 for row in
                                           self.ask(port, "CLUSTER", "SLOTS")):
                return False
        return True

    def is_served(self):
        """Whether all that are there agree that each slot has a master. Who has not heard yet that a
        replica was promoted answers CLUSTERDOWN, also for slots of its own."""
        infos = [info for port in self.ports
                 if (info := answers(port, "CLUSTER", "INFO", password=self.password, ca=self.ca))]
        return bool(infos) and all("cluster_state:ok" in info and "cluster_slots_ok:16384" in info
                                   for info in infos)

    def owner(self, slot, port=None):
        """The port of the slot's master, as `port` (or the first node that answers) sees it."""
        for one in [port] if port else self.ports:
            for first, last, master, *_ in answers(one, "CLUSTER", "SLOTS",
                                                   password=self.password, ca=self.ca) or []:
                if first <= slot <= last:
                    return master[1]
        return None

    def environment(self):
        env = {"REDIS_CLUSTER_MODE": "true",
               "REDIS_CLUSTER_NODES": ",".join(f"127.0.0.1:{port}" for port in self.ports[:3])}
        env |= self.tls_environment()
        if self.password:
            env["REDIS_PASSWORD"] = self.password
        return env
