"""What ought to be: the apps, their workers, and what a command may have made of them.

A command that was cut off may have happened or not. So a step leaves each app with one or more
outcomes that are right; the oracle looks which of them it finds, and the model adopts that one.
"""

from dataclasses import dataclass, field, replace

ONLINE, STOPPED = "online", "stopped"


@dataclass(frozen=True)
class Row:
    """What `list` shows of a worker."""
    id: int
    pid: int
    restarts: int
    started_at: int


@dataclass(frozen=True)
class Outcome:
    present: bool = True
    wanted: bool = True
    count: int = 1
    same: bool | None = True  # pids: untouched, all new, or None for either


@dataclass
class AppState:
    """One app as the last step left it."""
    kind: object  # workload.AppKind
    present: bool = False
    wanted: bool = False
    rows: dict = field(default_factory=dict)  # Row by id

    def outcome(self, **changes):
        """As it is, but for the changes."""
        return replace(Outcome(self.present, self.wanted, len(self.rows), same=True), **changes)

    def possible_commands(self):
        if not self.present:
            return [it for it in self.kind.commands if it == "start"]
        if not self.wanted:
            return [it for it in self.kind.commands if it in ("start", "restart", "delete")]
        return [it for it in self.kind.commands if it != "start"]

    def after(self, command, count=None):
        """The outcome of a command that is carried out."""
        if command == "start":
            return Outcome(count=self.kind.instances, same=False)
        if command == "stop":
            return self.outcome(wanted=False)
        if command == "delete":
            return Outcome(present=False, wanted=False, count=0)
        if command == "scale":
            return self.outcome(count=count)
        return self.outcome(wanted=True, same=False)  # restart, reload

    def fault_in(self, outcome, shown, expectation):
        """Why `shown`, the rows of `list`, is not this outcome; None when it is."""
        if len(shown) != outcome.count:
            return f"{len(shown)} rows instead of {outcome.count}"
        status = ONLINE if outcome.wanted else STOPPED
        for row in shown:
            if row["status"] != status or (row["pid"] != 0) != outcome.wanted:
                return f"id {row['id']} is {row['status']} (pid {row['pid']}) instead of {status}"
        return self._fault_in_ids(outcome, {row["id"] for row in shown}) or next(
            filter(None, (self._fault_in_row(outcome, row, expectation) for row in shown)), None)

    def _fault_in_ids(self, outcome, ids):
        before = set(self.rows)
        if self.present and not (ids <= before or before <= ids):
            return f"ids {sorted(ids)}, which were {sorted(before)}"
        return None

    def _fault_in_row(self, outcome, row, expectation):
        before = self.rows.get(row["id"])
        if before is None or not outcome.wanted or not self.wanted:
            return None
        now = Row(row["id"], row["pid"], row["restarts"], row["started_at"])
        if row["id"] in expectation.victims:
            return self._fault_in_victim(before, now)
        if outcome.same is False and now.pid == before.pid:
            return f"id {now.id} is still pid {now.pid}"
        if outcome.same and now != before:
            return f"{now} was {before}, and nobody touched it"
        return None

    @staticmethod
    def _fault_in_victim(before, now):
        if now.pid == before.pid:
            return f"id {now.id} is still pid {now.pid}, which was killed"
        if now.restarts != before.restarts + 1:
            return f"id {now.id} has {now.restarts} restarts, it had {before.restarts}"
        return None

    def adopt(self, outcome, shown):
        self.present, self.wanted = outcome.present, outcome.present and outcome.wanted
        self.rows = {row["id"]: Row(row["id"], row["pid"], row["restarts"], row["started_at"])
                     for row in shown}


@dataclass
class Expectation:
    """What a step leaves behind: per app the outcomes that are right, and who was killed."""
    outcomes: dict = field(default_factory=dict)  # app: [Outcome, ...]; none: untouched
    victims: set = field(default_factory=set)  # ids of workers
    killed: set = field(default_factory=set)  # their pids
    daemons_hit: bool = False
    both_hit: bool = False  # perhaps nobody is left to bring the daemon back
    cut_off: bool = False  # a command has no answer: what it began may still go on
    commanded: set = field(default_factory=set)  # apps that were commanded


class Model:
    def __init__(self, kinds):
        self.apps = {kind.name: AppState(kind) for kind in kinds}

    def outcomes(self, name, expectation):
        return expectation.outcomes.get(name) or [self.apps[name].outcome()]

    def name_of(self, worker_id):
        return next((name for name, app in self.apps.items() if worker_id in app.rows), None)

    def pids_of(self, name):
        return {row.pid for row in self.apps[name].rows.values()}

    def running(self):
        """(app's name, Row) of each worker that runs."""
        return [(name, row) for name, app in self.apps.items() if app.wanted
                for row in app.rows.values()]

    def match(self, expectation, processes):
        """({app: its outcome}, rows by app, faults), faults being empty when all is right."""
        shown = {name: [] for name in self.apps}
        faults, found = [], {}
        for row in processes:
            if row["name"] in shown:
                shown[row["name"]].append(row)
            else:
                faults.append(f"{row['name']} is listed, and nobody has declared it")
        for name, app in self.apps.items():
            possible = self.outcomes(name, expectation)
            reasons = [app.fault_in(it, shown[name], expectation) for it in possible]
            if None in reasons:
                found[name] = possible[reasons.index(None)]
            else:
                faults.append(f"{name}: " + ", or ".join(reasons))
        return found, shown, faults

    def adopt(self, found, shown):
        for name, outcome in found.items():
            self.apps[name].adopt(outcome, shown[name])
