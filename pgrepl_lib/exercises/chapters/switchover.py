"""Chapter 06: the primary changes on purpose, without losing anything."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy, deepcopy

from ...cluster.topology import OPERATIONS
from ...drills import drills
from ...operations.switchover import Switchover
from ...steps.cluster import Cluster
from ...words.text import mark, t
from .. import looks
from ..registry import Found, Known, exercise

TARGET = "replica-2"
PLAN = mark("`pgrepl switchover --to replica-2 --plan` shows what would be done, and does nothing.")


def _changed(cluster: Cluster, name: str) -> Iterator[Found]:
    """Whether this one is the primary, and everybody follows."""
    now = cluster.primary.name
    holds = now == name and cluster.primary.runs_as_primary()
    yield Found("primary", t("{name} is the primary", name=name), holds, now, t("`pgrepl status`"))
    yield looks.claim(cluster, "one-primary", t("`pgrepl status`"))
    yield from looks.all_stream(cluster, t("`pgrepl status`"))


@exercise(
    "to-replica-2",
    "06",
    title=mark("The primary moves"),
    task=mark(
        "The machine of the primary is to be serviced. Make replica-2 the primary, in order: "
        "nothing is lost, and everybody else follows it, the old primary, too."
    ),
    why=mark("What is practised on a quiet day works on a bad one."),
    hints=(
        PLAN,
        mark(
            "A promotion by hand would leave two primaries. Who stops writing first, and who waits?"
        ),
        mark("`pgrepl switchover --to replica-2`."),
    ),
)
class ToReplica2:
    """Nothing is made for it."""

    def start(self, cluster: Cluster) -> Known:
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        yield from _changed(cluster, TARGET)

    def solve(self, cluster: Cluster, known: Known) -> str:
        if cluster.primary.name != TARGET:
            Switchover(cluster, to=TARGET).run()
        return ""


@exercise(
    "hindered-switchover",
    "06",
    title=mark("A switchover that is refused"),
    task=mark(
        "Again replica-2 is to become the primary, but the switchover is refused. Find out what "
        "hinders it, remove that, and change over."
    ),
    why=mark("A refusal before the change costs nothing; waiting in the middle costs an outage."),
    hints=(
        mark("Ask for the switchover: the refusal names everything that hinders it."),
        mark("Has replica-2 replayed what it has received?"),
        mark("pg_wal_replay_resume() on replica-2, then `pgrepl switchover --to replica-2`."),
    ),
    broken=True,
)
class HinderedSwitchover:
    """The replay of the one that is to be the primary is paused."""

    def start(self, cluster: Cluster) -> Known:
        cluster.instance(TARGET).pause_replay()
        drills.write_wal(cluster, 16)
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        yield from _changed(cluster, TARGET)

    def solve(self, cluster: Cluster, known: Known) -> str:
        if cluster.primary.name != TARGET:
            cluster.instance(TARGET).resume_replay()
            Switchover(cluster, to=TARGET).run()
        return ""


@exercise(
    "half-done-switchover",
    "06",
    title=mark("Left in the middle"),
    task=mark(
        "A colleague began a switchover and went home. Since then every other change is refused. "
        "Bring the cluster out of this, forwards or backwards, as you like."
    ),
    why=mark("What is half done has to be seen, and there has to be a way out in both directions."),
    hints=(
        mark("`pgrepl status` says what has begun, and since when."),
        mark("The same message names two commands: one finishes it, one takes it back."),
        mark("`pgrepl switchover` finishes it; `pgrepl switchover --cancel` takes it back."),
    ),
    broken=True,
)
class HalfDone:
    """A switchover is prepared, as by a process that was then ended."""

    def start(self, cluster: Cluster) -> Known:
        other = copy(cluster)
        other.topology = deepcopy(cluster.topology)
        Switchover(other, to="replica").prepare()
        cluster.look_again()
        return {}

    def check(self, cluster: Cluster, known: Known) -> Iterator[Found]:
        begun = str(cluster.topology.operation.get("kind", ""))
        ended = t("no change of roles is under way")
        yield Found("ended", ended, begun not in OPERATIONS, begun, t("`pgrepl status`"))
        yield looks.claim(cluster, "one-primary", t("`pgrepl status`"))
        yield from looks.all_stream(cluster, t("`pgrepl status`"))

    def solve(self, cluster: Cluster, known: Known) -> str:
        if begun := cluster.topology.operation:
            Switchover(cluster, begun["to"]).run()
        return ""
