"""The table of all cases: each is a function that measures a claim and yields rows, and whose
docstring is the heading. The order is that of the report."""

from app_cases import app
from crash_cases import answer, respawn, storm
from fleet_cases import killing, many, memory, reading, rest, starting
from log_cases import logs
from loss_cases import dying, recycle, reload
from serving_cases import node

CASES = {case.__name__: case for case in
         (memory, rest, starting, killing, reading, respawn, answer, storm, logs, node, reload,
          recycle, dying, many, app)}
