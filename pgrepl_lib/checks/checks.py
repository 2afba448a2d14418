"""The checks: claims about the running cluster, each with what is expected and what was seen.

A check leaves nothing in the databases: what it writes to prove something it removes. The texts are short facts that read
the same in any language; the notebooks give titles and hints in the reader's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial

import psycopg
from psycopg import sql

from ..cluster import spaces
from ..cluster.members import AnyCluster
from ..cluster.server import Server
from ..doors import db
from ..doors.answer import Answer, Kind, ask_all
from ..errors import PgreplError, first_line
from ..logins import logins
from ..postgres.sessions import AS_A_CLIENT
from ..words.text import t
from . import momentary, slots, standbys, written
from .contents import digests as contents_of
from .in_effect import wrong_settings
from .outcome import Check

ROWS = 100_000
FEW = 200  # of a check that comes every minute: all that it writes is under 100 KB of WAL
REPLAY_SECONDS = 60
SLOT = """
select concat_ws(', ', slot_type, case when active then 'active' else 'inactive' end,
                 case when restart_lsn is null then 'restart_lsn null' else 'restart_lsn' end) as seen
from pg_replication_slots where slot_name = %s"""
HANGS = "a paused one: `pgrepl run`; a primary that stays so: `pgrepl failover`"
LAGS = "the replica lags or has stopped replaying: look at `pgrepl status` and its log"


class NotTried(Exception):
    """A check cannot be made here: what it would expect, and why."""


Made = Callable[..., Check]  # of a cluster, and of who hangs
CHECKS: dict[str, Made] = {}
# Not part of chapter 03: about operations; reading all tables takes time; a run takes drift back.
AROUND = ("tablespaces", "images")
ON_REQUEST = ("sample", "one-primary", "tables", "drift", "synchronous", "login", *AROUND)
BESIDES = ("login", "synchronous", "tablespaces", "images", "drift")  # by `pgrepl check`
Verdict = tuple[
    str, ...
]  # expected, seen: the check passes where they are equal; a hint for what was seen
Look = Callable[["AnyCluster"], Verdict]


def check(name: str, title: str, hint: str) -> Callable[[Look], Made]:
    """Register a function that returns what is expected and what is seen.

    told, advice: title and hint in the reader's language. What was found has its own ways on.
    """

    def register(look: Look) -> Made:
        def made(cluster: AnyCluster, hung: str = "", told: str = "", advice: str = "") -> Check:
            outcome, general = (
                partial(Check, name, told or title),
                cluster.addressed(advice or hint),
            )
            if hung:
                return outcome("an answer", hung, False, cluster.addressed(HANGS))
            try:
                expected, seen, *now = _outcome(look, cluster)
            except NotTried as error:
                expected, seen = error.args[0], cluster.addressed(f"not tried, {error.args[1]}")
                return outcome(expected, seen, True, general, tried=False)
            if expected == seen:
                return outcome(expected, seen, True, general)
            return outcome(expected, seen, False, cluster.ways_on(name, now) or general)

        CHECKS[name] = made
        return made

    return register


@check(
    "primary-writes",
    "The primary accepts writes",
    "the primary is down, in recovery or out of space: see its log (`pgrepl status`)",
)
def primary_writes(cluster: AnyCluster) -> Verdict:
    """Really writes, since a full disk shows in no setting."""
    with momentary.schema(cluster.primary.address) as schema:
        create = sql.SQL("create table {}.t as select 1 as n").format(schema)
        db.rows(cluster.primary.address, create, settings=AS_A_CLIENT)
        recovers = str(cluster.primary.in_recovery()).lower()
    return (
        "CREATE TABLE, pg_is_in_recovery = false",
        f"CREATE TABLE, pg_is_in_recovery = {recovers}",
    )


@check(
    "replica-refuses-writes",
    "The replica is in recovery and refuses writes (SQLSTATE 25006)",
    "a replica that accepts writes has been promoted and no longer follows: prepare it again from chapter 02",
)
def replica_refuses_writes(cluster: AnyCluster) -> Verdict:
    """Really tries to write."""

    def look(replica: Server) -> str:
        recovery = f"pg_is_in_recovery = {str(replica.in_recovery()).lower()}"
        try:
            db.rows(replica.address, "create temporary table pgrepl_refused (n int)")
            return f"{recovery}, CREATE TABLE"
        except psycopg.Error as error:
            return f"{recovery}, SQLSTATE {error.sqlstate}"

    return per_replica(cluster, look, "pg_is_in_recovery = true, SQLSTATE 25006")


@check(
    "streaming",
    "The primary sees the replica streaming under its name",
    "no row: the replica is not connected, its log says why; walreceiver: primary_conninfo has two owners",
)
def streaming(cluster: AnyCluster) -> Verdict:
    """`pg_stat_replication` (manual, 28.2.4)."""
    query = "select application_name as name, state from pg_stat_replication order by 1"
    upstreams = {r.upstream.name: r.upstream for r in cluster.replicas} or {"": cluster.primary}
    found = [r for u in upstreams.values() for r in db.rows(u.address, query)]
    names = [r.application_name for r in cluster.replicas]
    wanted = sorted(f"{name}: streaming" for name in names)
    ours = sorted(f"{r['name']}: {r['state']}" for r in found if r["name"] in names)
    if not wanted or ours != wanted:  # then others may be ours under another name
        ours = sorted(f"{r['name']}: {r['state']}" for r in found)
    return ", ".join(wanted) or "a replica", ", ".join(ours) or "nobody"


@check(
    "slot",
    "The replica's slot is physical, active and holds WAL",
    "no slot, or an inactive one, which the replica does not use: `pgrepl run`",
)
def slot(cluster: AnyCluster) -> Verdict:
    """`pg_replication_slots` (manual, System Views)."""

    def look(replica: Server) -> str:
        found = db.row(replica.upstream.address, SLOT, [replica.slot])
        return f"{replica.slot}: {found.get('seen', 'missing')}"

    wanted, seen = per_replica(cluster, look, lambda r: f"{r.slot}: physical, active, restart_lsn")
    if others := slots.told(cluster):
        hint = f"nobody's slots hold WAL: {slots.remedy(cluster)}"
        return wanted, "; ".join([seen, *others]), hint
    return wanted, seen


@check(
    "receiver",
    "The replica receives through that slot from the configured primary",
    "its file is not read yet, or primary_conninfo has another owner (postgresql.auto.conf): `pgrepl run`",
)
def receiver(cluster: AnyCluster) -> Verdict:
    """`pg_stat_wal_receiver` on the replica (manual, 28.2.6)."""
    query = "select status, slot_name, sender_host, sender_port from pg_stat_wal_receiver"

    def look(replica: Server) -> str:
        r = db.row(replica.address, query)
        return (
            f"{r['status']}, {r['sender_host']}:{r['sender_port']}, {r['slot_name']}"
            if r
            else "pg_stat_wal_receiver: 0"
        )

    def wanted(replica: Server) -> str:
        host, port = cluster.engine.upstream(replica.upstream.name)
        return f"streaming, {host}:{port}, {replica.slot}"

    return per_replica(cluster, look, wanted)


@check(
    "same-cluster",
    "Same system identifier, timeline and version on both sides",
    "another identifier: the replica's data came from elsewhere, make its base backup again (chapter 02)",
)
def same_cluster(cluster: AnyCluster) -> Verdict:
    """A copy of another cluster, or one left behind on an old timeline, would look healthy otherwise."""
    identity = "select system_identifier from pg_control_system()"
    first = db.row(cluster.primary.address, identity) | db.row(cluster.primary.address, db.TIMELINE)
    version = db.row(cluster.primary.address, "show server_version")["server_version"]

    def look(replica: Server) -> str:
        other = db.row(replica.address, identity)
        same_version = db.row(replica.address, "show server_version")["server_version"] == version
        received = db.row(replica.address, "select received_tli from pg_stat_wal_receiver").get(
            "received_tli"
        )
        return (
            f"system_identifier {_same(other['system_identifier'] == first['system_identifier'])}, "
            f"timeline {_same(received == first['timeline'])}, server_version {_same(same_version)}"
        )

    if not version.startswith(str(cluster.params.pg_version)):
        return f"version {cluster.params.pg_version}", f"version {version}"
    return per_replica(cluster, look, "system_identifier =, timeline =, server_version =")


@check(
    "settings",
    "Every configured setting is in effect, from the file it was written to",
    "the named settings have another owner, an error, or are not read yet: `pgrepl run`",
)
def settings(cluster: AnyCluster) -> Verdict:
    """`pg_file_settings`, `pg_hba_file_rules` and `pg_settings` of every instance (manual, System Views)."""
    instances = (cluster.primary, *cluster.replicas)
    wrong = [w for instance in instances for w in wrong_settings(instance)]
    return "pg_file_settings, pg_hba_file_rules, pg_settings: ok", (
        "; ".join(wrong) or "pg_file_settings, pg_hba_file_rules, pg_settings: ok"
    )


@check("contents", f"{ROWS:,} rows written on the primary are identical on the replica", LAGS)
def contents(cluster: AnyCluster) -> Verdict:
    """Compares contents, once the replica has replayed up to where the primary wrote."""
    return _compared(cluster, ROWS)


@check("sample", f"{FEW} rows written on the primary are identical on the replica", LAGS)
def sample(cluster: AnyCluster) -> Verdict:
    """The same with little WAL, which every replica and every archive gets."""
    return _compared(cluster, FEW)


def _compared(cluster: AnyCluster, rows: int) -> Verdict:
    def look(replica: Server) -> str:
        replica.wait_replayed(wanted.lsn, REPLAY_SECONDS)
        return wanted.found(replica.address)

    with written.rows(cluster.primary.address, rows) as wanted:
        return per_replica(cluster, look, wanted.digest)


@check(
    "right-needed",
    "A role without the replication right cannot replicate",
    "somebody gave every role the right, or made it superuser: compare pg_roles with chapter 01",
)
def right_needed(cluster: AnyCluster) -> Verdict:
    """The same role, the same way in: refused without the right, admitted with it."""
    password, at = secrets.token_hex(16), cluster.primary.address
    expected = "NOREPLICATION: refused; REPLICATION: accepted"
    with momentary.role(at, password) as role:
        without = logins.refusal_of(cluster.engine, cluster.primary.name, role, password)
        db.rows(at, sql.SQL("alter role {} replication").format(sql.Identifier(role)))
        if having := logins.refusal_of(cluster.engine, cluster.primary.name, role, password):
            raise NotTried(expected, f"no rule lets such a role in: {having}")
        return expected, expected if without else expected.replace("refused", "accepted")


@check(
    "rule-needed",
    "An address outside the rule of pg_hba.conf cannot replicate",
    "pg_hba.conf admits more than the cluster's network: look at pg_hba_file_rules on the primary",
)
def rule_needed(cluster: AnyCluster) -> Verdict:
    """Asks the server, from an address that only other rules could admit."""
    db.row(cluster.primary.address, "select 1")  # one that does not answer refuses nobody
    host, port, source = cluster.engine.outside_the_rule(cluster.primary.name)
    try:
        rule, user = cluster.engine.rule_network(), cluster.params.replication_user
        return "SQLSTATE 28000", _refusal(db.ask_to_replicate(host, port, user, source, rule))
    except OSError as error:  # there is no second address to try from (macOS, Docker Desktop, rootless): said, not failed
        raise NotTried(
            "SQLSTATE 28000", f"this machine cannot send from {source}: {error.strerror or error}"
        ) from error


@check(
    "one-primary",
    "Exactly one instance accepts writes",
    "two writable servers: stop at once the one that `pgrepl status` does not call primary",
)
def one_primary(cluster: AnyCluster) -> Verdict:
    """Asks every instance, the fenced ones too; one that lives and does not say so may do it."""

    def accepts(name: str) -> str:
        seen = cluster.instance(name).look("select pg_is_in_recovery() as r")
        if isinstance(seen, Answer):
            return "" if seen.kind is Kind.NOBODY else f"{name} {seen}"
        return "" if seen["r"] else name

    found = filter(None, ask_all(accepts, cluster.topology.names))
    return cluster.primary.name, ", ".join(found) or "nobody"


@check(
    "tables",
    "Every table has the same rows on every replica",
    "the replica lags or is broken: `pgrepl status`; anew: `pgrepl replica rebuild NAME`",
)
def tables(cluster: AnyCluster) -> Verdict:
    """Compares the contents of every table of every database, row by row through a digest."""
    target = db.row(cluster.primary.address, "select pg_current_wal_flush_lsn()::text as lsn")[
        "lsn"
    ]
    wanted = contents_of(cluster.primary.address)

    def look(replica: Server) -> str:
        replica.wait_replayed(target, REPLAY_SECONDS)
        found = contents_of(replica.address)
        differing = sorted(t for t in wanted.keys() | found.keys() if wanted.get(t) != found.get(t))
        return f"{', '.join(differing)} ≠" if differing else "="

    return per_replica(cluster, look, "=")


@check("drift", "Everything is as the last run recorded it", "`pgrepl run` takes it back")
def as_recorded(cluster: AnyCluster) -> Verdict:
    """Live settings, files, slots, roles and the replication user's rights (`recorded.json`)."""
    from ..drift import drift

    if not (found := drift.verdict(cluster)):
        raise NotTried("as recorded", "nothing is recorded: `pgrepl run` records what it leaves")
    return found


