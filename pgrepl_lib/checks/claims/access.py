"""Who is let in, and who is not."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import sql

from ...cluster.members import AnyCluster
from ...cluster.server import Server
from ...doors import db
from ...errors import first_line
from ...logins import logins
from ...postgres.confirmation import RECEIVES
from ...words.text import mark, t
from .. import momentary
from ..outcome import Fact
from ..registry import NotTried, check

RIGHT = mark("NOREPLICATION: {answer}; REPLICATION: accepted")
REFUSED = "SQLSTATE 28000"


@check(
    "right-needed",
    mark("A role without the replication right cannot replicate"),
    mark(
        "somebody gave every role the right, or made it superuser: compare pg_roles with chapter 01"
    ),
)
def right_needed(cluster: AnyCluster) -> Iterable[Fact]:
    """The same role, the same way in: refused without the right, admitted with it."""
    password, primary = secrets.token_hex(16), cluster.primary
    expected, seen = t(RIGHT, answer=t("refused")), t(RIGHT, answer=t("accepted"))
    with momentary.role(primary.address, password) as role:
        if logins.refusal_of(cluster.engine, primary.name, role, password):
            seen = expected
        right = sql.SQL("alter role {} replication").format(sql.Identifier(role))
        db.rows(primary.address, right)
        if having := logins.refusal_of(cluster.engine, primary.name, role, password):
            raise NotTried(expected, t("no rule lets such a role in: {refusal}", refusal=having))
    yield Fact(primary.name, expected, seen)


@check(
    "rule-needed",
    mark("An address outside the rule of pg_hba.conf cannot replicate"),
    mark(
        "pg_hba.conf admits more than the cluster's network: "
        "look at pg_hba_file_rules on the primary"
    ),
)
def rule_needed(cluster: AnyCluster) -> Iterable[Fact]:
    """Asks the server, from an address that only other rules could admit.

    Where there is no second address to try from (macOS, Docker Desktop, rootless), that is said.
    """
    words = {"user": cluster.params.replication_user, "replication": "true"}
    yield refused_outside(cluster.primary, words)


def refused_outside(server: Server, words: Mapping[str, str]) -> Fact:
    """What it answers who comes from an address outside the rule; raises `NotTried`.

    words: of its start-up packet.
    """
    at, engine = server.address, server.cluster.engine
    db.row(at, "select 1")  # one that does not answer refuses nobody
    outside = engine.outside_the_rule(server.name)
    try:
        answer = db.ask_from(outside, words, engine.rule_network(), at.sslmode)
    except OSError as error:
        cannot = mark("this machine cannot send from {source}: {error}")
        why = t(cannot, source=outside[-1], error=first_line(error))
        raise NotTried(REFUSED, why) from error
    seen: str = t("accepted")
    if answer != "accepted":
        seen = f"SQLSTATE {answer}"
    return Fact(server.name, REFUSED, seen)


def strangers(upstream: Server, followers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of a server's followers (`FOLLOWERS`) that are none of ours.

    With `trust` any user may answer, and a name proves nothing. Ours is the one that uses the slot
    of the replica of that name, while that replica says that it receives through it: a slot serves
    one connection at a time.
    """
    names = upstream.cluster.topology.followers(upstream.name)
    ours = {replica.application_name: replica for replica in map(upstream.other, names)}
    return [r for r in followers if not _is(ours.get(r["name"]), r["slot"])]


def _is(replica: Server | None, slot: str | None) -> bool:
    """Whether this replica of ours receives through this slot of its upstream."""
    if replica is None or slot != replica.slot:
        return False
    host, port = replica.cluster.engine.upstream(replica.upstream.name)
    try:
        return db.row(replica.address, RECEIVES) == {"slot": slot, "sender": f"{host}:{port}"}
    except (psycopg.Error, OSError):
        return False
