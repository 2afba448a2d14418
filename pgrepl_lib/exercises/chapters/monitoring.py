"""Chapter 04: who lags, by how much, and why."""

from __future__ import annotations

from collections.abc import Iterator

from ...checks import lag
from ...doors import db
from ...drills import drills
from ...postgres.recovery import REPLAYED
from ...steps.cluster import Cluster
from ...words.text import mark, t
from .. import faults, looks
from ..registry import Found, Known, exercise

DELAY, HERE = "recovery_min_apply_delay", "select pg_current_wal_lsn()::text as lsn"
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
        seen = t("somewhere it stands still")
        where = t("the state of replay in `pgrepl status`")
        yield Found("replays", t("every replica replays"), not paused, seen, where)
        yield from looks.all_stream(cluster, t("pg_stat_replication on the primary"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        cluster.instance(str(known["replica"])).resume_replay()
        return str(known["replica"])


@exercise(
    "delayed-replica",
    "04",
    title=mark("It receives everything, and is an hour behind"),
    task=mark(
        "The first replica has received all WAL, its replay is not paused, and what was written "
        "just now does not appear there. Find out why, and let it show what the primary has."
    ),
    why=mark("A delay may be wanted, as an insurance against mistakes. It only has to be known."),
    hints=(
        mark("`pgrepl status` says what the replay of each replica is at."),
        mark(
            "Which setting of a replica makes a commit wait before it is applied? Manual, 20.6.3."
        ),
        mark("recovery_min_apply_delay; ALTER SYSTEM RESET, and let the replica read it."),
    ),
    broken=True,
)
class DelayedReplica:
    """The first replica applies each commit an hour later."""

    def start(self, cluster: Cluster) -> Known:
        faults.alter_system(cluster.replica, DELAY, "1h")
        faults.table(cluster, "nota text", "values ('agora')")
        return {"lsn": db.row(cluster.primary.address, HERE)["lsn"]}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        replica = cluster.replica
        now = str(db.row(replica.address, f"show {DELAY}")[DELAY])
        where = t("what `pgrepl status` says of its replay, and its settings")
        yield Found(
            "delay", t("{name} waits with no commit", name=replica.name), now == "0", now, where
        )
        has = bool(db.row(replica.address, REPLAYED, [known["lsn"]])["there"])
        claim = t("{name} shows what was written", name=replica.name)
        yield Found("caught-up", claim, has, t("not yet"), t("the table exercicio.dados"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        faults.reset(cluster, cluster.replica, DELAY)
        cluster.replica.wait_replayed(str(known["lsn"]), 60)
        return ""


@exercise(
    "alarm",
    "04",
    title=mark("What does the alarm say?"),
    task=mark(
        "A replica is stopped, and hardly anything was written since. Predict, then measure: with "
        "which exit code does `pgrepl lag` end, 0, 1 or 2? Answer, and start the replica again."
    ),
    why=mark("A monitoring system reads the code. Who does not stream is worse than who lags."),
    hints=(
        mark("After `pgrepl lag`, `echo $?` shows its code; `pgrepl status` shows who is stopped."),
        mark(
            "0 is OK, 1 a warning, 2 critical. `cluster.replicas[1].start()` starts the second one."
        ),
    ),
    asks=mark("0, 1 or 2"),
    broken=True,
)
class Alarm:
    """The second replica is stopped."""

    def start(self, cluster: Cluster) -> Known:
        cluster.replicas[1].stop()
        return {"code": str(lag.judge(lag.now(cluster), lag.Thresholds())[0])}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        yield looks.answered(known, str(known["code"]), t("`pgrepl lag`, while it is stopped"))
        yield from looks.all_stream(cluster, t("`pgrepl status`"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        cluster.replicas[1].start()
        return str(known["code"])
