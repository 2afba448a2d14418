"""pgrepl: notebooks that set up, verify and operate PostgreSQL streaming replication, and record what they did."""

import sys

if sys.argv[:1] == ["-m"] and "pgrepl_lib" in sys.orig_argv and not sys.flags.safe_path:
    del sys.path[0]  # of `python -m pgrepl_lib`: the current folder, where anything may lie

from .errors import PgreplError
from .steps.cluster import Cluster, open_cluster

__version__ = "0.1.0"
__all__ = ["Cluster", "PgreplError", "open_cluster"]
