"""How far each replica is: what a switchover and a failover choose by, and wait for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from ..doors import ahead, db, show
from ..doors.answer import Answer, ask_all
from ..doors.wait import wait_until
from ..engine.life import Life
from ..errors import PgreplError, WaitTimeout
from ..postgres import recovery, timelines
from ..postgres.control import ControlFile, lsn
from ..postgres.recovery import Recovery, Replay
from ..postgres.timelines import Branch
from ..words.text import Text, joined, t

if TYPE_CHECKING:
    from ..steps.cluster import Cluster
    from ..steps.instance import Instance

RUNNING = "running"
STANDSTILL_SECONDS = 60  # without any progress; as long as there is some, it is waited for
CHOICE_SECONDS = 3  # the same for one that may not be chosen
HELD_SECONDS = 10  # the same for those who read on a replica that is to take over
PROMOTION_SECONDS = 1  # the same for what the promotion would bring to its end
# With max_standby_streaming_delay = -1 the server itself never does it (manual, 27.4.2).
END_READERS = """
select pid, pg_terminate_backend(pid) from pg_stat_activity
where backend_type = 'client backend' and xact_start is not null and pid <> pg_backend_pid()"""


@dataclass(frozen=True)
class Standing:
    """One replica, and how far its recovery is where it runs.

    state: `running`, or why it cannot be asked. branch: what it knows of timelines. left: whether
    the cluster left its branch, so that it is no candidate.
    """

    name: str
    state: str
    recovery: Recovery = recovery.UNKNOWN
    branch: Branch = field(default_factory=Branch)
    left: bool = False

    @property
    def told(self) -> Text:
        """Its state, as a person reads it."""
        return t(self.state)

    def busy(self) -> Text:
        """Where its replay is, for a person who waits for it."""
        return t("{name} replays, at {lsn}", name=self.name, lsn=self.replayed)

    @property
    def runs(self) -> bool:
        """Whether it answers as a replica."""
        return self.state == RUNNING

    @property
    def received(self) -> str | None:
        """The position up to which it received WAL, which may be inside a record."""
        return shown(self.recovery.received)

    @property
    def replayed(self) -> str | None:
        """The end of the last record that it replayed."""
        return shown(self.recovery.replayed)

    @property
    def end(self) -> int:
        """Up to where it may have records, in bytes; 0 where it does not say."""
        return self.recovery.end

    def has_more_than(self, other: Standing) -> bool:
        """Whether both answer and this one may have a record that the other has not.

        A later timeline has: on the earlier one, the other is behind the fork, or was left there.
        """
        if not (self.runs and other.runs):
            return False
        if self.branch.timeline != other.branch.timeline:
            return self.branch.timeline > other.branch.timeline
        return self.recovery.has_more_than(other.recovery)


def shown(position: int) -> str | None:
    """A position as PostgreSQL writes it; None for none."""
    if not position:
        return None
    return lsn(position)


def look(instance: Instance) -> Recovery:
    """How far an instance's recovery is now."""
    return Recovery.of(db.row(instance.address, recovery.QUERY))


def standing(cluster: Cluster) -> list[Standing]:
    """How far each replica is, the most advanced first."""
    return judged(ask_all(_standing, cluster.replicas))


def judged(found: Sequence[Standing]) -> list[Standing]:
    """The same in their order, with those that are on a branch that was left told as such."""
    known = [s.branch for s in found if s.runs]
    return sorted((_told_left(s, known) for s in found), key=_advanced, reverse=True)


def _told_left(one: Standing, known: Sequence[Branch]) -> Standing:
    why = timelines.left(one.branch, one.recovery.replayed, known)
    if not (one.runs and why):
        return one
    return replace(one, state=why, left=True)


def line(cluster: Cluster) -> int:
    """The timeline of the recorded primary's data; 0 where they are gone."""
    engine, name = cluster.engine, cluster.topology.primary
    try:
        if engine.has_data(name):
            return ControlFile.parse(engine.control_file(name)).timeline
    except (PgreplError, ValueError, OSError):  # damaged, or no longer to be read
        return 0
    return 0


