"""Switchover: change the primary on purpose, without losing anything.

It is a failover done in order (manual, 27.3 Failover).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from ..cluster import identity
from ..cluster.changes import outdated, promotion
from ..cluster.dropping import drop_originals
from ..doors import ahead, show
from ..doors.answer import Kind
from ..doors.program import silently
from ..doors.wait import wait_until
from ..engine.action import Action, Tell
from ..errors import PgreplError, StepFailed
from ..postgres.control import ControlFile, lsn
from ..postgres.recovery import Replay
from ..steps import bystanders
from ..steps.actions.standby import standby_action
from ..steps.actions.starting import start_action
from ..words.text import joined, mark, t
from . import hindrances, promoting
from .before import order
from .choosing import candidate
from .hindrances import Hindrance, refuse, refuse_all
from .rolechange import RoleChange, Step
from .standing import STANDSTILL_SECONDS, look, standing

if TYPE_CHECKING:
    from ..cluster.topology import Topology
    from ..steps.cluster import Cluster
    from ..steps.instance import Instance

MAX_LAG = 16 * 1024 * 1024  # bytes, one WAL segment


class Switchover(RoleChange):
    """A planned change of the primary.

    Writes stop, the chosen replica gets everything, it is promoted, and the rest follows it.
    to: the replica to promote. max_lag: bytes that it may be behind at the beginning.
    """

    kind = "switchover"
    TITLES: ClassVar[dict[str, str]] = {
        "prepare": mark("Prepare the new primary's slots and the old one's settings"),
        "stop_writes": mark("Stop the old primary; the new one gets everything"),
        "promote": mark("Promote the new primary"),
        "follow": mark("Let {name} follow the new primary"),
        "tidy": mark("Drop the slots that nobody uses any more"),
    }

    def __init__(self, cluster: Cluster, to: str, max_lag: int = MAX_LAG) -> None:
        if begun := self.unfinished(cluster, to):
            old, new = cluster.instance(begun["from"]), cluster.instance(begun["to"])
        else:
            old, new = cluster.primary, candidate(cluster, to)
        super().__init__(cluster, old, new)
        self.max_lag = max_lag

    @ahead.judged_now
    def require(self) -> None:
        """Raise `StepFailed` that names everything that speaks against it.

        One that has begun is not asked again.
        """
        if self.resumed:
            return
        order.require_current(self)
        self._require_answer()
        refuse_all(self.kind, self.new.name, list(self._hindrances()))
        self._announce()

    def _require_answer(self) -> None:
        """Of the old primary: without it, there is nothing to change over from."""
        outdated.require_none(self.cluster.engine, self.cluster.topology)
        self.cluster.require_primary()
        seen = self.old.answer()
        if seen.kind is Kind.ANSWERS:
            return
        remedy = t("`pgrepl status` shows when it answers; if it stays so: `pgrepl failover`")
        reason = t("{name} is the primary, and {seen}", name=self.old.name, seen=seen.told)
        refuse(self.kind, self.new.name, [reason], self.cluster.addressed(remedy))

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

    # --- the steps

    def prepare(self) -> str:
        """Step: all that can be done while writes go on."""
        with self.cluster.holding(), self._taken_back_by_cancel():
            self.require()
            self.begin()
            return self.cluster.perform(self.title("prepare"), self._prepare_action())

    def stop_writes(self) -> str:
        """Step: a fast shutdown sends all WAL; then the old one can never come up writable again.

        What does not end in time is taken back: raises `StepFailed`, and the old primary writes.
        """
        order.require(self, "stop_writes")
        with self.cluster.holding(), self._taken_back_by_cancel():
            try:
                outcome = self.cluster.perform(self.title("stop_writes"), self._stop_action())
                self.fenced = True
                return outcome
            except KeyboardInterrupt:
                raise
            except PgreplError as error:
                raise self._taken_back(error) from error

    def _taken_back(self, reason: PgreplError) -> StepFailed:
        """Cancel it by itself; returns what to tell, with what stands in the way now."""
        kill = self.cluster.engine.kill(self.old.name)
        if not (self.old.runs_as_primary() or kill.done()):
            # It was told to end, and waits; when it starts again, nothing is lost.
            kill.do(silently)
        self.cancel()
        found = list(self._hindrances())
        if hindrances.ARCHIVES in str(reason):
            found.append(hindrances.archiver(self.old))
        again = t("correct that, then: `pgrepl switchover --to {name}`", name=self.new.name)
        remedies = dict.fromkeys([*(h.remedy for h in found), self.cluster.addressed(again)])
        seen = dict.fromkeys([reason.cause, *reason.looked_at, *(h.seen for h in found)])
        cause = mark("The switchover was taken back: {name} accepts writes again.")
        return StepFailed(
            t(cause, name=self.old.name), looked_at=seen, remedy=joined("; ", remedies)
        )

    @contextmanager
    def _taken_back_by_cancel(self) -> Iterator[None]:
        """Before the promotion, whatever fails names the way back, too."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except PgreplError as error:
            if self.resumed and "--cancel" not in error.remedy:
                back = self.cluster.addressed(t("or take it back: `pgrepl switchover --cancel`"))
                error.remedy = joined("; ", [error.remedy or t("run again"), back])
            raise

    # --- their pieces

    def _prepare_action(self) -> Action:
        slots = self.slots_action([self.old, *self.others()])
        engine = self.cluster.engine
        place = engine.join(self.new.name)
        follows = standby_action(self.old, self.new, promises_on=True)

        def do(tell: Tell) -> None:
            identity.require_own_data(engine, self.cluster.topology, self.old.name)
            promoting.revive(self.new, tell)  # it may have died since this began
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
            # Somebody may have started it in between; now it cannot come up writable again.
            self._end_old(stop, tell)
            control = ControlFile.parse(engine.control_file(self.old.name))
            if not (control.cleanly_shut_down or control.was_standby):
                cause = mark("{name} did not end cleanly (state {state}).")
                why = t(cause, name=self.old.name, state=control.state)
                raise StepFailed(why, remedy=t("its log says why"))
            if control.cleanly_shut_down:
                self._wait_replayed(control.checkpoint)

        return Action((*stop.commands, *forbid.commands), do, self._past_preparing)

    def _end_old(self, stop: Action, tell: Tell) -> None:
        """Stop it where it runs.

        A primary first gets its receiver back: else its end would not wait for what it wrote.
        """
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
        """Wait until the new one has the shutdown checkpoint, the old primary's last record."""
        engine, name = self.cluster.engine, self.new.name

        def probe() -> tuple[bool, str]:
            seen = look(self.new)
            if seen.doing in (Replay.DELAYED, Replay.PAUSED):  # it will not come in time
                cause = t("{name} does not replay what it has: {seen}.", name=name, seen=seen.told)
                raise StepFailed(cause, remedy=t("let it replay"))
            last = t("{seen}, the last record is at {lsn}", seen=seen.told, lsn=lsn(checkpoint))
            return seen.replayed > checkpoint, last

        wait_until(
            t("{name} to have everything", name=name),
            probe,
            seconds=STANDSTILL_SECONDS,
            progress=self.new.position,
            alive=partial(engine.running, name),
            log=partial(engine.log_tail, name),
        )

    def note_promoted(self, topology: Topology) -> None:
        super().note_promoted(topology)
        topology.upstreams[self.old.name] = self.new.name

    def follow_steps(self) -> list[Step]:
        title = self.title("follow", name=self.old.name)
        return [(title, self._old_follows_action()), *map(self.follow_step, self._moving())]

    def _moving(self) -> list[Instance]:
        """The replicas that change from the old to the new primary, or have done so."""
        both = (self.old.name, self.new.name)
        return [o for o in self.cluster.replicas if o.name not in both and o.upstream.name in both]

    def _old_follows_action(self) -> Action:
        follows = standby_action(self.old, self.new)
        commands = (*follows.commands, *self.cluster.engine.start(self.old.name).commands)

        def do(tell: Tell) -> None:
            follows.do(tell)
            start_action(self.old).do(tell)
            drop_originals(self.old)

        def done() -> bool:
            if self.old.name in self.cluster.topology.fenced:  # it was left
                return True
            return self.promoted and start_action(self.old).done()

        return bystanders.not_needed(Action(commands, do, done), self._leave_old)

    def _leave_old(self, why: str) -> None:
        """It does not come back now: it is fenced already, and so it is recorded."""
        self.leave(self.old.name, why)
        topology = self.cluster.topology
        topology.upstreams.pop(self.old.name, None)
        topology.fenced[self.old.name] = {"snapshot": "", "successor": self.new.name}
        self.cluster.record()
