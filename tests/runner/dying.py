"""A sidecar that is killed the nth time it reaches a boundary: `python dying.py BOUNDARY N`."""

import os
import signal
import sys

from services.core import faults
from services.runner.__main__ import main

boundary, count = sys.argv[1], int(sys.argv[2])
reached = 0


def die(name: str) -> None:
    """Count the boundary; at the nth time, die as if the machine's memory had run out."""
    global reached
    reached += name == boundary
    if name == boundary and reached == count:
        os.kill(os.getpid(), signal.SIGKILL)


faults.install(die)
sys.exit(main())
