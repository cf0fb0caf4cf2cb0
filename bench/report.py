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


# What a goal is about: the value that is compared, how it is written, and whether more is better.
COMPARISONS = {
    "ratio": (lambda row: row.ours.median / row.bound.median, "{} ×", False),
    "times": (lambda row: row.ours.median / row.bound.median, "{} ×", True),
    "quickest": (lambda row: min(row.ours.values) / min(row.bound.values), "{} ×", False),
    "difference": (lambda row: row.ours.median - row.bound.median, "{} {unit} more", False),
    "measured": (lambda row: row.ours.median, "{} {unit}", False),
    "slowest": (lambda row: max(row.ours.values), "{} {unit}", False),
    "complete": (lambda row: min(row.ours.values), "{} {unit}", True),
}


class Row:
    """One line of the result. `goal` is a limit for what `compare` names; None: for information."""

    def __init__(self, title, unit, ours, bound=None, bound_name="", goal=None, compare=None):
        self.title, self.unit, self.ours = title, unit, ours
        self.bound, self.bound_name, self.goal = bound, bound_name, goal
        self.compare = compare or ("ratio" if bound else "measured")
        value, self.form, self.more_is_better = COMPARISONS[self.compare]
        self.value = value(self)

    def met(self):
        if self.goal is None:
            return None
        return self.value >= self.goal if self.more_is_better else self.value <= self.goal

    def with_unit(self, value):
        return self.form.format(number(value), unit=self.unit).strip()

    def cells(self):
        unit = f" {self.unit}" if self.unit else ""
        bound = f"{self.bound.text()}{unit}, {self.bound_name}" if self.bound else ""
        sign = "≥" if self.more_is_better else "≤"
        goal = f"{sign} {self.with_unit(self.goal)}" if self.goal is not None else ""
        verdict = {None: "", True: "yes", False: "NO"}[self.met()]
        compared = self.with_unit(self.value) if self.bound or self.goal is not None else ""
        return [self.title, self.ours.text() + unit, bound, compared, goal, verdict]

    def plain(self):
        return {"title": self.title, "unit": self.unit, "measured": self.ours.plain(),
                "bound": self.bound.plain() | {"what": self.bound_name} if self.bound else None,
                "compare": self.compare, "value": self.value, "goal": self.goal,
                "met": self.met()}


HEADINGS = ["what", "measured", "lower bound", "compared", "goal", "met"]
BY_HAND = "## Notes\n"


def as_json(about, sections):
    """`sections`: (name of the case, what it measures, rows)."""
    cases = [{"case": name, "about": what, "rows": [row.plain() for row in rows]}
             for name, what, rows in sections]
    return json.dumps(about | {"cases": cases}, indent=2) + "\n"


def as_markdown(about, sections, old=""):
    """The whole document; what `old` has under "Notes", which a person wrote, is kept."""
    lines = ["# Benchmarks", "",
             f"Written by `{about['command']}` on {about['date']}: {about['cpus']} × "
             f"{about['cpu']}, Linux {about['kernel']}, load {about['load']} before the run.", "",
             "Medians, with the smallest and the largest in parentheses. Where there is a lower "
             "bound, it is a program of a few lines (`bench/spawn_loop.cpp`) or `true`, measured "
             "in the same run, turn by turn with ours. Times hold for this machine, ratios are "
             "worth comparing."]
    for name, what, rows in sections:
        lines += ["", f"## {what}", "", f"`bench/run --only {name}`", "",
                  "| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
        lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    notes = old.partition(BY_HAND)[2]
    return "\n".join(lines) + "\n" + (f"\n{BY_HAND}{notes}" if notes else "")


def as_text(row):
    title, measured, bound, compared, goal, met = row.cells()
    line = f"  {title}: {measured}"
    if bound:
        line += f"; bound: {bound}; {compared}"
    if goal:
        line += f"; goal {goal}: {'met' if met == 'yes' else 'MISSED'}"
    return line
