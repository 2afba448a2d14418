"""Chapter 01: the primary lets its replicas in, and nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from psycopg import sql

from ...cluster import restarts
from ...doors import db
from ...engine.action import CONFIGURATION
from ...engine.edit import Edit
from ...postgres import conf
from ...steps.actions.rules import ADMITS
from ...steps.cluster import Cluster
from ...words.text import mark, t
from .. import faults, looks
from ..registry import Found, Known, exercise

RULE = re.compile(r"^\w+\s+replication\s", re.MULTILINE)  # that every server is made with
RIGHTS = (
    "select rolreplication as replication, rolsuper as superuser from pg_roles where rolname = %s"
)
ARCHIVE = "exercicio_arquivo"
SLOT = """
select slot_type = 'physical' and not temporary as stays, restart_lsn is not null as reserves
from pg_replication_slots where slot_name = %s"""
END_STREAMS = "select pg_terminate_backend(pid) from pg_stat_replication"


@exercise(
    "missing-rule",
    "01",
    title=mark("The missing rule"),
    task=mark(
        "Somebody tidied up pg_hba.conf of the primary, and no replica gets in any more. Write the "
        "rule that is missing, as narrow as it was: for the replication user, from the network of "
        "the cluster, with the method of the cluster."
    ),
    why=mark(
        "Without a rule a replica can do nothing; with too wide a rule anybody can copy all data."
    ),
    hints=(
        mark("The log of a replica says which user, from which address, found no entry."),
        mark(
            "Chapter 01 writes the rule in a block at the beginning of the file; pg_hba_file_rules "
            "shows what the server has read. A file that is edited has to be read: pg_reload_conf()"
        ),
        mark(
            "Before the other rules: host replication USER NETWORK METHOD. With the local engine, "
            "NETWORK is 127.0.0.1/32."
        ),
    ),
    broken=True,
)
class MissingRule:
    """No rule for replication is left, and the replicas' connections are ended."""

    def start(self, cluster: Cluster) -> Known:
        primary = cluster.primary
        file = f"{primary.name}/{CONFIGURATION[1]}"
        before = Edit(cluster.folder, file, {}).before()
        rest = [line for line in conf.blocks(before).get(ADMITS, []) if not RULE.match(line)]
        without = Edit(cluster.folder, file, {ADMITS: rest})  # what refuses others stays
        without.write()
        Edit(cluster.folder, file, {}, RULE.sub(r"# \g<0>", without.before())).write()
        restarts.reload(primary)
        db.rows(primary.address, END_STREAMS)
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        primary = cluster.primary
        yield looks.read(primary)
        where = t("pg_hba_file_rules on the primary, and the log of the replicas")
        yield looks.claim(cluster, "login", where)
        yield from looks.all_stream(cluster, t("pg_stat_replication on the primary"))
        narrow = t("the addresses and users that pg_hba_file_rules names for replication")
        yield looks.claim(cluster, "rule-needed", narrow)

    def solve(self, cluster: Cluster, known: Known) -> str:
        cluster.primary.allow_replication()
        faults.read_files(cluster, cluster.primary)
        return ""


@exercise(
    "right-lost",
    "01",
    title=mark("Who may replicate?"),
    task=mark(
        "The rule of pg_hba.conf is there, the password is right, and yet the primary sends every "
        "replica away. Give the replication user back what it needs, and no more than that."
    ),
    why=mark("To get in and to be allowed are two things: a rule is not a right."),
    hints=(
        mark("The log of the primary says which right is missing."),
        mark("Compare the role with chapter 01: `\\du` in `pgrepl psql primary` shows its rights."),
        mark("ALTER ROLE … REPLICATION. A superuser would get in, too, and could do anything."),
    ),
    broken=True,
)
class RightLost:
    """The replication user has no REPLICATION any more, and the connections are ended."""

    def start(self, cluster: Cluster) -> Known:
        db.rows(cluster.primary.address, _alter(cluster, "noreplication"))
        db.rows(cluster.primary.address, END_STREAMS)
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        user = cluster.params.replication_user
        has = db.row(cluster.primary.address, RIGHTS, [user])
        claim = t("{user} may replicate, and is no superuser", user=user)
        seen, where = ", ".join(name for name in has if has[name]), t("pg_roles on the primary")
        yield Found("right", claim, seen == "replication", seen or t("none of both"), where)
        yield looks.claim(cluster, "login", t("the log of the primary"))
        yield from looks.all_stream(cluster, t("pg_stat_replication on the primary"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        faults.typed(cluster, cluster.primary, _alter(cluster, "nosuperuser replication"))
        return ""


def _alter(cluster: Cluster, rights: str) -> str:
    role = sql.Identifier(cluster.params.replication_user)
    return sql.SQL(f"alter role {{}} {rights};").format(role).as_string()


@exercise(
    "reserving-slot",
    "01",
    title=mark("A slot that reserves from the first moment"),
    task=mark(
        "An archive will connect tomorrow, and needs all WAL from now on. Make the physical slot "
        "exercicio_arquivo for it on the primary, so that nothing it needs can go meanwhile."
    ),
    why=mark(
        "A slot without a position holds nothing until somebody has connected (correction 6)."
    ),
    hints=(
        mark("Chapter 01 makes the replica's slot; look at what the function is given there."),
        mark("pg_replication_slots has restart_lsn: while it is null, nothing is reserved."),
        mark(
            "The second argument of pg_create_physical_replication_slot. Drop first what you made."
        ),
    ),
)
class ReservingSlot:
    """Nothing is made for it: the participant does all."""

    def start(self, cluster: Cluster) -> Known:
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        slot, where = db.row(cluster.primary.address, SLOT, [ARCHIVE]), "pg_replication_slots"
        claim = t("the physical slot {slot} is there, and stays", slot=ARCHIVE)
        yield Found("slot", claim, bool(slot.get("stays")), t("missing"), where)
        reserves = t("it reserves WAL")
        yield Found("reserves", reserves, bool(slot.get("reserves")), "restart_lsn: null", where)

    def solve(self, cluster: Cluster, known: Known) -> str:
        cluster.primary.create_slot(ARCHIVE)
        return ""
