"""What guards a cluster beside passwords and TLS (manual, 20.6.1, 20.8.2, 21.1, 30.2).

The document has none of it, and so has nobody who asks for the document to the letter (`trust`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

from . import conf, tls

SUPERUSER = "postgres"
INITDB = ("--data-checksums",)  # of a cluster that is made from nothing
# A slot that nobody uses is lost before it fills the disk. What is lost with it is no row: its
# replica is made anew.
SETTINGS = {"log_replication_commands": "on", "max_slot_wal_keep_size": "10GB"}


def wanted(asked: tls.Asked) -> bool:
    """Whether the parameters ask for them."""
    return asked.auth_method != "trust" or asked.tls == tls.ON


def initdb_options(asked: tls.Asked) -> tuple[str, ...]:
    """What a new cluster is made with."""
    return INITDB if wanted(asked) else ()


def settings(given: Mapping[str, object], asked: tls.Asked) -> dict[str, object]:
    """These settings, and those that guard; what is given is its user's."""
    if not wanted(asked):
        return dict(given)
    return {**given, **{name: v for name, v in SETTINGS.items() if name not in given}}


def rules(user: str, databases: Sequence[str], network: IPv4Network) -> list[str]:
    """The replication user opens no database; the superuser comes from here and the network alone.

    user: as `pg_hba.conf` takes it. databases: what it connects to; one that copies slots does open
    a database.
    """
    refused = [] if databases[1:] else [(user, "all", "reject")]
    near = [(SUPERUSER, place, tls.SCRAM) for place in ("samehost", str(network))]
    rules = (*refused, *near, (SUPERUSER, "all", "reject"))
    return [conf.hba_line("host", "all", *rule) for rule in rules]
