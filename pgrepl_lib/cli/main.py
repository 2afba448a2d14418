"""The command line: `pgrepl`, also `python -m pgrepl_lib`.

Exit codes: `group.EPILOG`. Results go to standard output, progress and errors to standard error.
With --json a result is one JSON document; after an error standard output is empty, but for `run`,
which says how far it came.
"""

import atexit
import gc

from . import looking, operate, replica, review, running  # noqa: F401 - they add their commands
from .classroom import commands  # noqa: F401 - it adds its commands
from .group import main
from .lab import opening  # noqa: F401 - it adds its command
from .leading import room  # noqa: F401 - the same
from .security import monitoring, revoke, rotate, secure  # noqa: F401 - the same
from .workshop import exercise, goto  # noqa: F401 - the same

__all__ = ["main"]

# Else the interpreter searches all that was imported for cycles at its end.
atexit.register(gc.freeze)
