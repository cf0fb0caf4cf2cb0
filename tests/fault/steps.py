"""What happens next: a random step, carried out, and what it may leave behind."""

import time

import client
import faults
from model import Expectation
from oracle import Violation

# A weight for each kind of step.
STEPS = {"strike": 20, "kill_worker": 8, "kill_worker_and_strike": 8, "command": 14,
         "command_and_strike": 30, "command_and_worker": 6, "upgrade": 3, "upgrade_and_strike": 3}
UPGRADE_SPREAD_S = 0.12


class Steps:
    def __init__(self, home, model, workload, choose, only=None):
        self.home = home
        self.model = model
        self.workload = workload
        self.choose = choose
        self.strike_ways = faults.Strike(home, choose)
        self.kinds = {kind: weight for kind, weight in STEPS.items() if not only or kind in only}
        if "update" not in faults.clusterctl(home, "--help")[1]:
            self.kinds = {it: weight for it, weight in self.kinds.items() if "upgrade" not in it}
        self.expectation = Expectation()
        self.told = []

    def take(self):
        """One step: (what was done, in words; what is expected now)."""
        self.expectation, self.told = Expectation(), []
        kind = self.choose.choices(list(self.kinds), self.kinds.values())[0]
        getattr(self, kind)()
        return "; ".join(self.told), self.expectation

    def start_everything(self):
        """The first step: all apps, in one request."""
        self.expectation = Expectation()
        names = list(self.model.apps)
        for name in names:
            self.expectation.outcomes[name] = [self.model.apps[name].after("start")]
        client.ask(self.home, "start", apps=[kind.spec for kind in self.workload.kinds],
                   environment=self.workload.environment(), existing="restart")
        return "start of everything", self.expectation

    # The kinds of steps.

    def strike(self):
        kind = faults.choose_kind(self.choose)
        self.told.append(f"kill {kind}")
        self.expectation.daemons_hit = True
        self.expectation.both_hit = kind in faults.MAY_LEAVE_NOBODY
        getattr(self.strike_ways, kind)()

    def kill_worker(self, spare=(), not_the_last=False):
        choices = [(name, row) for name, row in self.model.running() if name not in spare]
        if not_the_last:  # a socket goes with the last who has it
            names = [name for name, _ in choices]
            choices = [it for it in choices if names.count(it[0]) > 1]
        if not choices:
            return
        name, row = self.choose.choice(choices)
        self.told.append(f"kill worker {name} id {row.id} pid {row.pid}")
        self.expectation.victims.add(row.id)
        self.expectation.killed.add(row.pid)
        faults.kill_pid(row.pid)

    def kill_worker_and_strike(self):
        parts = [lambda: self.kill_worker(not_the_last=True), self.strike]
        self.choose.shuffle(parts)
        for part in parts:
            part()
            time.sleep(self.choose.choice([0, 0, 0.001, 0.01]))

    def command(self):
        requests = self._begin_commands()
        for name, request in requests:
            self._finish(name, request)
        refused = [words for words in self.told if "refused" in words or "broken" in words]
        if refused:
            raise Violation(f"without a fault: {refused}")

    def command_and_strike(self):
        requests = self._begin_commands()
        self.strike_ways.pause(self.choose.choice([0, 0.03, 0.2]))
        self.strike()
        for name, request in requests:
            self._finish(name, request)

    def command_and_worker(self):
        requests = self._begin_commands()
        self.strike_ways.pause()
        self.kill_worker(spare=[name for name, _ in requests], not_the_last=True)
        if self.choose.random() < 0.5:
            self.strike()
        for name, request in requests:
            self._finish(name, request)

    def upgrade(self):
        code, said = faults.clusterctl(self.home, "update")
        self.told.append("update")
        self.expectation.daemons_hit = True
        if code:
            raise Violation(f"update ended with {code}: {said}")

    def upgrade_and_strike(self):
        update = faults.begin_clusterctl(self.home, "update")
        self.told.append("update")
        self.strike_ways.pause(UPGRADE_SPREAD_S)
        self.strike()
        # Whoever is killed in the middle of it may take the other one along.
        self.expectation.both_hit = True
        said = update.communicate(timeout=30)[0]
        self.told.append(f"update ended with {update.returncode}: {said.strip()[-200:]}")

    # Commands.

    def _begin_commands(self):
        """One or two commands to different apps, under way."""
        names = [name for name, app in self.model.apps.items() if app.possible_commands()]
        count = self.choose.choice([1, 1, 2])
        return [(name, self._begin(name)) for name in self.choose.sample(names, count)]

    def _begin(self, name):
        app = self.model.apps[name]
        command = self.choose.choice(app.possible_commands())
        count = None
        if command == "scale":
            count = self.choose.choice([it for it in range(1, app.kind.most + 1)
                                        if it != len(app.rows)])
        self.told.append(f"{command} {name}" + (f" {count}" if count else ""))
        self.expectation.outcomes[name] = [app.after(command, count)]
        self.expectation.commanded.add(name)
        request = client.Client(self.home, timeout=20)
        request.begin(command, **self._parameters(app.kind, command, count))
        return request

    def _parameters(self, kind, command, count):
        if command == "start":
            return {"apps": [kind.spec], "environment": self.workload.environment(),
                    "existing": "restart"}
        if command == "scale":
            return {"name": kind.name, "instances": count}
        return {"targets": [kind.name]}

    def _finish(self, name, request):
        try:
            request.finish()
        except (client.Broken, client.Refused) as error:
            how = "refused" if isinstance(error, client.Refused) else "broken"
            self.told.append(f"{name}: {how}: {error}")
            self._may_not_have_happened(name)
        finally:
            request.close()

    def _may_not_have_happened(self, name):
        # With both daemons dead only the disk tells: workers may have been asked to end already by
        # a command that is not there. They are started again.
        same = None if self.expectation.both_hit else True
        self.expectation.outcomes[name].append(self.model.apps[name].outcome(same=same))
        self.expectation.cut_off = True
