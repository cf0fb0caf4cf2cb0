"""For tests with workers that do as they are told (workers/obeys.py), gated by files."""
from harness import ClusterTestCase, wait_for


class ObedientTestCase(ClusterTestCase):
    def setUp(self):
        super().setUp()
        self.go = self.dir / "go"
        self.sick = self.dir / "sick"
        self.quiet = self.dir / "quiet"
        self.journal_file = self.dir / "journal"

    def obedient(self, name="api", env=None, **attributes):
        """An app of workers/obeys.py that keeps the journal. One that is told to wait for `go`
        gets GO by its env. Whether it gets ready is not a matter of time here."""
        if {"wait_ready", "ready"} & attributes.keys():
            attributes = {"listen_timeout": "60s"} | attributes
        return {"name": name, "script": self.worker("obeys.py"),
                "env": {"JOURNAL": str(self.journal_file)} | (env or {})} | attributes

    def gated(self, name="api", env=None, **attributes):
        """One that waits for `go`, and for which the daemon waits in turn."""
        return self.obedient(name, {"GO": str(self.go)} | (env or {}),
                             **{"wait_ready": True, "listen_timeout": "60s"} | attributes)

    def rows(self):
        return self.json("list")["processes"]

    def row(self, name="api"):
        return next(row for row in self.rows() if row["name"] == name)

    def statuses(self):
        return [row["status"] for row in self.rows()]

    def pids(self):
        return [row["pid"] for row in self.rows()]

    def describe(self, target="api"):
        return self.json("describe", target)["processes"][0]

    def journal(self):
        """[event, name, pid] of each line so far."""
        if not self.journal_file.exists():
            return []
        return [line.split() for line in self.journal_file.read_text().splitlines()]

    def events(self):
        """"EVENT NAME" of each line so far."""
        return [f"{event} {name}" for event, name, _ in self.journal()]

    def out(self, instance=0, name="api"):
        path = self.home / f"logs/{name}-out-{instance}.log"
        return path.read_text() if path.exists() else ""

    def stays(self, condition, process, what):
        """`condition` holds for ten looks, and so long `process` goes on."""
        for _ in range(10):
            self.assertTrue(condition(), what)
            self.assertIsNone(process.poll(), "the command has ended already")

    def starts_when(self, file, started, release):
        """`start` of the file: once `started()` holds, all is `launching` and the command waits
        until `release()`; then all is online, by the same processes."""
        start = self.begin("start", file)
        wait_for(started, what="the worker's start")
        pids = self.pids()
        self.assertTrue(all(pids))
        self.stays(lambda: set(self.statuses()) == {"launching"}, start, "launching")
        release()
        self.finish(start)
        self.assertEqual(set(self.statuses()), {"online"})
        self.assertEqual(self.pids(), pids)
