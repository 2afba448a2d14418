"""pgrepl: notebooks that set up, verify and operate PostgreSQL streaming replication, and record what they did."""

from .cluster import Cluster, open_cluster
from .errors import PgreplError

__version__ = "0.1.0"
__all__ = ["Cluster", "PgreplError", "open_cluster"]
