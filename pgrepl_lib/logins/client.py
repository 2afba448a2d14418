"""How any client reaches the cluster: whoever is the primary, its connection string stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.project import Project
from ..doors import ahead, db
from ..engine.action import SUPERUSER
from ..engine.secret import AUTHORITY
from ..postgres import dsn, tls
from . import monitoring

if TYPE_CHECKING:
    import pandas

HOST = "127.0.0.1"  # where this machine's clients find each instance, which certificates name, too


def words(
    cluster: Project, *, reads: bool = False, user: str = SUPERUSER, dbname: str = "postgres"
) -> dict[str, str]:
    """The words of the connection string. No password: a file has that of the superuser,
    and of the role for monitoring.

    reads: as in `dsn.words`; a fenced former primary, whose data are old, is left out then.
    """
    topology, encrypted = cluster.topology, tls_words(cluster)
    names = [n for n in topology.names if not (reads and n in topology.fenced)]
    places = [(HOST, cluster.engine.ports[name]) for name in names]
    found = {**dsn.words(places, user, dbname, reads=reads), **encrypted}
    if user == SUPERUSER:
        found["passfile"] = str(cluster.folder / "secrets/pgpass")
    if user == monitoring.ROLE:
        found["passfile"] = str(monitoring.passfile(cluster.folder))
    return found


def tls_words(cluster: Project) -> dict[str, str]:
    """What makes sure that it talks to the cluster's own servers; empty without TLS."""
    if cluster.params.tls == tls.OFF:
        return {}
    authority = str(cluster.folder / "secrets" / AUTHORITY)
    return {"sslmode": "verify-full", "sslrootcert": authority, "channel_binding": "require"}


def uri(cluster: Project, *, reads: bool = False, user: str = SUPERUSER) -> str:
    """The connection string, for the client of a notebook."""
    return dsn.uri(words(cluster, reads=reads, user=user), "")


@ahead.measured
def ask(conninfo: str, statement: str) -> pandas.DataFrame:
    """What any client does: it connects by its string, and has the rows of a statement."""
    import pandas

    return pandas.DataFrame(db.rows_by_string(conninfo, statement))
