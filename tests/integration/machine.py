"""A machine with a real systemd: a container that systemd-nspawn boots from a small Debian.

Its root file system is built once (debootstrap, about 40 s) and kept in ~/.cache/clusterctl-tests;
what a test writes lies in memory above it and survives a reboot, but not the test. The network is
the host's, so that a test can send requests. Programs of this build are in /opt/clusterctl.

`Machine.boot()` raises `Unavailable` with the reason where this cannot be had.
"""

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import signal
import subprocess

from harness import BIN, ROOT, SANITIZED, wait_for

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
IMAGE = CACHE / "clusterctl-tests" / "debian-12-2"  # another number when the packages change
PACKAGES = ("systemd,systemd-sysv,dbus,libpam-systemd,procps,"
            "libpq5,libcurl4,libhpdf-2.3.0")  # what clusterapp is linked with
RELEASE = "bookworm"
BOOT_LIMIT = 60.0
PROGRAMS = "/opt/clusterctl"
# Looking for leaks takes ptrace, which a sandbox forbids.
SANITIZER = "ASAN_OPTIONS=quarantine_size_mb=1:detect_leaks=0"


class Unavailable(Exception):
    """This machine cannot boot one; says why."""


def mirror():
    """Where this machine has the packages of that release from; else debootstrap's own choice."""
    with contextlib.suppress(OSError):
        done = subprocess.run(["apt-get", "indextargets", "--format", "$(CODENAME) $(SITE)",
                               "Created-By: Packages"], capture_output=True, text=True)
        for line in done.stdout.splitlines():
            codename, _, site = line.partition(" ")
            if codename == RELEASE and site:
                return [site]
    return []


def build_image():
    """The path of the root file system, built if it is not there. One builds, others wait."""
    if os.geteuid() != 0:
        raise Unavailable("needs root")
    for program in ("systemd-nspawn", "debootstrap"):
        if not shutil.which(program):
            raise Unavailable(f"{program} is not installed; scripts/deps --test does it")
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    with (IMAGE.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if IMAGE.exists():
            return IMAGE
        fresh = IMAGE.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        done = subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}",
                               RELEASE, fresh, *mirror()], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise Unavailable("debootstrap: " + (done.stdout + done.stderr)[-500:])
        (fresh / "etc/machine-id").write_text("")
        fresh.rename(IMAGE)
    return IMAGE


def own_cgroups(name):
    """A group of this name below ours in each hierarchy that systemd uses: two machines in one
    group would take each other's services for theirs."""
    mine = {}
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mine[controllers] = path
    groups = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        kind, _, options = kind.split(" ", 2)
        key = {"cgroup2": "", "cgroup": "name=systemd"}.get(kind)
        if key is None or key not in mine or (kind == "cgroup" and key not in options):
            continue
        mount_root, point = fields.split()[3:5]
        inside = os.path.relpath(mine[key], mount_root)
        groups.append(pathlib.Path(point) / (inside if not inside.startswith("..") else ".") / name)
    return groups


