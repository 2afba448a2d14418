"""Who comes to a server, and is let in or refused: by the wire."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

import psycopg

from ...cluster.members import AnyCluster
from ...cluster.server import Server
from ...doors import db
from ...engine.secret import look
from ...postgres import tls
from ...postgres.confirmation import FOLLOWERS
from ...words.text import mark, t
from ..claims.access import REFUSED, refused_outside, strangers
from ..outcome import Fact
from ..registry import NotTried, of_running, running, security
from .impostor import impersonating

SECURE = mark("`pgrepl secure` turns TLS on")
WITHOUT_TLS = mark("tls is off; `pgrepl secure` turns it on")
STREAMS = """
select r.application_name as name, concat_ws(', ', s.version, s.bits) as seen,
       s.ssl and s.version >= 'TLSv1.2' and s.bits >= 128 as strong
from pg_stat_replication r join pg_stat_ssl s using (pid) order by 1"""


def require_tls(cluster: AnyCluster, expected: str) -> None:
    """Raise `NotTried` where the cluster has no TLS."""
    if cluster.params.tls == tls.OFF:
        raise NotTried(expected, t(WITHOUT_TLS))


@security(
    "followers-ours",
    mark("Whoever receives WAL is a replica of this cluster, through its own slot"),
    mark("somebody else copies the data: end it (pg_terminate_backend), then change the password"),
    manual="27.2",
    cis="7.5",
)
@of_running
def followers_ours(server: Server) -> tuple[str, str]:
    """A name proves nothing (`access.strangers`)."""
    found = strangers(server, db.rows(server.address, FOLLOWERS))
    told = ", ".join("{name} ({address})".format(**r) for r in found)
    return t("nobody else"), told or t("nobody else")


@security(
    "no-database",
    mark("The replication user cannot open a database"),
    mark("`pgrepl run --auth-method scram-sha-256`, or a rule of your own in pg_hba.conf"),
    cis="7.1",
)
def no_database(cluster: AnyCluster) -> Iterable[Fact]:
    """With its own password, from this machine."""
    user, known = cluster.params.replication_user, look(cluster.folder / "secrets/replication")
    if database := cluster.params.databases[1:]:
        raise NotTried(t("refused"), t("it copies slots from {name}", name=database[0]))
    for server in running(cluster):
        at = server.address
        mine = db.Address(at.host, at.port, user, known.text.strip(), at.sslmode)
        yield Fact(server.name, t("refused"), _answer(mine))


@security(
    "superuser-near",
    mark("The superuser comes from the cluster's own network alone"),
    mark("`pgrepl run --auth-method scram-sha-256`, or a rule of your own in pg_hba.conf"),
    manual="21.1",
)
def superuser_near(cluster: AnyCluster) -> Iterable[Fact]:
    """From another address he is refused, before any password is asked for."""
    for server in running(cluster):
        yield refused_outside(server, {"user": server.address.user, "database": "postgres"})


@security(
    "wrong-password",
    mark("With a wrong password nobody replicates"),
    mark("the rule says trust: `pgrepl run --auth-method scram-sha-256` ends that"),
    cis="5.4",
)
@of_running
def wrong_password(server: Server) -> tuple[str, str]:
    """With the certificate that a replica has, so that only the password is wrong."""
    params, folder, at = server.cluster.params, server.cluster.folder / "secrets", server.address
    other = db.Address(at.host, at.port, params.replication_user, secrets.token_hex(16), at.sslmode)
    words = {"replication": "true"}
    if params.tls == tls.ON:
        words["sslcert"] = str(folder / f"{server.name}.crt")
        words["sslkey"] = str(folder / f"{server.name}.key")
    return t("refused"), _answer(other, **words)


@security(
    "plain-refused",
    mark("Who comes without TLS is refused"),
    SECURE,
    cis="6.8",
)
def plain_refused(cluster: AnyCluster) -> Iterable[Fact]:
    """As superuser and as replication user; before any password is asked for."""
    require_tls(cluster, REFUSED)
    replicates = {"user": cluster.params.replication_user, "replication": "true"}
    for server in running(cluster):
        at = server.address
        for words in ({"user": at.user, "database": "postgres"}, replicates):
            said = db.refusal(db.start_up(at.host, at.port, words)).get("C", "")
            yield Fact(server.name, REFUSED, f"SQLSTATE {said}" if said else t("accepted"))


@security(
    "impostor-refused",
    mark("A replica does not follow a server that another authority has certified"),
    SECURE,
    manual="34.19.1",
)
def impostor_refused(cluster: AnyCluster) -> Iterable[Fact]:
    """A server of our own on this machine, to which libpq is sent with the replica's own words."""
    require_tls(cluster, t("refused"))
    for replica in (r for r in running(cluster) if r.is_replica):
        conninfo = db.row(replica.address, "show primary_conninfo")["primary_conninfo"]
        with impersonating(cluster.folder, replica.upstream.name) as impostor:
            followed = impostor.is_followed(conninfo, cluster.folder / "secrets" / replica.name)
        seen = t("followed") if followed else t("refused")
        yield Fact(replica.name, t("refused"), seen)


@security(
    "tls-strong",
    mark("Each stream is encrypted with TLS 1.2 or newer, and a strong cipher"),
    SECURE,
    cis="6.8-6.10",
)
def tls_strong(cluster: AnyCluster) -> Iterable[Fact]:
    """`pg_stat_ssl` (manual, 28.2.8)."""
    expected = t("TLS 1.2 or newer, 128 bits or more")
    require_tls(cluster, expected)
    for server in running(cluster):
        for row in db.rows(server.address, STREAMS):
            yield Fact(row["name"], expected, expected if row["strong"] else row["seen"])


def _answer(at: db.Address, **words: Any) -> str:
    """Whether a server lets somebody in."""
    try:
        with db.connect(at, settings={}, **words):
            return t("accepted")
    except psycopg.OperationalError:
        return t("refused")
