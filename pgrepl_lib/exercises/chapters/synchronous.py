"""Chapter 08: what a commit waits for."""

from __future__ import annotations

from collections.abc import Iterator

from ...doors import db
from ...operations.synchronous import set_synchronous, try_commit
from ...postgres.sessions import AS_CONFIGURED
from ...steps.cluster import Cluster
from ...words.text import mark, t
from .. import looks
from ..registry import Found, Known, exercise

NAMES = "select current_setting('synchronous_standby_names') as names"
QUORUM = "select count(*) as n from pg_stat_replication where sync_state = 'quorum'"
LEVEL = "synchronous_commit"
LEVELS = ("on", "remote_apply")
PAUSED = "select pg_is_wal_replay_paused() as paused"


@exercise(
    "any-one",
    "08",
    title=mark("One of the two has to have it"),
    task=mark(
        "From now on no confirmed row may be lost where the primary dies: each commit waits for "
        "any one of the two replicas, whichever is faster."
    ),
    why=mark("Losing nothing has a price, and a setting decides how high it is."),
    hints=(
        mark("Manual, 27.2.8: Synchronous Replication, and 20.6.2: synchronous_standby_names."),
        mark(
            "FIRST waits for those in front of the list, ANY for any of them. Look at sync_state."
        ),
        mark("`pgrepl sync 'ANY 1'`."),
    ),
)
class AnyOne:
    """Nothing is made for it."""

    def start(self, cluster: Cluster) -> Known:
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        at = cluster.primary.address
        names = str(db.row(at, NAMES)["names"])
        quorum = int(db.row(at, QUORUM)["n"])
        where = t("synchronous_standby_names, and sync_state in pg_stat_replication")
        any_one = names.upper().startswith("ANY 1") and quorum == len(cluster.replicas)
        claim = t("a commit waits for any one of the replicas")
        yield Found("any", claim, any_one, names or t("commits wait for no replica"), where)
        level = str(db.rows(at, f"show {LEVEL}", settings=AS_CONFIGURED)[0][LEVEL])
        claim = t("a commit is confirmed once a replica has it on its disk")
        yield Found("level", claim, level in LEVELS, level, t("synchronous_commit on the primary"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        set_synchronous(cluster, "ANY 1")
        return ""


@exercise(
    "hanging-commit",
    "08",
    title=mark("Every commit hangs"),
    task=mark(
        "Each commit is to wait for both replicas, and since a moment ago all commits hang. For "
        "whom do they wait? Answer with its name, and make them return, without weakening what was "
        "promised."
    ),
    why=mark("A primary that waits is not broken: it keeps its word."),
    hints=(
        mark("pg_stat_activity shows SyncRep for who waits; `pgrepl status` shows who is missing."),
        mark("Turning the waiting off would help at once, and break the promise."),
        mark("Start the missing one: `pgrepl run`, or `cluster.replicas[1].start()`."),
    ),
    asks=mark("the name of the replica"),
    broken=True,
)
class HangingCommit:
    """Commits wait for both replicas, one of which is stopped."""

    def start(self, cluster: Cluster) -> Known:
        set_synchronous(cluster, "ANY 2")
        cluster.replicas[1].stop()
        return {"replica": cluster.replicas[1].name}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        yield looks.answered(known, str(known["replica"]), t("`pgrepl status`"))
        names = str(db.row(cluster.primary.address, NAMES)["names"])
        claim, where = t("a commit waits for both replicas"), t("synchronous_standby_names")
        promised = names.upper().startswith(("ANY 2", "FIRST 2"))
        yield Found("promise", claim, promised, names or t("no promise"), where)
        returned = try_commit(cluster, 1)
        holds = returned == t("commit confirmed")
        where = t("pg_stat_activity and pg_stat_replication on the primary")
        yield Found("commits", t("a commit returns"), holds, returned, where)

    def solve(self, cluster: Cluster, known: Known) -> str:
        set_back = cluster.instance(str(known["replica"]))
        set_back.start()
        set_synchronous(cluster, "ANY 2")
        return set_back.name


@exercise(
    "which-level",
    "08",
    title=mark("What does a commit wait for?"),
    task=mark(
        "Commits wait for any replica, and the replay of both is paused. Predict, then measure: at "
        "which level of synchronous_commit does a commit hang now? Answer with the level, and let "
        "the replicas replay again."
    ),
    why=mark("Received, flushed, applied: each level promises something else, and costs more."),
    hints=(
        mark(
            "Try each level in a session of its own: `set synchronous_commit = …`, then a small "
            "write. Ctrl-C ends the waiting."
        ),
        mark(
            "Paused replicas receive and flush all the same. What do they not do? Manual, 20.5.1."
        ),
    ),
    asks=mark("local, remote_write, on or remote_apply"),
    broken=True,
)
class WhichLevel:
    """Commits wait for any replica, and no replica replays."""

    def start(self, cluster: Cluster) -> Known:
        set_synchronous(cluster, "ANY 1")
        for replica in cluster.replicas:
            replica.pause_replay()
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        where = t("pg_stat_activity while a commit hangs: SyncRep")
        yield looks.answered(known, "remote_apply", where)
        paused = [r.name for r in cluster.replicas if db.row(r.address, PAUSED)["paused"]]
        seen = t("{names}: replay stands still", names=", ".join(paused))
        where = t("the state of replay in `pgrepl status`")
        yield Found("replays", t("every replica replays"), not paused, seen, where)

    def solve(self, cluster: Cluster, known: Known) -> str:
        for replica in cluster.replicas:
            replica.resume_replay()
        return "remote_apply"
