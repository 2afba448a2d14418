"""pgrepl: notebooks that set up, verify and operate PostgreSQL streaming replication.

What they did is recorded.
"""

import sys
from typing import TYPE_CHECKING, Any

if sys.argv[:1] == ["-m"] and "pgrepl_lib" in sys.orig_argv and not sys.flags.safe_path:
    del sys.path[0]  # of `python -m pgrepl_lib`: the current folder, where anything may lie

from .errors import PgreplError

if TYPE_CHECKING:
    from .steps.cluster import Cluster, open_cluster

__version__ = "0.1.0"
__all__ = ["Cluster", "PgreplError", "open_cluster"]


def __getattr__(name: str) -> Any:
    """What chapters call, loaded when it is asked for: most commands begin without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .steps import cluster
    from .words.language import in_notebook

    if in_notebook():
        load_ipython_extension(sys.modules["IPython"].get_ipython())
    return getattr(cluster, name)


def load_ipython_extension(shell: Any) -> None:
    """IPython's hook: from now on errors that end a cell are told, and there is `%pgrepl`."""
    from .notebook import telling, typed

    telling.begin(shell)
    typed.begin(shell)
