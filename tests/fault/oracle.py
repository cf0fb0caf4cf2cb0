"""Looks, after each step, whether all is as it must be.

What takes the daemon a moment is waited for; what may never happen (a request refused, a line lost)
is a fault at once.
"""

import contextlib
import json
import time

import client
import faults
import proc
from workload import CLIENT_COUNT

DEADLINE_S = 10
FDS_AT_REST = 60
FDS_OF_A_WORKER = 24


class Violation(Exception):
    """Something that must not be."""


class Oracle:
    def __init__(self, home, model, workload):
        self.home = home
        self.model = model
        self.workload = workload
        self.killed = set()  # pids of workers
        # Pids of workers that were ending when there was no daemon left: their pipes may be gone
        # with them, and of one that lives on, some children may have been asked to end already.
        self.forsaken = set()
        self.writers = set()  # pids of all writers so far
        self.excused = {}  # app: losses that the step before may still bring
        self.gaps = []  # seconds without an answer, after kills of one daemon
        self.daemons_started = 0

    def after(self, expectation):
        """Waits until the model finds what it expects, and adopts it."""
        self._note_the_dead(expectation)
        self._need_a_daemon(expectation)
        found, shown = self._settled(expectation)
        while expectation.cut_off:
            # A command without an answer may have begun or not. What was sent before this is read
            # before it is answered.
            client.ask(self.home, "ping")
            before = self._identities(shown)
            found, shown = self._settled(expectation)
            if self._identities(shown) == before:
                break
        self.model.adopt(found, shown)
        self._note_the_unknown(expectation)
        self._wait(self._fault_in_state_file, "after the step")
        self._check_load(expectation)

    @staticmethod
    def _identities(shown):
        return sorted((row["id"], row["pid"], row["status"]) for rows in shown.values()
                      for row in rows)

    def check_slow_things(self):
        """What need not be looked at after each step."""
        self._check_lines()
        self._check_files()

    def check_end(self):
        """All was killed: nothing is left, and nobody was refused."""
        self._wait(self._left_behind, "after kill")
        self._check_lines()
        for name, result in self.workload.end_load().items():
            allowed = {"before answer", "in answer", "raced"}
            bad = {stage: causes for stage, causes in result.lost().items()
                   if stage not in allowed or set(causes) - {"reset", "eof"}}
            if bad:
                raise Violation(f"clients of {name}: {bad}\n{result}")

    def _check_lines(self):
        found = [fault for check in self.workload.checks
                 for fault in check.check(self.killed, self.forsaken)]
        if found:
            raise Violation(f"{len(found)} faults in log files: " + "; ".join(found[:5]))

    # One look, and waiting for a good one.

    def _wait(self, fault, when):
        end = time.monotonic() + DEADLINE_S
        while found := fault():
            if time.monotonic() > end:
                raise Violation(f"{when}, {DEADLINE_S} s passed and still: {found}")
            time.sleep(0.01)

    def _note_the_dead(self, expectation):
        self.killed |= expectation.killed
        if expectation.both_hit:
            asked = map(self.model.pids_of, expectation.commanded)
            self.forsaken |= expectation.killed.union(*asked)

    def _note_the_unknown(self, expectation):
        """A worker that was started but not written down when both daemons were killed is ended by
        the next one, which knows nothing of its pipes."""
        writers = set().union(*(check.pids() for check in self.workload.checks))
        if expectation.both_hit:
            running = {row.pid for _, row in self.model.running()}
            self.forsaken |= writers - self.writers - running
        self.writers = writers

    def _need_a_daemon(self, expectation):
        if not expectation.daemons_hit:
            return
        begin = time.monotonic()
        self._wait(lambda: self._no_answer(expectation.both_hit), "after a kill")
        if not expectation.both_hit and not expectation.outcomes:
            self.gaps.append(time.monotonic() - begin)

    def _no_answer(self, nobody_may_be_left):
        try:
            client.ask(self.home, "ping")
        except (client.Broken, client.Refused) as error:
            if nobody_may_be_left and not proc.Snapshot(self.home).daemons():
                self._start_daemon()
            return str(error)
        return None

    def _start_daemon(self):
        self.daemons_started += 1
        code, said = faults.clusterctl(self.home, "ping")
        if code:
            raise Violation(f"clusterctl ping ended with {code}: {said}")

    def _settled(self, expectation):
        result = []

        def fault():
            try:
                found, shown, wrong = self._look(expectation)
            except (client.Broken, client.Refused) as error:
                return f"no list: {error}"
            result[:] = found, shown
            return "; ".join(wrong)
        self._wait(fault, "after the step")
        return result

    def _look(self, expectation):
        with client.Client(self.home) as daemon:
            if under_way := daemon.call("ping").get("reloading"):
                return {}, {}, [f"a reload is under way: {under_way}"]
            listed = daemon.call("list")["processes"]
            about = daemon.about
        found, shown, wrong = self.model.match(expectation, listed)
        if not wrong:
            wrong = self._faults_in_processes(listed, about)
        return found, shown, wrong

    # What /proc shows.

    def _faults_in_processes(self, listed, about):
        snapshot = proc.Snapshot(self.home)
        sizes = {row["id"]: self.model.apps[row["name"]].kind.processes for row in listed
                 if row["pid"]}
        pids = {row["id"]: row["pid"] for row in listed if row["pid"]}
        wrong = []
        for worker, tree in snapshot.trees().items():
            members = {it.pid: " ".join(it.arguments)[:80] for it in tree}
            if worker not in sizes:
                wrong.append(f"nothing of id {worker} should run, but: {members}")
            elif pids[worker] not in members:
                wrong.append(f"id {worker}, pid {pids[worker]}: not that, but {members}")
            elif len(members) > sizes[worker] or (len(members) < sizes[worker]
                                                  and pids[worker] not in self.forsaken):
                wrong.append(f"id {worker} has {len(members)} processes: {members}")
        wrong += [f"id {it} has no process" for it in set(sizes) - set(snapshot.trees())]
        return wrong + self._faults_in_daemons(snapshot, about)

    @staticmethod
    def _faults_in_daemons(snapshot, about):
        there = sorted(it.pid for it in snapshot.daemons())
        told = sorted([about["pid"], about["guardian_pid"]])
        wrong = [] if there == told else [f"daemons {there}, hello says {told}"]
        strangers = [it for it in snapshot.processes.values()
                     if it.worker_id is None and not it.is_daemon]
        wrong += [f"unmanaged: {it.pid} {it.arguments}" for it in strangers]
        return wrong + [f"zombie {pid}" for pid in snapshot.unburied()]

    def _left_behind(self):
        left = proc.Snapshot(self.home).processes.values()
        return "; ".join(f"{it.pid} {it.arguments}" for it in left)

    # Files, clients, descriptors.

    def _fault_in_state_file(self):
        path = self.home / "state.json"
        try:
            state = json.loads(path.read_bytes())
            wanted = {row.get("id", 0): row["wanted"] for row in state["workers"]
                      if not row.get("hidden")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"{path}: {error!r}"
        model = {worker: app.wanted for app in self.model.apps.values() for worker in app.rows}
        return None if wanted == model else f"{path} says wanted: {wanted}, the model {model}"

    def _check_load(self, expectation):
        """A loss has a reason in this step or in the one before, and a bound."""
        names = [self.model.name_of(worker) for worker in expectation.victims]
        for name, watched in self.workload.watched.items():
            counts = watched.load.so_far()
            failed, raced = (counts["failed"] - watched.failed, counts["raced"] - watched.raced)
            watched.failed, watched.raced = counts["failed"], counts["raced"]
            killed = CLIENT_COUNT * names.count(name)
            if expectation.both_hit and name in expectation.commanded:
                # A process that was started but not written down yet is ended by the next daemon,
                # with what it had in hand.
                killed += CLIENT_COUNT
            # The end of an idle connection may cross a request on it; nothing else may.
            crossed = CLIENT_COUNT if killed or name in expectation.commanded else 0
            killed_before, crossed_before = self.excused.get(name, (0, 0))
            self.excused[name] = (killed, crossed)
            if failed > killed + killed_before or raced > killed + crossed + crossed_before:
                raise Violation(f"clients of {name}: {failed} requests failed, {raced} raced,"
                                f" and no worker was killed that had them in hand\n"
                                f"{watched.load.stop()}")

    def _check_files(self):
        snapshot = proc.Snapshot(self.home)
        most = FDS_AT_REST + FDS_OF_A_WORKER * len(self.model.running())
        for daemon in snapshot.daemons():
            count = proc.open_files(daemon.pid)
            if count > most:
                raise Violation(f"{daemon.pid} {daemon.arguments} has {count} open files")

    def scene(self):
        """What there is now, for people."""
        log = ""
        with contextlib.suppress(OSError):
            log = (self.home / "clusterd.log").read_text(errors="replace")[-4000:]
        lines = [f"{it.pid} of {it.parent}, id {it.worker_id}: {' '.join(it.arguments)[:100]}"
                 for it in proc.Snapshot(self.home).processes.values()]
        return "\n".join([log, *lines])