def settled(cluster: Cluster, ended: str = "") -> list[Standing]:
    """The same, once those that may be chosen have replayed what they have, or stand still.

    Only then is it known what one that was restarted had received, and whether what was received
    last is a record or a part of one. Who still receives, or is far behind, is not waited for; but
    the followers of an upstream that has ended are: what it had sent arrives after its end.
    """
    last: list[Standing] = []
    if ahead.uncertain():
        return last
    draining = cluster.topology.followers(ended)

    def probe() -> tuple[bool, str]:
        nonlocal last
        last = standing(cluster)
        busy = [s.busy() for s in last if _may_turn_out_ahead(s, last, draining)]
        return not busy, joined(", ", busy)

    def position() -> object:
        return [(s.received, s.replayed) for s in last]

    awaited = t("the replicas to replay what they have")
    with suppress(WaitTimeout):  # as far as it is then known
        wait_until(awaited, probe, seconds=CHOICE_SECONDS, progress=position)
    return last


def wait_everything_replayed(instance: Instance, seconds: float = STANDSTILL_SECONDS) -> Recovery:
    """Wait until every complete record that a server has is replayed; returns how far it is then.

    seconds: the limit on standing still. It may wait for more although something has arrived a
    moment ago: so two looks have to agree where a part of a record, or such a moment, is left.
    Raises `WaitTimeout`.
    """
    engine, name, looks = instance.cluster.engine, instance.name, _Looks(instance)
    wait_until(
        t("{name} to replay what it received", name=name),
        looks.again,
        seconds=seconds,
        progress=looks.position,
        alive=partial(engine.running, name),
        log=partial(engine.log_tail, name),
        hint=t("the last state says what its replay waits for: end that, then run again"),
    )
    return looks.last


class _Looks:
    """At one recovery, one after the other."""

    def __init__(self, instance: Instance) -> None:
        self.instance, self.last = instance, recovery.UNKNOWN

    def again(self) -> tuple[bool, str]:
        """Whether everything is replayed, and how far it is."""
        before, self.last = self.last, look(self.instance)
        quiet = self.last.replayed >= self.last.received or self.last == before
        return self.last.complete and quiet, self.last.told

    def position(self) -> object:
        return self.last.replayed


def wait_promotable(instance: Instance) -> None:
    """Wait until everything is replayed, or replay stands still that a promotion brings to its end.

    A part of a very large record is read again and again, which looks like work; a delay ends with
    the promotion. Readers that hold it are ended, for a promotion would wait for them, too.
    """
    name = instance.name
    if look(instance).doing is Replay.DELAYED:
        told = t("{name} applies with a delay: its promotion applies all that it has", name=name)
        show.notice(told)
        return
    try:
        wait_everything_replayed(instance, PROMOTION_SECONDS)
    except WaitTimeout:
        if not instance.cluster.engine.running(name):
            raise
        if look(instance).doing is Replay.HELD:
            _wait_for_readers(instance)


def _wait_for_readers(instance: Instance) -> None:
    """Let those go on for a while that hold replay, then end them; raises `WaitTimeout`."""
    try:
        wait_everything_replayed(instance, HELD_SECONDS)
    except WaitTimeout:
        if look(instance).doing is not Replay.HELD:
            raise
        ended = ", ".join(str(r["pid"]) for r in db.rows(instance.address, END_READERS))
        told = t(
            "{name}: processes {ended} read, and held replay: they were ended",
            name=instance.name,
            ended=ended,
        )
        show.notice(told)
        wait_everything_replayed(instance)


def _may_turn_out_ahead(
    one: Standing, all_of_them: list[Standing], draining: Sequence[str]
) -> bool:
    seen = one.recovery
    if seen.receiving and one.name in draining:
        return True
    if not one.runs or seen.receiving or seen.doing is not Replay.APPLYING:
        return False
    rivals = [s for s in all_of_them if s.branch.timeline == one.branch.timeline]
    return seen.restarted or seen.end >= max(s.end for s in rivals)


def _advanced(found: Standing) -> tuple[bool, int, int]:
    return found.runs, found.branch.timeline, found.end


def _end(replica: Instance) -> Life:
    """Why one that does not run cannot be asked."""
    engine, name = replica.cluster.engine, replica.name
    if not (life := engine.life(name)).ended:
        return life
    return Life.STOPPED if engine.has_data(name) else Life.ABSENT


def _standing(replica: Instance) -> Standing:
    if not replica.cluster.engine.running(replica.name):
        return Standing(replica.name, _end(replica))
    row = replica.look(recovery.QUERY)
    if isinstance(row, Answer):
        return Standing(replica.name, row.told)
    seen = Recovery.of(row)
    if seen.doing is Replay.ENDED:
        return Standing(replica.name, str(Replay.ENDED), seen)
    known = replica.look(timelines.QUERY)
    if isinstance(known, Answer):
        return Standing(replica.name, known.told)
    return Standing(replica.name, RUNNING, seen, Branch.of(**known))
