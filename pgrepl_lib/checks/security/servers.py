"""What the servers themselves say: roles, rules, settings."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from shlex import quote

from psycopg.conninfo import make_conninfo

from ...cluster.members import AnyCluster
from ...cluster.server import Server
from ...doors import db
from ...logins import public
from ...words.text import joined, mark, t
from ..outcome import Fact
from ..registry import of_running, running, security

RIGHTS = """
select rolname as name, concat_ws(', ', case when rolsuper then 'SUPERUSER' end,
    case when rolcreatedb then 'CREATEDB' end, case when rolcreaterole then 'CREATEROLE' end,
    case when rolbypassrls then 'BYPASSRLS' end,
    (select string_agg(pg_get_userbyid(roleid), ', ') from pg_auth_members where member = r.oid)
    ) as more
from pg_roles r where rolreplication and rolname <> 'postgres' order by 1"""
OTHER_VERIFIERS = """
select rolname as name from pg_authid
where rolcanlogin and rolpassword is not null and rolpassword not like 'SCRAM-SHA-256$%'
order by 1"""
RULES = """
select string_agg(concat_ws(' ', type, database, user_name, address, netmask, auth_method, options),
                  E'\\n' order by line_number) as seen from pg_hba_file_rules"""
STRICT = ("ssl", "ssl_min_protocol_version", "password_encryption", "log_replication_commands")
LOGGED = "received replication command: "
CLOSED = mark("{commands}; then GRANT it to who needs it")


@security(
    "replication-role",
    mark("One role alone may replicate, and may do nothing else"),
    mark("take the right away: ALTER ROLE … NOREPLICATION, or what else it may do"),
    cis="7.1, 4.3",
)
def replication_role(cluster: AnyCluster) -> Iterable[Fact]:
    """Beside the superuser that the cluster was made with."""
    expected = cluster.params.replication_user
    found = db.rows(cluster.primary.address, RIGHTS)
    seen = [joined(": ", filter(None, [r["name"], r["more"]])) for r in found]
    yield Fact(cluster.primary.name, expected, joined("; ", seen))


@security(
    "verifiers",
    mark("Passwords are stored as SCRAM verifiers"),
    mark("set these passwords anew: password_encryption is scram-sha-256"),
    cis="4.10, 5.4",
)
def verifiers(cluster: AnyCluster) -> Iterable[Fact]:
    """Not as MD5, which whoever reads it can log in with."""
    found = [r["name"] for r in db.rows(cluster.primary.address, OTHER_VERIFIERS)]
    yield Fact(cluster.primary.name, "SCRAM-SHA-256", ", ".join(found) or "SCRAM-SHA-256")


@security(
    "as-strict",
    mark("Each replica lets in whom the primary lets in, and nobody else"),
    mark("`pgrepl run` puts its rules and settings back"),
    manual="21.1",
)
def as_strict(cluster: AnyCluster) -> Iterable[Fact]:
    """Rules and settings: whoever may not read the primary may read its copy no more."""
    wanted, same = _strictness(cluster, cluster.primary.name), t("as the primary")
    for replica in (r for r in running(cluster) if r.is_replica):
        found = _strictness(cluster, replica.name)
        other = ", ".join(name for name, value in wanted.items() if found[name] != value)
        yield Fact(replica.name, same, other or same)


@security(
    "checksums",
    mark("Damaged pages are noticed"),
    mark("stop all, pg_checksums --enable for each, then `pgrepl run`; a new cluster has them"),
    manual="30.2",
)
@of_running
def checksums(server: Server) -> tuple[str, str]:
    """Data checksums; their use is decided for each data folder."""
    seen = db.row(server.address, "show data_checksums")["data_checksums"]
    return "data_checksums on", f"data_checksums {seen}"


@security(
    "slots-bounded",
    mark("A slot that nobody uses cannot fill the disk"),
    mark("`pgrepl run --auth-method scram-sha-256`, or the setting max_slot_wal_keep_size"),
    manual="20.6.1",
)
@of_running
def slots_bounded(server: Server) -> tuple[str, str]:
    """The WAL that slots may keep has a limit, on whoever may be the primary."""
    limit = t("a limit")
    if db.row(server.address, "show max_slot_wal_keep_size")["max_slot_wal_keep_size"] == "-1":
        return limit, "max_slot_wal_keep_size -1"
    return limit, limit


@security(
    "public-closed",
    mark("Not everybody may create objects in the schema public"),
    mark("REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
    manual="5.9.6",
    cis="4.3",
)
def public_closed(cluster: AnyCluster) -> Iterable[Fact]:
    """In each database; up to 14 it is open by default."""
    primary, found = cluster.primary.name, public.open_in(cluster.primary.address)
    psql = f"`pgrepl psql {primary} -- -d {{}} -c '{public.CLOSE}'`"
    remedy = t(CLOSED, commands="; ".join(psql.format(quote(name)) for name in found))
    seen = ", ".join(found) or t("closed")
    yield Fact(primary, t("closed"), seen, cluster.addressed(remedy))


@security(
    "replication-logged",
    mark("Who replicates is logged"),
    mark("`pgrepl run --auth-method scram-sha-256`, or the setting log_replication_commands"),
    cis="7.2",
)
def replication_logged(cluster: AnyCluster) -> Iterable[Fact]:
    """A replica asks its upstream for a setting that nobody has: its name is in the log."""
    logged = t("logged")
    for replica in (r for r in running(cluster) if r.is_replica):
        upstream = replica.upstream
        words = make_conninfo(replica.conninfo(upstream), replication="true", connect_timeout=5)
        asked = f"SHOW pgrepl_{secrets.token_hex(4)}"
        ask = ("psql", "--no-password", "--dbname", words, "--command", asked)
        answer = cluster.engine.run(cluster.engine.inside(replica.name, *ask), check=False)
        if asked.removeprefix("SHOW ") not in answer.err:
            continue  # who is not let in asks nothing
        seen = f"{LOGGED}{asked}" in cluster.engine.log_tail(upstream.name)
        yield Fact(upstream.name, logged, logged if seen else t("not logged"))


def _strictness(cluster: AnyCluster, name: str) -> dict[str, str]:
    at = cluster.instance(name).address
    found = {each: str(db.row(at, f"show {each}")[each]) for each in STRICT}
    return {**found, "pg_hba.conf": str(db.row(at, RULES)["seen"])}
