"""The lower bound: a loop of posix_spawn and waitpid with nothing around it (spawn_loop.cpp)."""

import subprocess

from .base import Fleet, Peer


class BareFleet(Fleet):
    """mode "up" starts all once, "keep" starts each again when it ends."""

    def start(self):
        mode = "keep" if self.job.attributes.get("keep") else "up"
        command = [self.peer.setting.helper("spawn_loop"), mode, str(self.job.count),
                   *map(str, self.job.command)]
        self.process = subprocess.Popen(command, env=self.environment | self.job.env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()

    def __exit__(self, *failure):
        super().__exit__(*failure)
        if self.process:
            self.process.stdin.close()
            self.process.stdout.close()


class Bare(Peer):
    name = "bare"
    fleet_class = BareFleet
