"""Rows of results, and how they are judged and shown: as text, JSON and Markdown."""

import json
import statistics


class Samples:
    """Values of one kind; what counts is the median, what is shown is also the range."""

    def __init__(self, values=()):
        self.values = list(values)

    def add(self, value):
        self.values.append(value)

    @property
    def median(self):
        return statistics.median(self.values)

    def text(self):
        middle = number(self.median)
        if len(self.values) == 1:
            return middle
        return f"{middle} ({number(min(self.values))}..{number(max(self.values))})"

    def plain(self):
        return {"median": self.median, "min": min(self.values), "max": max(self.values),
                "runs": len(self.values)}


def number(value):
    """Three digits are as many as such measurements carry."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def median(samples):
    return samples.median


def largest(samples):
    return max(samples.values)


def smallest(samples):
    return min(samples.values)


# What a goal is about: which value of the samples counts, how that of ours is set against the
# bound, how the result is written, and whether more is better.
COMPARISONS = {
    "ratio": (median, lambda ours, bound: ours / bound, "{} ×", False),
    "times": (median, lambda ours, bound: ours / bound, "{} ×", True),
    "quickest": (smallest, lambda ours, bound: ours / bound, "{} ×", False),
    "difference": (median, lambda ours, bound: ours - bound, "{} {unit} more", False),
    "measured": (median, lambda ours, bound: ours, "{} {unit}", False),
    "rate": (median, lambda ours, bound: ours, "{} {unit}", True),
    "slowest": (largest, lambda ours, bound: ours, "{} {unit}", False),
    "complete": (smallest, lambda ours, bound: ours, "{} {unit}", True),
}

# The best peer may be so much better before a row without a goal counts as lost: two medians of
# the same thing differ by more than that on most machines.
EQUAL = 0.05


class Row:
    """One line of the result. `goal` is a limit for what `compare` names; None: no worse than the
    best of `peers`, a dict of name and Samples. A row with neither, or with `contest` false, is for
    information."""

    def __init__(self, title, unit, ours, bound=None, bound_name="", goal=None, compare=None,
                 peers=None, contest=True):
        self.contest = contest
        self.title, self.unit, self.ours = title, unit, ours
        self.bound, self.bound_name, self.goal = bound, bound_name, goal
        self.peers = {name: samples for name, samples in (peers or {}).items() if samples.values}
        self.compare = compare or ("ratio" if bound else "measured")
        self.which, against, self.form, self.more_is_better = COMPARISONS[self.compare]
        self.value = against(self.which(ours), self.which(bound) if bound else None)

    def best_peer(self):
        """(name, value) of the peer to beat; None without peers."""
        values = [(self.which(samples), name) for name, samples in self.peers.items()]
        if not values:
            return None
        value, name = max(values) if self.more_is_better else min(values)
        return name, value

    def beaten(self):
        """Whether the best peer is clearly better than we are."""
        if not self.peers:
            return False
        mine, best = self.which(self.ours), self.best_peer()[1]
        return best > mine * (1 + EQUAL) if self.more_is_better else best < mine * (1 - EQUAL)

    def met(self):
        if not self.contest:
            return None
        if self.goal is None:
            return not self.beaten() if self.peers else None
        return self.value >= self.goal if self.more_is_better else self.value <= self.goal

    def with_unit(self, value):
        return self.form.format(number(value), unit=self.unit).strip()

    def judged(self):
        """What a goal is held against, beside the bound or alone."""
        return self.with_unit(self.value) if self.bound or self.goal is not None else ""

    def lead(self):
        """How many times as good as the best peer we are."""
        if not self.peers or not self.contest:
            return ""
        name, best = self.best_peer()
        mine = self.which(self.ours)
        good, bad = (mine, best) if self.more_is_better else (best, mine)
        if bad == good:
            return f"as {name}"
        return f"{number(good / bad)} × {name}" if bad else f"better than {name}"

    def goal_text(self):
        sign = "≥" if self.more_is_better else "≤"
        if self.goal is not None:
            return f"{sign} {self.with_unit(self.goal)}"
        return f"{sign} best peer" if self.peers and self.contest else ""

    def verdict(self):
        word = {None: "", True: "yes", False: "NO"}[self.met()]
        if not self.beaten() or not self.contest:
            return word
        return f"{word}; {self.best_peer()[0]} is better"

    def cell(self, samples):
        return f"{samples.text()} {self.unit}".strip()

    def plain(self):
        best = self.best_peer()
        return {"title": self.title, "unit": self.unit, "measured": self.ours.plain(),
                "bound": self.bound.plain() | {"what": self.bound_name} if self.bound else None,
                "peers": {name: samples.plain() for name, samples in self.peers.items()},
                "best_peer": best and best[0], "compare": self.compare, "value": self.value,
                "goal": self.goal, "met": self.met()}


BY_HAND = "## Notes\n"


def as_json(about, sections):
    """`sections`: (name of the case, what it measures, rows)."""
    cases = [{"case": name, "about": what, "rows": [row.plain() for row in rows]}
             for name, what, rows in sections]
    return json.dumps(about | {"cases": cases}, indent=2, ensure_ascii=False) + "\n"


def table(rows):
    """Lines of a Markdown table; a column in which nothing would stand is left out."""
    names = list(dict.fromkeys(name for row in rows for name in row.peers))
    columns = [("what", lambda row: row.title), ("ours", lambda row: row.cell(row.ours)),
               ("lower bound", lambda row: f"{row.cell(row.bound)}, {row.bound_name}"
                if row.bound else "")]
    columns += [(name, lambda row, name=name: row.cell(row.peers[name])
                 if name in row.peers else "") for name in names]
    columns += [("to the goal", Row.judged), ("to the best peer", Row.lead),
                ("goal", Row.goal_text), ("met", Row.verdict)]
    cells = [(heading, [text(row) for row in rows]) for heading, text in columns]
    cells = [(heading, column) for heading, column in cells if any(column)]
    lines = [[heading for heading, _ in cells], *zip(*(column for _, column in cells))]
    lines = ["| " + " | ".join(line) + " |" for line in lines]
    return [lines[0], "|---" * len(cells) + "|", *lines[1:]]


def summary(sections):
    """What was lost, in one place: nobody shall have to look for it."""
    rows = [(name, row) for name, _, rows in sections for row in rows if row.met() is not None]
    lost = [(name, row) for name, row in rows if not row.met()]
    beaten = [(name, row) for name, row in rows if row.met() and row.beaten()]
    lines = [f"{len(rows) - len(lost)} of {len(rows)} rows with a goal or a peer are met; in "
             f"{len(beaten)} of these a peer is better than the goal asks for."]
    for heading, chosen in (("Not met", lost), ("Met, and yet a peer is better", beaten)):
        if chosen:
            lines += ["", f"{heading}:", ""]
            lines += [f"- {row.title} (`{name}`): {row.judged() or row.cell(row.ours)}, "
                      f"goal {row.goal_text()}" + (f"; {row.lead()}" if row.beaten() else "")
                      for name, row in chosen]
    return lines


def as_markdown(about, sections, old=""):
    """The whole document; what `old` has under "Notes", which a person wrote, is kept."""
    lines = ["# Benchmarks", "",
             f"Written by `{about['command']}` on {about['date']}: {about['cpus']} × "
             f"{about['cpu']}, Linux {about['kernel']}, load {about['load']} before the run, "
             f"{about['minutes']} minutes.", "", "## How to read it", ""]
    lines += HOW_TO_READ.strip().splitlines()
    lines += [f"- Left out: {what}." for what in about["left_out"]]
    lines += ["", "## Result", "", *summary(sections)]
    for name, what, rows in sections:
        if rows:
            lines += ["", f"## {what}", "", f"`bench/run --only {name}`", "", *table(rows)]
    notes = old.partition(BY_HAND)[2]
    return "\n".join(lines) + "\n" + (f"\n{BY_HAND}{notes}" if notes else "")


HOW_TO_READ = """
- A value is a median, with the smallest and the largest in parentheses where there were several.
  All contenders of a row were measured in one run, turn by turn. Times hold for this machine;
  ratios are worth comparing.
