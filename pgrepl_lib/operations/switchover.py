"""Switchover: change the primary on purpose, without losing anything (manual, 27.3 Failover, done in order)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from ..cluster.changes import outdated, promotion
from ..doors import show
from ..doors.answer import Kind
from ..doors.command import silently
from ..doors.wait import wait_until
from ..engine.action import Action, Tell
from ..errors import PgreplError, StepFailed
from ..postgres.control import ControlFile, lsn
from ..postgres.recovery import Replay
from ..steps import bystanders
from ..steps.standby import standby_action
from . import hindrances
from .hindrances import Hindrance
from .rolechange import RoleChange, Step, candidate, refuse
from .standing import STANDSTILL_SECONDS, look, standing

if TYPE_CHECKING:
    from ..cluster.topology import Topology
    from ..steps.cluster import Cluster
    from ..steps.instance import Instance

MAX_LAG = 16 * 1024 * 1024  # bytes, one WAL segment


class Switchover(RoleChange):
    """A planned change of the primary: writes stop, the chosen replica gets everything, it is promoted, the rest follows.

    to: the replica to promote. max_lag: bytes that it may be behind at the beginning.
    """

    kind = "switchover"
    TITLES: ClassVar[dict[str, str]] = {
        "prepare": "Prepare the new primary's slots and the old one's settings",
        "stop_writes": "Stop the old primary; the new one gets everything",
        "promote": "Promote the new primary",
        "follow": "Let {} follow the new primary",
        "tidy": "Drop the old slots",
    }

    def __init__(self, cluster: Cluster, to: str, max_lag: int = MAX_LAG) -> None:
        begun = self.unfinished(cluster, to)
        new = cluster.instance(begun["to"]) if begun else candidate(cluster, to)
        old = cluster.instance(begun["from"]) if begun else cluster.primary
        super().__init__(cluster, old, new)
        self.max_lag = max_lag

    def require(self) -> None:
        """Raise `StepFailed` that names everything that speaks against it; one that has begun is not asked again."""
        if self.resumed:
            return
        self._require_answer()
        hindrances.refuse(self.kind, self.new.name, list(self._hindrances()))
        self._announce()

    # --- steps ---------------------------------------------------------------------------------------------

    def _require_answer(self) -> None:
        """Of the old primary: without it, there is nothing to change over from."""
        outdated.require_none(self.cluster.engine, self.cluster.topology)
        self.cluster.require_primary()
        seen = self.old.answer()
        if seen.kind is Kind.ANSWERS:
            return
        remedy = "`pgrepl status` shows when it answers; if it stays so: `pgrepl failover`"
        reasons = [f"{self.old.name} is the primary, and {seen}"]
        refuse(self.kind, self.new.name, reasons, self.cluster.addressed(remedy))

    def _hindrances(self) -> Iterator[Hindrance]:
        seen = next(s for s in standing(self.cluster) if s.name == self.new.name)
        yield from hindrances.of_upstream(self.new, self.old)
        yield from hindrances.of_state(self.new, seen)
        yield from hindrances.of_lag(self.new, self.old, seen.replayed, self.max_lag)
        for other in self.others():
            yield from hindrances.of_streaming(other)
        yield from hindrances.of_primary(self.old)
        if self.new.answers()[0]:
            yield from hindrances.of_replica(self.new)
        yield from hindrances.of_places(self.new, self.unreached([self.old, *self.others()]))

    def _announce(self) -> None:
        """Say what the change will cost, before it."""
        for line in self.losses():
            show.markdown(f"**{line}**")

    def prepare(self, title: str = TITLES["prepare"]) -> str:
        """Step: all that can be done while writes go on."""
        with self.cluster.holding(), self._taken_back_by_cancel():
            self.require()
            self.begin()
            return self.cluster.perform(title, self._prepare_action())

    def stop_writes(self, title: str = TITLES["stop_writes"]) -> str:
        """Step: a fast shutdown sends all WAL first; then the old one is kept from ever coming up writable again.

        What does not end in time is taken back: raises `StepFailed`, and the old primary writes.
        """
        with self.cluster.holding(), self._taken_back_by_cancel():
            try:
                return self.cluster.perform(title, self._stop_action())
            except KeyboardInterrupt:
                raise
            except PgreplError as error:
                raise self._taken_back(error) from error

    def _taken_back(self, reason: PgreplError) -> StepFailed:
        """Cancel it by itself; returns what to tell, with what stands in the way now."""
        kill = self.cluster.engine.kill(self.old.name)
        if not (self.old.runs_as_primary() or kill.done()):
            kill.do(
                silently
            )  # it was told to end, and waits: when it starts again, nothing is lost
        self.cancel()
        found = list(self._hindrances())
        if hindrances.ARCHIVES in str(reason):
            found.append(hindrances.archiver(self.old))
        again = f"correct that, then: `pgrepl switchover --to {self.new.name}`"
        remedies = dict.fromkeys([*(h.remedy for h in found), self.cluster.addressed(again)])
        seen = dict.fromkeys([reason.cause, *reason.looked_at, *(h.seen for h in found)])
        cause = f"The switchover was taken back: {self.old.name} accepts writes again."
        return StepFailed(cause, looked_at=seen, remedy="; ".join(remedies))

    @contextmanager
    def _taken_back_by_cancel(self) -> Iterator[None]:
        """Before the promotion, whatever fails names the way back, too."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except PgreplError as error:
            if self.resumed and "--cancel" not in error.remedy:
                back = self.cluster.addressed("or take it back: `pgrepl switchover --cancel`")
                error.remedy = f"{error.remedy or 'run again'}; {back}"
            raise

    # --- pieces --------------------------------------------------------------------------------------------

    def steps(self, titles: dict[str, str]) -> list[Step]:
        first = [
            (titles["prepare"], self._prepare_action()),
            (titles["stop_writes"], self._stop_action()),
        ]
        return [*first, *super().steps(titles)]

    def _prepare_action(self) -> Action:
        slots = self.slots_action([self.old, *self.others()])
        place = self.cluster.engine.join(self.new.name)
        follows = standby_action(self.old, self.new, promises_on=True)

        def do(tell: Tell) -> None:
            Action.sequence([place, slots]).do(tell)
            follows.do(tell)

        commands = (*place.commands, *slots.commands, *follows.commands)
        return Action(commands, do, self._past_preparing)

    def _past_preparing(self) -> bool:
        """Whether the chosen one was told to become the primary: all was prepared before."""
        return self.promoted or promotion.ASKED in self.cluster.topology.operation

    def _stop_action(self) -> Action:
        engine = self.cluster.engine
        stop, forbid = engine.stop(self.old.name), engine.forbid_writes(self.old.name)

        def do(tell: Tell) -> None:
            self._end_old(stop, tell)
            forbid.do(tell)
            self._end_old(
                stop, tell
            )  # somebody may have started it in between; now it cannot come up writable again
            control = ControlFile.parse(engine.control_file(self.old.name))
            if not (control.cleanly_shut_down or control.was_standby):
                cause = f"{self.old.name} did not end cleanly (state {control.state})."
                raise StepFailed(cause, remedy="its log says why")
            if control.cleanly_shut_down:
                self._wait_replayed(control.checkpoint)

        return Action((*stop.commands, *forbid.commands), do, self._past_preparing)

    def _end_old(self, stop: Action, tell: Tell) -> None:
        """Stop it where it runs; a primary first gets its receiver back, or its end would not wait for what it wrote."""
        if self.cluster.engine.life(self.old.name).ended:
            return
        begin = self.cluster.engine.start(self.old.name)
        if not begin.done():  # it is paused: until the promotion it may go on
            begin.do(tell)
        self.old.wait_ready()
        if self.old.runs_as_primary():
            self.new.wait_streaming()
            bystanders.cut_off_late(self.old, self.new)
        stop.do(tell)

    def _wait_replayed(self, checkpoint: int) -> None:
        """The shutdown checkpoint is the old primary's last record: who has replayed it has everything."""

        def probe() -> tuple[bool, str]:
            seen = look(self.new)
            if seen.doing in (Replay.DELAYED, Replay.PAUSED):  # it will not come in time
                cause = f"{self.new.name} does not replay what it has: {seen}."
                raise StepFailed(cause, remedy="let it replay")
            return seen.replayed > checkpoint, f"{seen}, the last record is at {lsn(checkpoint)}"

        engine = self.cluster.engine
        wait_until(
            f"{self.new.name} to have everything",
            probe,
            seconds=STANDSTILL_SECONDS,
            progress=self.new.position,
            alive=lambda: engine.running(self.new.name),
            log=lambda: engine.log_tail(self.new.name),
        )

    def note_promoted(self, topology: Topology) -> None:
        super().note_promoted(topology)
        topology.upstreams[self.old.name] = self.new.name

    def follow_steps(self, title: str) -> list[Step]:
        moves = [(title.format(o.name), self.follow_action(o)) for o in self._moving()]
        return [(title.format(self.old.name), self._old_follows_action()), *moves]

    def _moving(self) -> list[Instance]:
        """The replicas that change from the old to the new primary, or have done so."""
        both = (self.old.name, self.new.name)
        return [o for o in self.cluster.replicas if o.name not in both and o.upstream.name in both]

    def _old_follows_action(self) -> Action:
        follows = standby_action(self.old, self.new)
        commands = (*follows.commands, *self.cluster.engine.start(self.old.name).commands)

        def do(tell: Tell) -> None:
            follows.do(tell)
            self.old.start_action().do(tell)

        def done() -> bool:
            if self.old.name in self.cluster.topology.fenced:  # it was left
                return True
            return self.promoted and self.old.start_action().done()

        return bystanders.not_needed(Action(commands, do, done), self._leave_old)

    def _leave_old(self, why: str) -> None:
        """It does not come back now: it is fenced already, and so it is recorded."""
        self.leave(self.old.name, why)
        topology = self.cluster.topology
        topology.upstreams.pop(self.old.name, None)
        topology.fenced[self.old.name] = {"snapshot": "", "successor": self.new.name}
        self.cluster.record()
