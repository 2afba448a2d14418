"""Chapter 07: the primary is lost, replaced, and comes back."""

from __future__ import annotations

from collections.abc import Iterator

from ...doors import db
from ...drills import drills
from ...engine.action import PRIMARY
from ...operations.failover import Failover
from ...operations.rejoin.rejoin import Rejoin
from ...steps.cluster import Cluster
from ...words.text import mark, t
from .. import faults, looks
from ..registry import Found, Known, exercise

COLUMNS, FIRST = "pedido int", "values (1), (2)"
MORE = f"insert into {faults.SCHEMA}.dados values (3), (4), (5)"
ROWS = f"select count(*) as n from {faults.SCHEMA}.dados"
HERE = "select pg_current_wal_flush_lsn()::text as lsn"


def _caught_up(cluster: Cluster) -> None:
    """All replicas that run have what was written so far."""
    lsn = str(db.row(cluster.primary.address, HERE)["lsn"])
    for replica in cluster.replicas:
        if cluster.engine.running(replica.name):
            replica.wait_replayed(lsn, 60)


@exercise(
    "most-advanced",
    "07",
    title=mark("Whom to promote?"),
    task=mark(
        "The machine of the primary is gone for good. Which of the replicas has received most? "
        "Answer with its name, and let it take over: the orders 1 to 5 in exercicio.dados have "
        "to be there, and the other replica has to follow."
    ),
    why=mark("Who promotes the wrong one throws confirmed rows away, and nobody notices at once."),
    hints=(
        mark("Ask each replica how far it has received: pg_last_wal_receive_lsn()."),
        mark("`pgrepl failover --plan` looks at all of them, and fences the lost one first."),
        mark("`pgrepl failover` takes the most advanced one by itself."),
    ),
    asks=mark("the name of the replica"),
    broken=True,
)
class MostAdvanced:
    """The second replica misses rows; then the primary is killed."""

    def start(self, cluster: Cluster) -> Known:
        faults.table(cluster, COLUMNS, FIRST)
        _caught_up(cluster)
        cluster.instance("replica-2").stop()
        db.rows(cluster.primary.address, MORE)
        _caught_up(cluster)
        cluster.primary.kill()
        drills.start(cluster, "replica-2")
        return {"replica": "replica"}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        where = t("pg_last_wal_receive_lsn() of each replica")
        yield looks.answered(known, str(known["replica"]), where)
        primary = cluster.primary
        taken = primary.name != PRIMARY and primary.runs_as_primary()
        where = t("`pgrepl status`")
        yield Found("primary", t("another one has taken over"), taken, t("not yet"), where)
        if not taken:
            return
        rows = int(db.row(primary.address, ROWS)["n"])
        claim, where = t("all five orders are there"), t("the table exercicio.dados")
        yield Found("rows", claim, rows == 5, str(rows), where)
        yield from looks.all_stream(cluster, t("`pgrepl status`"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        if cluster.primary.name == PRIMARY:
            Failover(cluster).run()
        return str(known["replica"])


@exercise(
    "lost-rows",
    "07",
    title=mark("The lost primary comes back"),
    task=mark(
        "After a failover the old primary is fenced, and it has rows that nobody else has. Bring "
        "it back as a replica, and answer: how many rows were lost to the cluster?"
    ),
    why=mark("What was confirmed and is gone has to be named, before somebody misses it."),
    hints=(
        mark("`pgrepl rejoin primary` lists what only it has, and keeps it in a file."),
        mark("The file diverged-primary-….jsonl lies in the cluster's folder; count its rows."),
        mark('In chapter 07: `Rejoin(cluster, "primary")`, `diverged()`, then `come_back()`.'),
    ),
    asks=mark("a number"),
    broken=True,
)
class LostRows:
    """A failover while no replica had the last three rows."""

    def start(self, cluster: Cluster) -> Known:
        faults.table(cluster, COLUMNS, FIRST)
        _caught_up(cluster)
        for replica in cluster.replicas:
            replica.stop()
        db.rows(cluster.primary.address, MORE)
        cluster.primary.kill()
        for replica in cluster.replicas:
            drills.start(cluster, replica.name)
        Failover(cluster).run()
        return {"rows": "3"}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        where = t("what `pgrepl rejoin primary` lists, and the file that it keeps")
        yield looks.answered(known, str(known["rows"]), where)
        claim, fenced = t("nobody is fenced any more"), ", ".join(cluster.topology.fenced)
        yield Found("back", claim, not fenced, fenced, t("`pgrepl status`"))
        yield from looks.all_stream(cluster, t("`pgrepl status`"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        if PRIMARY in cluster.topology.fenced:
            Rejoin(cluster, PRIMARY).run()
        return str(known["rows"])
