"""The program redis_probe: app/redis, app/kv and app/limits, driven line by line."""

import contextlib
import json
import os
import subprocess
import threading

from harness import BIN, wait_for


class Probe:
    """One process of it. Orders may be under way at the same time; each has its own answer."""

    def __init__(self, env, *args):
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("REDIS_", "RATE_LIMIT", "DATA_DIR"))}
        self.process = subprocess.Popen(
            [BIN / "redis_probe", *map(str, args)], env=kept | env, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.log = []
        self.heard = []     # (name, pattern, channel, bytes)
        self.connected = []  # names, once per time
        self.answers = {}
        self.changed = threading.Condition()
        self.last = 0
        self.threads = [threading.Thread(target=self._read, daemon=True),
                        threading.Thread(target=self._read_log, daemon=True)]
        for thread in self.threads:
            thread.start()

    def _read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            with self.changed:
                if "heard" in answer:
                    self.heard.append((answer["heard"], answer["pattern"], answer["channel"],
                                       answer["bytes"]))
                elif "connected" in answer:
                    self.connected.append(answer["connected"])
                else:
                    self.answers[answer["id"]] = answer
                self.changed.notify_all()
        with self.changed:
            self.answers = None
            self.changed.notify_all()

    def _read_log(self):
        self.log.extend(self.process.stderr)

    def begin(self, do, **order):
        """Gives an order; returns its id for `finish`."""
        self.last += 1
        self.process.stdin.write(json.dumps({"do": do, "id": self.last} | order) + "\n")
        self.process.stdin.flush()
        return self.last

    def finish(self, order, timeout=30):
        with self.changed:
            done = self.changed.wait_for(lambda: self.answers is None or order in self.answers,
                                         timeout)
            if self.answers is None:
                raise AssertionError("redis_probe has ended: " + "".join(self.log))
            if not done:
                raise AssertionError(f"no answer to order {order} within {timeout} s")
            return self.answers.pop(order)

    def __call__(self, do, **order):
        return self.finish(self.begin(do, **order))

    def call(self, *command, **options):
        """The answer's "ok", or "KIND: WHAT" of its error."""
        answer = self("call", command=[str(word) for word in command], **options)
        return answer["ok"] if "ok" in answer else f'{answer["error"]}: {answer["what"]}'

    def wait_up(self, deadline=20.0):
        wait_for(lambda: self("up")["ok"], deadline, "the connection to Redis")
        return self

    def wait_ok(self, more, deadline=60.0):
        """Waits until the load has seen `more` calls succeed from now on."""
        before = self("seen")["ok"]
        wait_for(lambda: self("seen")["ok"] >= before + more, deadline, f"{more} calls to succeed")

    def close(self):
        """Ends it the proper way; its exit code (0, unless a sanitizer objects)."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for thread in self.threads:
            thread.join(timeout=20)
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.returncode
