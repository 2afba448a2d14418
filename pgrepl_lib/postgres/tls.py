"""TLS as PostgreSQL takes it: its files, settings, rules, words of a connection string.

(PostgreSQL manual, 19.9 and 34.19.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

OFF, ON = "off", "on"
SCRAM = "scram-sha-256"  # the only method that can bind the channel
SETTINGS_BLOCK = RULES_BLOCK = "tls"  # in postgresql.conf, in pg_hba.conf
# In an instance's data. No base backup has a file whose name begins so (manual, 55.4): a replica
# gets no key of the primary's.
KEY = "pgsql_tmp_server.key"
CERTIFICATE, ROOT = "server.crt", "root.crt"
REVOKED = "root.crl"  # there once a certificate was revoked
SETTINGS = {
    "ssl": "on",
    "ssl_cert_file": CERTIFICATE,
    "ssl_key_file": KEY,
    "ssl_ca_file": ROOT,
    "ssl_min_protocol_version": "TLSv1.2",
}
REFUSED = "hostnossl all,replication all all reject"  # before any other rule


def settings(*, revokes: bool) -> dict[str, str]:
    """What a server with TLS has in its `postgresql.conf`.

    revokes: whether there is a list of revoked certificates.
    """
    if revokes:
        return {**SETTINGS, "ssl_crl_file": REVOKED}
    return SETTINGS


class Asked(Protocol):
    """The parameters that say how clients come."""

    @property
    def tls(self) -> str:
        """`OFF` or `ON`."""

    @property
    def auth_method(self) -> str:
        """How they show who they are, as `pg_hba.conf` calls it."""


def rule(asked: Asked) -> tuple[str, str]:
    """Type and method of the rule in `pg_hba.conf` that lets replicas in."""
    if asked.tls == OFF:
        return "host", asked.auth_method
    return "hostssl", f"{asked.auth_method} clientcert=verify-ca"


def conninfo_words(asked: Asked, path: Callable[[str], str]) -> dict[str, str]:
    """What a replica asks for, so that it talks to the real server and to nobody in between.

    It also shows that it is the cluster's own. asked: the parameters. path: where it finds `ROOT`,
    `CERTIFICATE` and `KEY`.
    """
    if asked.tls == OFF:
        return {}
    words = {"sslmode": "verify-full", "sslrootcert": path(ROOT)}
    words |= {"sslcert": path(CERTIFICATE), "sslkey": path(KEY)}
    if asked.auth_method == SCRAM:
        words["channel_binding"] = "require"
    return words
