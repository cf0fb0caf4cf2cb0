"""clusterd and clusterctl, asked the same way as the others."""

import contextlib
import json
import socket

from processes import GIVEN_UP_AFTER, wait_ended

from .base import Fleet, Peer

HELLO = {"protocol": 1, "client": "bench"}
DESCRIPTORS = 5  # of the manager for each process: two pipes, two logs, the process


class OurFleet(Fleet):
    def variables(self):
        return {"CLUSTER_HOME": str(self.folder)}

    def prepare(self):
        program = self.peer.setting.helper("clusterctl")
        file = self.folder.with_name(self.folder.name + ".json")
        file.write_text(json.dumps(self.job.ecosystem()))
        self.commands = {"start": [program, "start", file], "reload": [program, "reload", "all"],
                         "start --no-wait": [program, "start", "--no-wait", file]}
        for word in ("ping", "list", "jlist", "kill", "update"):
            self.commands[word] = [program, word]
        for word in ("describe", "restart", "stop", "pid", "reset"):
            self.commands[word] = [program, word, "app-00000"]
        self.commands["env"] = [program, "env", "0"]
        self.commands["list --json"] = [program, "list", "--json"]

    def start(self):
        self.run("start" if self.job.count else "ping")

    def start_without_waiting(self):
        self.run("start --no-wait")

    def stop(self):
        watched = self.pids()
        self.run("kill")
        wait_ended(watched)

    def roots(self):
        with contextlib.suppress(OSError, ValueError):
            return self.pids()[:1]
        return []

    def supervisors(self):
        return self.pids()

    def log_files(self):
        return [self.folder / "logs/app-00000-out.log"]

    def listed(self, text):
        return len(json.loads(text))

    def ask(self, method, **params):
        """One request over the socket: what a measurement needs without a process of its own."""
        return self._talk([("hello", HELLO), (method, params)])[-1]

    def pids(self):
        """Guardian and manager."""
        (hello,) = self._talk([("hello", HELLO)])
        return [hello["guardian_pid"], hello["pid"]]

    def _talk(self, requests):
        answers = []
        with socket.socket(socket.AF_UNIX) as client, client.makefile("rwb") as stream:
            client.settimeout(GIVEN_UP_AFTER)
            client.connect(str(self.folder / "clusterd.sock"))
            for number, (method, params) in enumerate(requests):
                stream.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method,
                                         "params": params}).encode() + b"\n")
                stream.flush()
                answers.append(json.loads(stream.readline())["result"])
        return answers


class Ours(Peer):
    name = "ours"
    fleet_class = OurFleet
    formats = ("plain", "dated", "json")
    cluster = True

    def __init__(self, setting):
        super().__init__(setting)
        self.limit = max((setting.descriptors - 200) // DESCRIPTORS, 0)