@check("login", "Each replica would be admitted again", "`pgrepl run` sets its password right")
def login(cluster: AnyCluster) -> Verdict:
    """As each replica does it: one that streams goes on with the login that it once had."""

    def look(replica: Server) -> str:
        own = replica.conninfo(replica.upstream)
        return logins.of_replica(cluster.engine, replica.name, own)

    return per_replica(cluster, look, logins.ADMITTED)


@check("tablespaces", "Each instance has all its data for itself", "move it there")
def tablespaces(cluster: AnyCluster) -> Verdict:
    """On one machine they would share what lies outside, a container has it in no volume."""
    found = spaces.outside(cluster.primary.address)
    remedy = spaces.remedy(cluster.engine, cluster.topology, found)
    return t(spaces.NONE), spaces.told(found), remedy


@check("images", "Each instance is of the image that its name means", "`pgrepl run` renews it")
def images(cluster: AnyCluster) -> Verdict:
    """Compared by their ids: an image that was pulled again has the same name."""
    found = {name: cluster.engine.other_image(name) for name in cluster.topology.names}
    others = [f"{name}: {image}" for name, image in found.items() if image]
    return "no other image", "; ".join(others) or "no other image"


@check("synchronous", "Commits wait for whom they shall", "`pgrepl run` starts replicas that stand")
def synchronous(cluster: AnyCluster) -> Verdict:
    """Compares the server with `cluster.json`: a commit that nobody confirms waits for ever."""
    ours = [standbys.Standby(r.application_name, r.slot, r.address) for r in cluster.replicas]
    sender = cluster.engine.upstream(cluster.primary.name)
    return standbys.verdict(cluster.primary.address, cluster.topology, ours, sender, cluster.params)


# --- pieces -----------------------------------------------------------------------------------------------


def _outcome(look: Look, cluster: AnyCluster) -> Verdict:
    """What a check expects and sees; an error from outside is something seen, too."""
    try:
        return look(cluster)
    except (PgreplError, psycopg.Error, OSError, LookupError) as error:
        return "an answer", f"{type(error).__name__}: {first_line(error)}"


def per_replica(
    cluster: AnyCluster, look: Callable[[Server], str], expected: str | Callable[[Server], str]
) -> Verdict:
    """The same question to each replica; with more than one, each answer carries the replica's name."""
    if not cluster.replicas:
        return "a replica", "none"
    named = {f"{r.name}: " * (len(cluster.replicas) > 1): r for r in cluster.replicas}
    wanted = (expected if isinstance(expected, str) else expected(r) for r in named.values())
    told = "; ".join(map(str.__add__, named, wanted))
    return told, "; ".join(f"{name}{look(r)}" for name, r in named.items())


def _refusal(answer: str) -> str:
    return answer if answer == "accepted" else f"SQLSTATE {answer}"


def _same(equal: bool) -> str:
    return "=" if equal else "≠"
