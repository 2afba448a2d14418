"""Failover: the primary is lost.

It is fenced first, and then the most advanced replica takes its place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import pandas

from ..cluster import promises, restarts
from ..cluster.changes import left, outdated, promotion
from ..doors import ahead, db, show
from ..doors.answer import Answer, Kind
from ..doors.program import silently
from ..engine.action import Action, Tell
from ..postgres.recovery import Replay
from ..steps.actions.standby import standby_action
from ..steps.replicas import move_action
from ..words.text import Text, joined, mark, t
from . import fencing, promoting
from .before import order
from .choosing import answer_of, choice_is_open, chosen, earlier
from .hindrances import refuse
from .rejoin.partial import let_follow
from .rolechange import RoleChange
from .standing import Standing, line, look, settled, wait_promotable

if TYPE_CHECKING:
    from ..cluster.topology import Topology
    from ..steps.cluster import Cluster
    from ..steps.instance import Instance


UNDECIDED = mark("which replica that is, and who follows it, how far each is then decides")
NOTHING_SEEN = "3:3:"  # the snapshot before the first transaction, where another is unknown


class Failover(RoleChange):
    """An unplanned change of the primary.

    to: the replica to promote instead of the most advanced one; refused where another one has more.
    force: also while the primary lives, even if it only refuses us; it is then killed. With `to`
    also a replica on a branch that the cluster left.
    """

    kind = "failover"
    TITLES: ClassVar[dict[str, str]] = {
        "fence": mark("Fence the old primary"),
        "promote": mark("Promote the most advanced replica"),
        "follow": mark("Let {name} follow the new primary"),
        "tidy": mark("Leave no trace of the old primary in the new one's settings"),
    }

    def __init__(self, cluster: Cluster, to: str = "", force: bool = False) -> None:
        begun = self.unfinished(cluster, to)
        self.force = force
        self.seen: list[Standing] = []
        self.real = ""  # who is the primary already, although it is not recorded as such
        self.undecided = t(UNDECIDED) if ahead.uncertain() else ""
        if not begun:
            self.real = outdated.writer(cluster.engine, cluster.topology)
            self._settle_roles(cluster, to)
            self.seen = settled(cluster)
        super().__init__(cluster, *self._both(cluster, begun, to))

    @classmethod
    def unfinished(cls, cluster: Cluster, to: str) -> dict[str, str]:
        """As for every change; but another may be chosen where the one that was cannot be it."""
        begun = cluster.topology.operation
        if begun and choice_is_open(cluster, begun, to):
            return {}
        return super().unfinished(cluster, to)

    def _both(self, cluster: Cluster, begun: dict[str, str], to: str) -> tuple[Instance, Instance]:
        """The old and the new primary. begun: of an interrupted change, which goes on."""
        if begun:
            return cluster.instance(begun["from"]), cluster.instance(begun["to"])
        if self.real:
            return cluster.primary, cluster.instance(to)
        return cluster.primary, chosen(cluster, self.seen, to, force=self.force)

    @property
    def gives_up(self) -> str:
        """What had begun and chose another primary; empty where nothing did."""
        begun = self.cluster.topology.operation
        if begun.get("to", self.new.name) == self.new.name:
            return ""
        return t("the {kind} to {name} is given up", kind=begun["kind"], name=begun["to"])

    def told(self) -> Text:
        """What is about to be done, and lost."""
        change = t(
            "failover: the primary changes from {old} to {new}",
            old=self.old.name,
            new=self.new.name,
        )
        return joined("; ", filter(None, [self.gives_up, change, self._loss()]))

    def _loss(self) -> Text:
        """What becomes of the old primary, and of what it alone has."""
        if not self.real:
            lost = mark("{old} is fenced, and what only {old} has is no longer in the cluster")
            return t(lost, old=self.old.name)
        return t(
            "{real} is it already; {old} is fenced, and what only {old} has is not in the cluster",
            real=self.real,
            old=self.old.name,
        )

    @ahead.measured
    def choice(self) -> pandas.DataFrame:
        """How far every replica is, the most advanced first, and which one was chosen."""
        marks = {self.new.name: "✔"}
        columns = ("name", "state", "received", "replayed")
        rows = [{column: getattr(seen, column) for column in columns} for seen in self.seen]
        return pandas.DataFrame({**row, "chosen": marks.get(row["name"], "")} for row in rows)

    @ahead.judged_now
    def require(self) -> None:
        """Raise `StepFailed` while the primary lives, unless force was given; nothing was changed.

        Who refuses us, starts or shuts down lives. One that hangs is killed, as one that is dead.
        """
        if self.resumed:
            return
        order.require_current(self)
        if not self.force:
            self._require_reached()
            self._require_lost()
        self._refuse_another_writer()
        if not self.force:
            self._require_line()

    def _require_reached(self) -> None:
        """Who none of the others reaches cannot be followed."""
        others = self.others()
        if others and len(unreached := self.unreached(others)) == len(others):
            way = mark("choose another one; or: `pgrepl failover --to {name} --force`")
            remedy = self.cluster.addressed(t(way, name=self.new.name))
            refuse(self.kind, self.new.name, unreached, remedy)

    def _require_lost(self) -> None:
        seen = self.lost()
        if not seen.lives and seen.kind is not Kind.UNKNOWN:
            return
        new = self.new.name
        way = t("`pgrepl switchover --to {name}` loses nothing", name=new)
        if seen.kind is not Kind.ANSWERS:
            way = t("`pgrepl status` shows when it answers again")
        by_force = mark("to kill it all the same: `pgrepl failover --to {name} --force`")
        reason = t("{name} is the primary, and {seen}", name=self.old.name, seen=seen.told)
        remedy = self.cluster.addressed(joined("; ", [way, t(by_force, name=new)]))
        refuse(self.kind, new, [reason], remedy)

    def lost(self) -> Answer:
        """What the old primary says, which gets time for it; nothing where it does not run."""
        return answer_of(self.old)

    def _require_line(self) -> None:
        """A replica that never came to the lost primary's timeline lacks all of it."""
        mine = next(s for s in self.seen if s.name == self.new.name)
        here, primary = mine.branch.timeline, line(self.cluster)
        if here >= primary:
            return
        reason = t(
            "{new} is on timeline {here}, {old} was on {there}",
            new=self.new.name,
            here=here,
            old=self.old.name,
            there=primary,
        )
        remedy = t(
            "start a replica that followed it, or the primary: `pgrepl run`; to lose what was "
            "written since: `pgrepl failover --to {name} --force`",
            name=self.new.name,
        )
        refuse(self.kind, self.new.name, [reason], self.cluster.addressed(remedy))

    def _refuse_another_writer(self) -> None:
        """Two would write where a replica was promoted, by hand or under a newer `cluster.json`."""
        writing = [s.name for s in self.seen if s.state == Replay.ENDED and s.name != self.new.name]
        if not writing:
            return
        remedy = t(
            "cluster.json is not the newest one: put that back; or somebody promoted it, then: "
            "`pgrepl failover --to {name} --force`",
            name=writing[0],
        )
        reasons = [t("{name} accepts writes", name=name) for name in writing]
        refuse(self.kind, self.new.name, reasons, self.cluster.addressed(remedy))

    # --- the steps

    def fence(self) -> str:
        """Step: it is dead; however it is started again, it comes up in recovery, read only."""
        with self.cluster.holding():
            self.require()
            if self.gives_up:
                promotion.give_up(self.cluster.engine, self.cluster.topology, silently)
            self.begin()
            outcome = self.cluster.perform(self.title("fence"), fencing.action(self.old, self.new))
            self.fenced = True
            return outcome

    def promote(self) -> str:
        """Step: as for every change of roles.

        Who has most is known for sure only now that the old primary is fenced.
        """
        order.require(self, "promote")
        self._choose_again()
        return super().promote()

    # --- their pieces

    def _settle_roles(self, cluster: Cluster, to: str) -> None:
        """Raise `StepFailed` where another is the primary already, unless it is to be recorded."""
        if self.real and not (to == self.real and self.force):
            raise outdated.refusal(cluster.params, cluster.topology, self.real)
        outdated.adopt(cluster.topology, self.real)
        promises.keep(cluster, self.real or cluster.topology.primary)

    @ahead.judged_now
    def _choose_again(self) -> None:
        """Another replica, where it turns out to have more than the chosen or asked-for one."""
        if self.promoted or promotion.ASKED in self.cluster.topology.operation:
            return
        self.seen = settled(self.cluster, ended=self.old.name)
        mine = next(s for s in self.seen if s.name == self.new.name)
        more = [s.name for s in self.seen if s.has_more_than(mine)]
        if more:
            facts = {"instance": more[0], "instead_of": self.new.name}
            self.cluster.journal.record("choice", chapter=self.cluster.chapter, **facts)
            self.new = self.cluster.instance(more[0])
            self.begin()

    def promote_action(self) -> Action:
        """Slots for the others first, and everything received is replayed."""
        slots, promote = self.slots_action(self.others()), super().promote_action()

        def do(tell: Tell) -> None:
            promoting.revive(self.new, tell)
            if self.new.in_recovery():
                restarts.resume(self.new)  # a paused replica would never get there
                slots.do(tell)
                wait_promotable(self.new)
                self._note_last_seen()
            elif not slots.done():  # somebody promoted it
                slots.do(tell)
            promote.do(tell)

        commands = (*slots.commands, *promote.commands)
        return replace(promote, commands=commands, do=do, undecided=self.undecided)

    def follow_action(self, other: Instance) -> Action:
        """As for every change of roles, also where it has a part of a record of the old one's."""
        move = move_action(other, self.new)

        def do(tell: Tell) -> None:
            if not self.cluster.engine.running(other.name) or not other.answers()[0]:
                move.do(tell)
                return
            if why := left.why(self.cluster.engine, other.name, self.new.name):
                self._leave(other, why)
                return
            let_follow(other, look(other), self.new, lambda: move.do(tell))

        return self.without_need(other, replace(move, do=do))

    def _leave(self, other: Instance, why: str) -> None:
        """It cannot follow, and is not waited for; its data stay as they are."""
        standby_action(other, self.new).do(silently)
        self.cluster.topology.upstreams[other.name] = self.new.name
        self.cluster.record()
        way = left.remedy(self.cluster.engine, other.name)
        show.notice(t("{name} does not follow: {why}; {way}", name=other.name, why=why, way=way))

    def _note_last_seen(self) -> None:
        """Which transactions the new primary has: later ones are lost with the old one."""
        seen = db.row(self.new.address, "select pg_current_snapshot()::text as snapshot")
        self.cluster.topology.operation["seen"] = seen["snapshot"]
        self.cluster.record()

    def note_promoted(self, topology: Topology) -> None:
        super().note_promoted(topology)
        fenced = topology.fenced
        seen = topology.operation.get("seen", NOTHING_SEEN)
        for facts in fenced.values():
            if facts.get("successor") == self.old.name:  # what that one had may be lost with it
                facts["snapshot"] = earlier(facts["snapshot"], seen)
        fenced[self.old.name] = {"snapshot": seen, "successor": self.new.name}

    def others(self) -> list[Instance]:
        """All that follow no other replica: also whom an unfinished change has not moved."""
        upstreams = self.cluster.topology.upstreams
        names = [n for n in self.cluster.topology.replicas if upstreams[n] not in upstreams]
        return [self.cluster.instance(n) for n in names if n != self.new.name]
