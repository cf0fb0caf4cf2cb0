"""Who is measured beside us. One file per peer; what cannot be had is told and left out."""

from .base import Job, Missing
from .bare import Bare
from .ours import Ours
from .pm2 import Pm2
from .runit import Runit
from .s6 import S6
from .supervisor import Supervisor

PEERS = (Pm2, Supervisor, Runit, S6)

__all__ = ["Bare", "Job", "Missing", "Ours", "PEERS"]
