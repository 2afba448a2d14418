"""Chapter 02: whom a replica follows, by which slot, and who says so."""

from __future__ import annotations

from collections.abc import Iterator

from ...doors import db
from ...steps.cluster import Cluster
from ...steps.replicas import follow
from ...words.text import mark, t
from .. import faults, looks
from ..registry import Found, Known, exercise

CONNINFO = "primary_conninfo"
OWNERS = """
select count(*) > 0 as two from pg_file_settings
where name = 'primary_conninfo' and sourcefile like '%postgresql.auto.conf'"""
FOLLOWS = """
select exists (select from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid
               where application_name = %s and state = 'streaming' and slot_name = %s) as follows"""
HELD = "select count(*) > 0 as held from pg_replication_slots where slot_name = %s"


@exercise(
    "two-owners",
    "02",
    title=mark("Two owners of one setting"),
    task=mark(
        "The first replica does not receive any more, although primary_conninfo in its "
        "postgresql.conf is right. Find out who else has a say in it, and give it one owner again."
    ),
    why=mark("The server reads two files, and the last word wins (corrections 4 and 5)."),
    hints=(
        mark("pg_settings on the replica says from which file (sourcefile) the value comes."),
        mark("ALTER SYSTEM writes to postgresql.auto.conf, which is read after postgresql.conf."),
        mark("ALTER SYSTEM RESET takes it out again; then the file has to be read."),
    ),
    broken=True,
)
class TwoOwners:
    """ALTER SYSTEM leads the first replica to where nobody answers."""

    def start(self, cluster: Cluster) -> Known:
        faults.alter_system(cluster.replica, CONNINFO, "host=127.0.0.1 port=1 user=nobody")
        faults.wait_gone(cluster.replica)
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        two = bool(db.row(cluster.replica.address, OWNERS)["two"])
        claim = t("primary_conninfo of {name} has one owner", name=cluster.replica.name)
        yield Found("owner", claim, not two, t("two"), t("pg_file_settings on the replica"))
        yield looks.claim(cluster, "receiver", t("pg_stat_wal_receiver on the replica"))
        yield from looks.all_stream(cluster, t("pg_stat_replication on the primary"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        faults.reset(cluster, cluster.replica, CONNINFO)
        return ""


@exercise(
    "without-slot",
    "02",
    title=mark("It streams, but is it safe?"),
    task=mark(
        "Both replicas stream, nothing lags. And yet one of them would be lost after a weekend "
        "without power. Find out what it lacks, and give it back."
    ),
    why=mark("What nobody holds for a replica may be gone when it comes back."),
    hints=(
        mark("`pgrepl check` looks at more than whether somebody streams."),
        mark(
            "Compare pg_replication_slots on the primary with pg_stat_wal_receiver of each replica."
        ),
        mark(
            "primary_slot_name names the slot; ALTER SYSTEM RESET takes back what wins over a file."
        ),
    ),
    broken=True,
)
class WithoutSlot:
    """The second replica streams without its slot."""

    def start(self, cluster: Cluster) -> Known:
        second = cluster.replicas[1]
        faults.alter_system(second, "primary_slot_name", "")
        faults.wait_used(cluster.primary, second.slot, used=False)
        second.wait_streaming()
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        where = t("pg_replication_slots on the primary, primary_slot_name on the replicas")
        yield looks.claim(cluster, "slot", where)
        yield from looks.all_stream(cluster, t("the log of the replicas"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        second = cluster.replicas[1]
        faults.reset(cluster, second, "primary_slot_name")
        faults.wait_used(cluster.primary, second.slot)
        return ""


@exercise(
    "cascade",
    "02",
    title=mark("A replica of a replica"),
    task=mark(
        "Relieve the primary: let replica-2 follow replica instead, by a slot of its own there. On "
        "the primary nothing of it stays that would hold WAL for ever."
    ),
    why=mark("With cascading, the primary sends once what many receive."),
    hints=(
        mark("Three things belong to it: a slot at the new upstream, the setting, the old slot."),
        mark("Manual, 27.2.7: Cascading Replication. The replica's slot is called replica_2_slot."),
        mark("`pgrepl replica follow replica-2 replica` does all three; with --plan it says how."),
    ),
)
class Cascade:
    """Nothing is made for it."""

    def start(self, cluster: Cluster) -> Known:
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        first, second = cluster.instance("replica"), cluster.instance("replica-2")
        seen = db.row(first.address, FOLLOWS, [second.application_name, second.slot])
        claim = t("{name} follows {upstream} by its slot", name=second.name, upstream=first.name)
        where = t("pg_stat_replication and pg_replication_slots on {name}", name=first.name)
        yield Found("cascade", claim, bool(seen["follows"]), t("not connected"), where)
        held = bool(db.row(cluster.primary.address, HELD, [second.slot])["held"])
        claim = t("the primary holds no WAL for {name}", name=second.name)
        yield Found("left", claim, not held, second.slot, t("pg_replication_slots on the primary"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        follow(cluster, "replica-2", "replica")
        return ""