- **lower bound**: what can hardly be beaten, measured in the same run: a bare loop of `posix_spawn`
  and `waitpid` (`bench/spawn_loop.cpp`), a shell's redirection, `true`, Node's own cluster with
  SCHED_NONE.
- **to the goal**: what the goal is held against: the ratio to the bound, the difference from it, or
  the value itself; the largest or smallest of all, not the median, where the title says "slowest"
  or "least".
- **to the best peer**: how many times as good as the best of the peers we are; below 1 it is
  better.
- **met**: the goal is reached; where there is none, no peer is more than 5 % better. "NO" is said
  where that is not so, and a peer that is better although the goal is reached is named.
- Cases: memory after one second in which nobody asked, and right after commands that read; "cold
  start" counts from the first command with no daemon until the main of the last process has begun
  and the command is back; "lost" counts every answer that was not complete, with no second try. A storm
  lasts 20 s for us and the bare loop, 8 s for the peers; slow loggers write less.
- Homes and service directories lie on tmpfs where there is one, logs on disk. No contender rotates
  its logs. A case that a peer has no row in is one that it cannot do, or not in this time.
- PM2 comes from npm; supervisor, runit and s6 are Debian's packages, unpacked into a folder of
  their own, configured as their documentation shows. runit and s6 have no logger for a process but where
  logs are measured, which saves them one or two processes each; supervisord shares pages of the
  Python interpreter with the bench, which halves some of its PSS. Neither is corrected.
- Nothing else should run meanwhile: on a busy machine times are several times these.
"""


def as_text(row):
    line = f"  {row.title}: {row.cell(row.ours)}"
    if row.bound:
        line += f"; bound: {row.cell(row.bound)}, {row.bound_name}; {row.judged()}"
    for name, samples in row.peers.items():
        line += f"; {name}: {row.cell(samples)}"
    if row.met() is not None:
        line += f"; goal {row.goal_text()}: {'met' if row.met() else 'MISSED'}"
    return line
