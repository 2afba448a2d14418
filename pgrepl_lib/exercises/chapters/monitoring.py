"""Chapter 04: who lags, by how much, and why."""

from __future__ import annotations

from collections.abc import Iterator

from ...doors import db
from ...drills import drills
from ...steps.cluster import Cluster
from ...words.text import mark, t
from .. import looks
from ..registry import Found, Known, exercise

PAUSED = "select pg_is_wal_replay_paused() as paused"


@exercise(
    "lagging-replica",
    "04",
    title=mark("Which replica lags, and why?"),
    task=mark(
        "One of the replicas shows old data. Find out which one, answer with its name, and let it "
        "catch up."
    ),
    why=mark("A replica that receives everything and applies nothing looks healthy at first."),
    hints=(
        mark("`pgrepl lag` names each replica with its bytes and seconds."),
        mark(
            "Compare what each replica has received with what it has replayed: does something hold "
            "its replay? Manual, 9.27.4: Recovery Control Functions."
        ),
        mark("pg_wal_replay_resume(), on that replica, lets it go on."),
    ),
    asks=mark("the name of the replica"),
    broken=True,
)
class LaggingReplica:
    """The replay of the second replica is paused."""

    def start(self, cluster: Cluster) -> Known:
        replica = cluster.replicas[1]
        replica.pause_replay()
        drills.write_wal(cluster, 16)
        return {"replica": replica.name}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        yield looks.answered(known, str(known.get("replica")), t("`pgrepl lag`"))
        paused = [r.name for r in cluster.replicas if db.row(r.address, PAUSED)["paused"]]
        seen = t("{names}: replay stands still", names=", ".join(paused))
        where = t("the state of replay in `pgrepl status`")
        yield Found("replays", t("every replica replays"), not paused, seen, where)
        yield from looks.all_stream(cluster, t("pg_stat_replication on the primary"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        cluster.instance(str(known["replica"])).resume_replay()
        return str(known["replica"])
