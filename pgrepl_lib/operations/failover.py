"""Failover: the primary is lost; it is fenced first, and then the most advanced replica takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pandas

from ..cluster import promises, restarts
from ..cluster.changes import left, outdated, promotion
from ..doors import db, show
from ..doors.answer import Answer, Kind
from ..doors.command import silently
from ..engine.action import CONFIGURATION, NOTHING, Action, Tell
from ..engine.edit import Edit
from ..errors import StepFailed
from ..postgres import conf
from ..postgres.conf import FENCE
from ..postgres.recovery import Replay
from ..steps.replicas import move_action
from ..steps.standby import standby_action
from .choosing import answer_of, can_start, choice_is_open, earlier, more
from .rejoin.partial import let_follow
from .rolechange import RoleChange, Step, candidate, refuse
from .standing import Standing, line, look, settled, wait_promotable

if TYPE_CHECKING:
    from ..cluster.topology import Topology
    from ..steps.cluster import Cluster
    from ..steps.instance import Instance


NOTHING_SEEN = "3:3:"  # the snapshot before the first transaction, where another is unknown


class Failover(RoleChange):
    """An unplanned change of the primary.

    to: the replica to promote instead of the most advanced one; refused where another one has more.
    force: also while the primary lives, be it that it only refuses us; it is then killed. With `to`
    also a replica on a branch that the cluster left.
    """

    kind = "failover"
    TITLES: ClassVar[dict[str, str]] = {
        "fence": "Fence the old primary",
        "promote": "Promote the most advanced replica",
        "follow": "Let {} follow the new primary",
        "tidy": "Leave no trace of the old primary in the new one's settings",
    }

    def __init__(self, cluster: Cluster, to: str = "", force: bool = False) -> None:
        begun = self.unfinished(cluster, to)
        self.force = force
        self.seen: list[Standing] = []
        self.real = ""  # who is the primary already, although it is not recorded as such
        if not begun:
            self.real = outdated.writer(cluster.engine, cluster.topology)
            self._settle_roles(cluster, to)
            self.seen = settled(cluster)
        old = cluster.instance(begun["from"]) if begun else cluster.primary
        super().__init__(
            cluster, old, cluster.instance(begun["to"]) if begun else self._chosen(cluster, to)
        )

    @classmethod
    def unfinished(cls, cluster: Cluster, to: str) -> dict[str, str]:
        """As for every change; but another may be chosen where the one that was cannot be it."""
        begun = cluster.topology.operation
        if begun and choice_is_open(cluster, begun, to):
            return {}
        return super().unfinished(cluster, to)

    @property
    def gives_up(self) -> str:
        """What had begun and chose another primary; empty where nothing did."""
        begun = self.cluster.topology.operation
        if begun.get("to", self.new.name) == self.new.name:
            return ""
        return f"the {begun['kind']} to {begun['to']} is given up"

    def told(self) -> str:
        """What is about to be done, and lost."""
        old = self.old.name
        lost = f"{old} is fenced, and what only {old} has is no longer in the cluster"
        if self.real:
            lost = f"{self.real} is it already; {old} is fenced, and what only {old} has is not in the cluster"
        change = f"failover: the primary changes from {old} to {self.new.name}"
        return "; ".join(filter(None, [self.gives_up, change, lost]))

    def choice(self) -> pandas.DataFrame:
        """Every replica's received and replayed position, the most advanced first; shows why which one was chosen."""
        rows = [
            {
                "name": s.name,
                "state": s.state,
                "received": s.received,
                "replayed": s.replayed,
                "chosen": "✔" if s.name == self.new.name else "",
            }
            for s in self.seen
        ]
        return pandas.DataFrame(rows)

    def require(self) -> None:
        """Raise `StepFailed` while the primary lives, unless force was given; nothing was changed.

        Who refuses us, starts or shuts down lives. One that hangs is killed, as one that is dead.
        """
        if self.resumed:
            return
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
            remedy = f"choose another one; or: `pgrepl failover --to {self.new.name} --force`"
            refuse(self.kind, self.new.name, unreached, self.cluster.addressed(remedy))

    def _require_lost(self) -> None:
        seen = self.lost()
        if not seen.lives and seen.kind is not Kind.UNKNOWN:
            return
        begin = f"`pgrepl switchover --to {self.new.name}` loses nothing"
        if seen.kind is not Kind.ANSWERS:
            begin = "`pgrepl status` shows when it answers again"
        by_force = f"to kill it all the same: `pgrepl failover --to {self.new.name} --force`"
        reasons = [f"{self.old.name} is the primary, and {seen}"]
        refuse(self.kind, self.new.name, reasons, self.cluster.addressed(f"{begin}; {by_force}"))

    def lost(self) -> Answer:
        """What the old primary says, which gets time for it; nothing where it does not run."""
        return answer_of(self.old)

    def _require_line(self) -> None:
        """A replica that never came to the lost primary's timeline lacks all of it."""
        mine = next(s for s in self.seen if s.name == self.new.name)
        here, primary = mine.branch.timeline, line(self.cluster)
        if here >= primary:
            return
        reasons = [f"{self.new.name} is on timeline {here}, {self.old.name} was on {primary}"]
        remedy = (
            "start a replica that followed it, or the primary: `pgrepl run`; to lose what was "
            f"written since: `pgrepl failover --to {self.new.name} --force`"
        )
        refuse(self.kind, self.new.name, reasons, self.cluster.addressed(remedy))

    def _refuse_another_writer(self) -> None:
        """Two would write where a replica was promoted, by hand or under a newer `cluster.json`."""
        writing = [s.name for s in self.seen if s.state == Replay.ENDED and s.name != self.new.name]
        if not writing:
            return
        remedy = (
            "cluster.json is not the newest one: put that back; or somebody promoted it, then: "
            f"`pgrepl failover --to {writing[0]} --force`"
        )
        reasons = [f"{name} accepts writes" for name in writing]
        refuse(self.kind, self.new.name, reasons, self.cluster.addressed(remedy))

    # --- steps ---------------------------------------------------------------------------------------------

    def fence(self, title: str = TITLES["fence"]) -> str:
        """Step: it is dead, and however it is started again, it comes up in recovery and refuses writes."""
        with self.cluster.holding():
            self.require()
            if self.gives_up:
                promotion.give_up(self.cluster.engine, self.cluster.topology, silently)
            self.begin()
            return self.cluster.perform(title, self._fence_action())

    def promote(self, title: str = "") -> str:
        """Step: as for every change of roles; who has most is known for sure only once the old primary is fenced."""
        self._choose_again()
        return super().promote(title)

    def steps(self, titles: dict[str, str]) -> list[Step]:
        return [(titles["fence"], self._fence_action()), *super().steps(titles)]

    # --- pieces --------------------------------------------------------------------------------------------

    def _settle_roles(self, cluster: Cluster, to: str) -> None:
        """Raise `StepFailed` where another is the primary already, unless it is to be recorded."""
        if self.real and not (to == self.real and self.force):
            raise outdated.refusal(cluster.params, cluster.topology, self.real)
        outdated.adopt(cluster.topology, self.real)
        promises.keep(cluster, self.real or cluster.topology.primary)

    def _chosen(self, cluster: Cluster, to: str) -> Instance:
        if self.real:
            return cluster.instance(to)
        alive = [s for s in self.seen if s.runs]
        forced = to and self.force and not alive
        if cluster.topology.operation or forced:  # it may have stopped one itself
            alive += [s for s in self.seen if can_start(cluster, s)]
        if to:
            wanted = candidate(cluster, to)
            mine = next(s for s in self.seen if s.name == to)
            able = mine in alive or (self.force and (mine.left or mine.state == Replay.ENDED))
            reasons = [] if able else [f"{to}: {mine.state}"]
            reasons += [more(s, mine) for s in alive if s.has_more_than(mine)]
            ahead = [
                f"choose the most advanced one: `pgrepl failover --to {s.name}`" for s in alive
            ]
            remedy = cluster.addressed((ahead or ["`pgrepl status` says who is there"])[0])
            refuse(self.kind, to, reasons, remedy)
            return wanted
        if not alive:
            self._refuse_nobody(cluster)
        return cluster.instance(alive[0].name)

    def _refuse_nobody(self, cluster: Cluster) -> None:
        states = [f"{s.name}: {s.state}" for s in self.seen]
        remedy = "start a replica, or the primary: `pgrepl run`"
        if left := [s.name for s in self.seen if s.left]:
            remedy += f"; to lose all since then: `pgrepl failover --to {left[0]} --force`"
        elif stand := [s.name for s in self.seen if can_start(cluster, s)]:
            remedy += f"; with what it had: `pgrepl failover --to {stand[0]} --force` starts it"
        remedy = cluster.addressed(remedy)
        if cluster.topology.operation:
            remedy = promotion.ways_on(cluster.topology, cluster.params)
        cause = "No replica can take over; nothing was changed."
        raise StepFailed(cause, looked_at=states, remedy=remedy)

    def _choose_again(self) -> None:
        """Another replica, where it turns out to have more than the chosen one, also than one that was asked for."""
        if self.promoted or promotion.ASKED in self.cluster.topology.operation:
            return
        self.seen = settled(self.cluster, ended=self.old.name)
        mine = next(s for s in self.seen if s.name == self.new.name)
        ahead = [s.name for s in self.seen if s.has_more_than(mine)]
        if ahead:
            facts = {"instance": ahead[0], "instead_of": self.new.name}
            self.cluster.journal.record("choice", chapter=self.cluster.chapter, **facts)
            self.new = self.cluster.instance(ahead[0])
            self.begin()

    def _fence_action(self) -> Action:
        engine, name = self.cluster.engine, self.old.name
        kill, forbid, reject = engine.kill(name), engine.forbid_writes(name), self._reject_action()
        place = engine.join(self.new.name)

        def do(tell: Tell) -> None:
            if not place.done():
                place.do(tell)
            kill.do(tell)  # also one that is paused, or whose postmaster alone is dead
            if not forbid.done():
                forbid.do(tell)
            kill.do(tell)  # somebody may have started it in between
            reject.do(tell)

        def done() -> bool:
            return kill.done() and forbid.done() and reject.done()

        kills = () if kill.done() else kill.commands
        commands = (*place.commands, *kills, *forbid.commands, *reject.commands)
        return Action(commands, do, done)

    def _reject_action(self) -> Action:
        """Nor may a replica that still follows it receive what the new primary does not have."""
        user, network = self.cluster.params.replication_user, self.cluster.engine.rule_network()
        lines = conf.hba_lines(user, network, "reject")
        edit = Edit(self.cluster.folder, f"{self.old.name}/{CONFIGURATION[1]}", {FENCE: lines})
        if not edit.path.exists():  # without it, nothing starts with these rules
            return NOTHING
        return Action((edit,), lambda tell: edit.write(), edit.done)

    def promote_action(self) -> Action:
        """Slots for the others first, and everything received is replayed."""
        slots, promote = self.slots_action(self.others()), super().promote_action()

        def do(tell: Tell) -> None:
            self.revive(tell)
            if self.new.in_recovery():
                restarts.resume(self.new)  # a paused replica would never get there
                slots.do(tell)
                wait_promotable(self.new)
                self._note_last_seen()
            elif not slots.done():  # somebody promoted it
                slots.do(tell)
            promote.do(tell)

        return Action((*slots.commands, *promote.commands), do, promote.done)

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

        return self.without_need(other, Action(move.commands, do, move.done))

    def _leave(self, other: Instance, why: str) -> None:
        """It cannot follow, and is not waited for; its data stay as they are."""
        standby_action(other, self.new).do(silently)
        self.cluster.topology.upstreams[other.name] = self.new.name
        self.cluster.record()
        way = left.remedy(self.cluster.engine, other.name)
        show.notice(f"{other.name} does not follow: {why}; {way}")

    def _note_last_seen(self) -> None:
        """Which transactions the new primary has: what the old one committed beyond them is lost with it."""
        seen = db.row(self.new.address, "select pg_current_snapshot()::text as snapshot")[
            "snapshot"
        ]
        self.cluster.topology.operation["seen"] = seen
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
