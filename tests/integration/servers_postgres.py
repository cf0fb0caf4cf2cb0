"""Real PostgreSQL servers for tests: a primary, replicas of it, and what happens to them. Starts a
server in well under a second after the first one (initdb runs once per process, its outcome is
copied). All die with this process, also when it is killed.

    with PostgresServer() as primary:
        primary.sql("SELECT 1")           # the first column of all rows, as text
        with primary.replica() as replica: ...
        primary.stop(); primary.start()   # same port, same data
        primary.kill()                    # SIGKILL of all its processes
        primary.pause(); primary.resume() # SIGSTOP, SIGCONT of all its processes
"""

import atexit
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

from harness import free_port, is_alive, wait_for

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "fsync": "off",  # the machine survives our tests, and so does the page cache
    "shared_buffers": "'16MB'",
    "dynamic_shared_memory_type": "mmap",  # in the data folder: a killed one leaves nothing behind
    "max_connections": "100",
    "wal_level": "replica",
    "max_wal_senders": "8",
    "hot_standby": "on",
    "wal_receiver_status_interval": "'100ms'",
    "wal_retrieve_retry_interval": "'100ms'",
    "log_min_messages": "warning",
    "autovacuum": "off",
}
PASSWORD = "secret of the tests"


def as_postgres():
    """The words before a command that root runs as user postgres, whom the server insists on; with
    the death of its parent it dies."""
    words = ["setpriv", "--pdeathsig", "KILL"]
    if os.geteuid() == 0:
        words += ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    return words


def own(path):
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(path, user.pw_uid, user.pw_gid)


def run(*command, check=True):
    done = subprocess.run([*as_postgres(), *map(str, command)], capture_output=True, text=True,
                          cwd="/", timeout=120)
    if check and done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


class _Files:
    """One folder for all servers of this process."""

    root = None
    template = None

    @classmethod
    def folder(cls):
        if cls.root is None:
            # Not the working directory of a test: that may be closed to user postgres.
            cls.root = pathlib.Path(tempfile.mkdtemp(prefix="pg.", dir="/tmp"))
            os.chmod(cls.root, 0o755)
            atexit.register(shutil.rmtree, cls.root, ignore_errors=True)
        path = pathlib.Path(tempfile.mkdtemp(dir=cls.root))
        own(path)
        return path

    @classmethod
    def new_cluster(cls, data):
        if cls.template is None:
            template = cls.folder() / "template"
            secret = template.parent / "password"
            secret.write_text(PASSWORD)
            secret.chmod(0o644)
            run(BIN / "initdb", "--no-sync", "--auth=trust", "--auth-host=scram-sha-256",
                f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "--wal-segsize=1",
                "--username=postgres", "-D", template)
            cls.template = template
        run("cp", "-a", cls.template, data)


class PostgresServer:
    def __init__(self, data=None, port=None, **settings):
        self.port = port or free_port()
        self.data = data
        if data is None:
            self.data = _Files.folder() / "data"
            _Files.new_cluster(self.data)
        self.settings = SETTINGS | settings
        self.process = None
        atexit.register(self.kill)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        atexit.unregister(self.kill)
        shutil.rmtree(self.data.parent, ignore_errors=True)

    @property
    def url(self):
        secret = PASSWORD.replace(" ", "%20")
        return f"postgresql://postgres:{secret}@127.0.0.1:{self.port}/postgres"

    def start(self, wait=True):
        options = [f"-c{name}={value.strip(chr(39))}" for name, value in self.settings.items()]
        with open(self.data.parent / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*as_postgres(), str(BIN / "postgres"), "-D", str(self.data), "-p",
                 str(self.port), "-k", str(self.data.parent), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                start_new_session=True)
        if wait:
            try:
                wait_for(self.has_begun, 60, f"PostgreSQL on port {self.port}")
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.log()}") from None
        return self

    def has_begun(self):
        if self.process.poll() is not None:
            raise AssertionError(f"PostgreSQL on port {self.port} has ended")
        return self.answers()

    def answers(self):
        return run(BIN / "pg_isready", "-q", "-h", self.data.parent, "-p", self.port,
                   check=False).returncode == 0

    def log(self):
        return (self.data.parent / "log").read_text(errors="replace")[-4000:]

    def sql(self, query, database="postgres"):
        """Rows as text, columns parted by |."""
        done = run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.data.parent, "-p",
                   self.port, "-U", "postgres", "-d", database, "-c", query)
        return done.stdout.splitlines()

    def number(self, query):
        return int(self.sql(query)[0])

    def pause_replay(self):
        """A replica shows nothing new from now on. The call alone only asks for it: what comes in
        the next moment may still be replayed."""
        self.sql("SELECT pg_wal_replay_pause()")
        wait_for(lambda: self.sql("SELECT pg_get_wal_replay_pause_state()") == ["paused"],
                 what="the pause")

    def pids(self):
        """The postmaster and all of its children."""
        if self.process is None:
            return []
        pids = [self.process.pid]
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
        return pids

    def halted(self):
        """All pids, the postmaster's first. It stands still: no child is born behind our back."""
        if self.process is None or self.process.poll() is not None:
            return []
        self.process.send_signal(signal.SIGSTOP)
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat")
        wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] in "TtZ", 60,
                 "the postmaster to stand still")
        return self.pids()

    def signal_each(self, pids, number):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, how=signal.SIGINT):
        """SIGINT ends transactions and connections ("fast")."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def kill(self):
        if self.process is not None:
            pids = self.halted()
            self.signal_each(reversed(pids), signal.SIGKILL)
            self.process.wait(60)
            self.process = None
            # Who still writes to the disk holds the shared memory, and the next start refuses that.
            wait_for(lambda: not any(map(is_alive, pids)), 60, "the death of all its processes")

    def pause(self):
        self.signal_each(self.halted(), signal.SIGSTOP)

    def resume(self):
        self.signal_each(self.pids(), signal.SIGCONT)

    def restart(self):
        self.stop()
        return self.start()

    def replica(self, **settings):
        """A server that follows this one; not started yet."""
        data = _Files.folder() / "data"
        run(BIN / "pg_basebackup", "-h", self.data.parent, "-p", self.port, "-U", "postgres",
            "-D", data, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync")
        return PostgresServer(data, **(self.settings | settings))
