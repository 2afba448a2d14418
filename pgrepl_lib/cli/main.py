"""The command line: `pgrepl`, also `python -m pgrepl_lib`.

Exit codes: 0 done; 1 a step or check failed; 2 bad parameters or usage; 3 the environment lacks something.
Results go to standard output, progress and errors to standard error. With --json a result is one JSON document; after
an error standard output is empty, but for `run`, which says how far it came.
"""

from . import looking, operate, preview, review, running  # noqa: F401 - their commands register themselves
from .group import main

__all__ = ["main"]