class Machine:
    def __init__(self, directory, unified=False):
        """`unified`: cgroup v2 alone, also where the host has both."""
        self.unified = unified
        self.dir = pathlib.Path(directory)
        self.name = "ct" + re.sub(r"[^a-z0-9]", "", self.dir.name)
        self.groups = own_cgroups(self.name)
        self.holder = self.nspawn = self.init = None
        self.console = self.dir / "console"

    # Up and down.

    def create(self):
        """The root file system in a mount namespace of its own, which goes with its holder."""
        image = build_image()
        root = self.dir / "root"
        memory = self.dir / "memory"
        script = f"""set -e
            mkdir -p {root} {memory}
            mount -t tmpfs -o mode=755 clusterctl-test {memory}
            mkdir {memory}/upper {memory}/work
            mount -t overlay -o lowerdir={image},upperdir={memory}/upper,workdir={memory}/work \\
                overlay {root}
            mkdir -p {root}{PROGRAMS}
            {self._sanitizer_settings(root)}
            echo ready
            exec sleep infinity"""
        self.holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "-m", "sh", "-c", script], text=True,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT)
        said = self.holder.stdout.readline()
        if said.strip() != "ready":
            said += self.holder.stdout.read()
            raise Unavailable("no overlay can be mounted: " + said.strip())
        return self

    @staticmethod
    def _sanitizer_settings(root):
        """For services, which do not inherit our environment."""
        if not SANITIZED:
            return ""
        return f"""for scope in system user; do
                mkdir -p {root}/etc/systemd/$scope.conf.d
                printf '[Manager]\\nDefaultEnvironment={SANITIZER}\\n' \
                    > {root}/etc/systemd/$scope.conf.d/test.conf
            done"""

    def boot(self):
        for group in self.groups:
            with contextlib.suppress(OSError):
                group.mkdir()
        joined = " ".join(f"'{group}/cgroup.procs'" for group in self.groups if group.is_dir())
        # When the test is killed, it shuts the machine down.
        command = ["setpriv", "--pdeathsig", "TERM", "systemd-nspawn", "--quiet", "-D", self.dir / "root", "--boot", "--register=no",
                   "--keep-unit", "--console=pipe", f"--machine={self.name}",
                   f"--bind-ro={BIN}:{PROGRAMS}", f"--bind-ro={ROOT}/tests:/opt/tests"]
        enter = ["nsenter", "-t", str(self.holder.pid), "-m", "sh", "-c",
                 f'for f in {joined}; do echo $$ > "$f"; done; exec "$@"', "sh"]
        environment = os.environ | ({"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"} if self.unified else {})
        with self.console.open("ab") as console:
            self.nspawn = subprocess.Popen([*enter, *map(str, command)], stdin=subprocess.DEVNULL,
                                           stdout=console, stderr=console, env=environment)
        try:
            wait_for(self._is_up, BOOT_LIMIT, "systemd to boot")
        except AssertionError as error:
            said = self.console.read_text(errors="replace")[-2000:]
            raise Unavailable(f"{error}; it said: {said}") from None
        return self

    def _is_up(self):
        if self.nspawn.poll() is not None:
            raise Unavailable("systemd-nspawn ended: " +
                              self.console.read_text(errors="replace")[-2000:])
        children = pathlib.Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children")
        pids = children.read_text().split()
        if not pids:
            return False
        self.init = int(pids[0])
        done = self.run("systemctl", "is-system-running", check=False)
        return done.stdout.strip() in ("running", "degraded")

    def reboot(self):
        """As pulling no plug: systemd stops everything in order, then boots again."""
        self.run("systemctl", "poweroff", "--no-block")
        self.nspawn.wait(60)
        self.boot()

    def end(self):
        if self.init and self.nspawn.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)  # the first process of a namespace takes all along
        for process in self.nspawn, self.holder:
            if process and process.poll() is None:
                process.send_signal(signal.SIGKILL)
            if process:
                process.wait(30)
        if self.holder:
            self.holder.stdout.close()
        for group in self.groups:
            def gone(group=group):
                for folder, _, _ in os.walk(group, topdown=False):
                    with contextlib.suppress(OSError):
                        os.rmdir(folder)
                return not group.exists()
            with contextlib.suppress(AssertionError):
                wait_for(gone, 5.0, f"the end of {group}")

    # Inside.

    def entered(self, *command, user=None, env=None):
        """A command line that runs `command` inside; `user`: (name, uid) with a runtime folder."""
        variables = {"PATH": f"{PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C",
                     "HOME": "/root"}
        who = []
        if user:
            name, uid = user
            variables |= {"HOME": f"/home/{name}", "USER": name,
                          "XDG_RUNTIME_DIR": f"/run/user/{uid}"}
            who = ["-S", str(uid), "-G", str(uid)]
        if SANITIZED:
            name, _, value = SANITIZER.partition("=")
            variables[name] = value
        variables |= env or {}
        settings = [f"{name}={value}" for name, value in variables.items()]
        return ["nsenter", "-t", str(self.init), "-m", "-u", "-i", "-p", "-C", *who,
                "env", "-i", *settings, *map(str, command)]

    def run(self, *command, check=True, user=None, env=None, input=None, timeout=120):
        done = subprocess.run(self.entered(*command, user=user, env=env), text=True,
                              capture_output=True, timeout=timeout, errors="replace",
                              cwd="/", input=input or "")
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))} exited with {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        return done

    def show(self, unit, *names, user=None):
        """Properties of a unit, as `systemctl show` tells them."""
        scope = ["--user"] if user else []
        text = self.run("systemctl", *scope, "show", unit, "-p", ",".join(names), user=user).stdout
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def write(self, path, text):
        self.run("sh", "-c", f"mkdir -p {pathlib.Path(path).parent}; cat > {path}", input=text)

    def read(self, path):
        return self.run("cat", path).stdout

    def add_user(self, name):
        """(name, uid) of a new one with a home."""
        self.run("useradd", "-m", "-s", "/bin/sh", name)
        return name, int(self.run("id", "-u", name).stdout)

    def journal(self):
        return self.run("journalctl", "--no-pager", "-b", check=False).stdout
