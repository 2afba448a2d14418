"""Chapter 05: what breaks, how it is seen, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

from ...cluster.dropping import drop_slot
from ...doors import db
from ...drills import drills
from ...steps.cluster import Cluster
from ...steps.replicas import rebuild
from ...words.text import mark, t
from .. import looks
from ..registry import Found, Known, exercise

STATUS = "select wal_status as status from pg_replication_slots where slot_name = %s"
LIMIT = """
select current_setting(name) as now, setting::int = -1 or setting::int >= 1024 as enough
from pg_settings where name = 'max_slot_wal_keep_size'"""
FORGOTTEN = "exercicio_esquecido"
MAKE = f"select pg_create_physical_replication_slot('{FORGOTTEN}', true)"
UNUSED = """
select coalesce(string_agg(slot_name, ', '), '') as names
from pg_replication_slots where not active"""


@exercise(
    "lost-slot",
    "05",
    title=mark("The replica whose slot is lost"),
    task=mark(
        "replica-2 was stopped for too long, and somebody had limited the WAL that slots hold. "
        "Bring it back, so that it streams by its slot, and see to it that this does not happen "
        "again."
    ),
    why=mark("WAL that is gone does not come back: knowing that saves hours of trying."),
    hints=(
        mark("wal_status in pg_replication_slots says whether waiting could still help."),
        mark("A slot that is lost stays lost. What replica-2 lacks only a new base backup has."),
        mark(
            "`pgrepl replica rebuild replica-2`; then take the block of drills with the limit "
            "out of the primary's postgresql.conf, and let it read that."
        ),
    ),
    broken=True,
)
class LostSlot:
    """With a limit, more WAL is written than the slot of a stopped replica may hold."""

    def start(self, cluster: Cluster) -> Known:
        drills.limit_slots(cluster, "16MB")
        cluster.replicas[1].stop()
        drills.write_wal(cluster, 64)
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        slot, primary = cluster.replicas[1].slot, cluster.primary
        status = str(db.row(primary.address, STATUS, [slot]).get("status", t("missing")))
        where = t("wal_status in pg_replication_slots on the primary")
        fine = status in ("reserved", "extended")
        yield Found("slot", t("{slot} holds what is needed", slot=slot), fine, status, where)
        yield from looks.all_stream(cluster, t("`pgrepl status`, and the log of replica-2"))
        limit = db.row(primary.address, LIMIT)
        where = t("max_slot_wal_keep_size on the primary, and where it comes from")
        claim = t("a slot may hold what a long pause needs")
        yield Found("limit", claim, bool(limit["enough"]), str(limit["now"]), where)

    def solve(self, cluster: Cluster, known: Known) -> str:
        drills.limit_slots(cluster, "")
        rebuild(cluster, cluster.replicas[1].name)
        return ""


@exercise(
    "forgotten-slot",
    "05",
    title=mark("The slot that everybody has forgotten"),
    task=mark(
        "The disk of the primary fills up, although all replicas are up to date. Find what holds "
        "the WAL back, and remove it: it only, for the replicas need what is theirs."
    ),
    why=mark("A slot of nobody holds WAL until the disk is full, and the primary stops."),
    hints=(
        mark("`pgrepl check` names what nobody has recorded; pg_replication_slots has them all."),
        mark("Whose is each slot, and is it active? The replicas' are called replica_1_slot, …"),
        mark("pg_drop_replication_slot() removes one that is not active."),
    ),
    broken=True,
)
class ForgottenSlot:
    """A slot that nobody uses reserves WAL."""

    def start(self, cluster: Cluster) -> Known:
        db.rows(cluster.primary.address, MAKE)
        drills.write_wal(cluster, 32)
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        where = t("pg_replication_slots on the primary")
        unused = str(db.row(cluster.primary.address, UNUSED)["names"])
        yield Found(
            "unused", t("no slot holds WAL for nobody"), not unused, t("there is one"), where
        )
        yield looks.claim(cluster, "slot", where)

    def solve(self, cluster: Cluster, known: Known) -> str:
        title = t("Drop the slot {slot}", slot=FORGOTTEN)
        cluster.perform(title, drop_slot(cluster.primary, FORGOTTEN))
        return ""


@exercise(
    "cut-off",
    "05",
    title=mark("Cut off"),
    task=mark(
        "All replicas lost their connection at the same moment. The primary writes on as if "
        "nothing had happened. Find out who refuses whom, and restore the connection."
    ),
    why=mark("The primary does not mind; the replicas show old data, and do not say so."),
    hints=(
        mark("Who says no? Read the last lines of a replica's log."),
        mark("In pg_hba.conf the first rule that fits decides, also if it says reject."),
        mark("Take the block of drills out of the file, and let the primary read it."),
    ),
    broken=True,
)
class CutOff:
    """A rule rejects the replication user before the one that lets it in."""

    def start(self, cluster: Cluster) -> Known:
        drills.cut(cluster)
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        yield looks.claim(cluster, "login", t("pg_hba_file_rules on the primary"))
        yield from looks.all_stream(cluster, t("pg_stat_replication on the primary"))
        narrow = t("the addresses and users that pg_hba_file_rules names for replication")
        yield looks.claim(cluster, "rule-needed", narrow)

    def solve(self, cluster: Cluster, known: Known) -> str:
        drills.heal(cluster)
        return ""
