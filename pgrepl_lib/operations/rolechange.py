"""What a switchover and a failover have in common: another primary, and the rest follows it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from ..checks import slots
from ..cluster import promises, restarts
from ..cluster.changes import promotion
from ..doors import ahead, db, show
from ..engine.action import CONFIGURATION, Action, Tell
from ..engine.edit import Edit
from ..errors import ParameterError, StepFailed
from ..logins import renewal
from ..steps import bystanders
from ..steps.actions import replication_user
from ..steps.actions.copying import slot_action
from ..steps.planning import changes, only_planned
from ..steps.replicas import move_action
from ..words.text import Text, t
from . import promoting, taking_back
from .before import losses, order

if TYPE_CHECKING:
    from ..cluster.topology import Topology
    from ..steps.cluster import Cluster
    from ..steps.instance import Instance

Step = tuple[str, Action]


class RoleChange:
    """One change of the primary, step by step.

    Each step does only what is left of it, so that an interrupted change is finished by doing it
    again.
    """

    kind: str = ""
    TITLES: ClassVar[dict[str, str]] = {}  # of its steps in their order, by the method's name
    fenced = False  # whether this one has seen to it that the old primary can write no more

    def __init__(self, cluster: Cluster, old: Instance, new: Instance) -> None:
        self.cluster, self.old, self.new = cluster, old, new
        self.left: dict[str, str] = {}  # who was not needed and did not come along, and why

    @classmethod
    def unfinished(cls, cluster: Cluster, to: str) -> dict[str, str]:
        """The operation of this kind that has begun and not ended.

        Raises `StepFailed` where it is another one.
        """
        begun = cluster.topology.operation
        if begun and (begun["kind"] != cls.kind or to not in ("", begun["to"])):
            cause = t(
                "A {kind} to {name} has begun and not ended.", kind=begun["kind"], name=begun["to"]
            )
            remedy = promotion.ways_on(cluster.topology, cluster.params)
            raise StepFailed(cause, remedy=remedy)
        return begun

    @classmethod
    def under_way(cls, cluster: Cluster, kind: str) -> RoleChange:
        """The change of this kind that has begun; raises `ParameterError` where none has."""
        begun = cluster.topology.operation
        if begun.get("kind") != kind:
            remedy = cluster.addressed(t("`pgrepl status` says what is"))
            if begun:
                remedy = promotion.ways_on(cluster.topology, cluster.params)
            cause = t("No {kind} is under way; nothing was changed.", kind=kind)
            raise ParameterError(cause, remedy=remedy)
        change = RoleChange(cluster, cluster.instance(begun["from"]), cluster.instance(begun["to"]))
        change.kind = kind
        return change

    @property
    def resumed(self) -> bool:
        """Whether this goes on with one that was interrupted."""
        return bool(self.cluster.topology.operation)

    @property
    def promoted(self) -> bool:
        """Whether the new primary is recorded as such."""
        return self.cluster.topology.primary == self.new.name

    def begin(self) -> None:
        """From now on nothing else is done to the cluster until this has ended."""
        self.cluster.begin(self.kind, self.old.name, self.new.name)

    def run(self) -> None:
        """All steps."""
        with self.cluster.working():
            for step in self.TITLES:
                getattr(self, step)()

    @ahead.measured
    def plan(self) -> list[tuple[str, list[str], str]]:
        """Each step that `run` would do now: title, commands, diff."""
        with only_planned(self.cluster) as planned:
            self.run()
        return [(each.title, each.commands, each.diff) for each in changes(planned)]

    def require(self) -> None:
        """Raise `StepFailed` that names what speaks against it; nothing was changed."""

    def losses(self) -> list[str]:
        """What is lost with the old primary's role, to be said before."""
        if self.resumed:
            return []
        return losses.of(self.old, self.new)

    def title(self, step: str, **values: object) -> Text:
        """What a step does, for a person. step: its method's name. values: for the {places}."""
        return t(self.TITLES[step], **values)

    # --- the steps that both have

    def promote(self) -> str:
        """Step: from here on the new primary accepts writes."""
        order.require(self, "promote")
        return self.cluster.perform(self.title("promote"), self.promote_action())

    def cancel(self) -> str:
        """Step: before the promotion, the old primary comes back with every guarantee that it gave.

        Only it is needed. Raises `StepFailed` after the promotion, and where it does not come back.
        """
        with self.cluster.holding():
            promotion.require_none(self.cluster.engine, self.cluster.topology)
            self.begin()
            action = taking_back.action(self.old, self.new)
            outcome = self.cluster.perform(t("Take the {kind} back", kind=self.kind), action)
            self.cluster.end()
        return outcome

    def follow(self) -> None:
        """Steps: the others follow the new primary; no new copy is needed."""
        order.require(self, "follow")
        if renewal.begun(self.cluster):  # by now, they may have a password that it does not know
            told = replication_user.action(self.new)
            self.cluster.perform(t("Tell the primary the new password"), told)
        for title, action in self.follow_steps():
            self.cluster.perform(title, action)

    def tidy(self) -> str:
        """Step: the new primary's files and the slots say what is true; the change has ended."""
        order.require(self, "tidy")
        with self.cluster.holding():
            outcome = self.cluster.perform(self.title("tidy"), self.tidy_action())
            self.cluster.end()
        for name, why in self.left.items():
            way = self.way_back(name)
            show.notice(t("{name} is left behind ({why}); {way}", name=name, why=why, way=way))
        return outcome

    def way_back(self, name: str) -> str:
        """What brings one that was left behind to the new primary."""
        if name in self.cluster.topology.fenced:
            return self.cluster.addressed(t("`pgrepl rejoin {name}` brings it back", name=name))
        return self.cluster.addressed(t("`pgrepl run` lets it follow once it answers"))

    def leave(self, name: str, why: str) -> None:
        """The change goes on without this one."""
        self.left[name] = why

    def follow_steps(self) -> list[Step]:
        """A title and an action for each that has to follow the new primary."""
        return [self.follow_step(other) for other in self.others()]

    def follow_step(self, other: Instance) -> Step:
        """The same for one of them."""
        return self.title("follow", name=other.name), self.follow_action(other)

    def others(self) -> list[Instance]:
        """The replicas that follow the old primary and shall follow the new one."""
        return [
            self.cluster.instance(n)
            for n in self.cluster.topology.followers(self.old.name)
            if n != self.new.name
        ]

    def unreached(self, others: Sequence[Instance]) -> list[str]:
        """Who of these does not get through to the new primary by its name, as a reason.

        Nobody where it has no place in the network: it is given one before anything is stopped.
        Who does not run, or has none himself, is not asked.
        """
        engine, new = self.cluster.engine, self.new.name
        if not engine.join(new).done():
            return []
        asked = [o.name for o in others if engine.running(o.name) and engine.join(o.name).done()]
        return [
            t("{name} does not reach {new}", name=name, new=new)
            for name in asked
            if not engine.reaches(name, new)
        ]

    # --- their actions

    def slots_action(self, followers: list[Instance]) -> Action:
        """Slots for the future followers on the new primary.

        They are made while it is still a replica, so that they hold WAL in time.
        """
        made = [slot_action(self.new, f.slot) for f in followers]
        promise = promises.recorded_edit(self.cluster, self.new.name)
        if not promise.idle():
            made.append(restarts.edited(self.new, promise))
        return Action.sequence(made)

    def promote_action(self) -> Action:
        """`pg_promote`, and the record of who is the primary now."""

        def done() -> bool:
            return self.promoted and self.new.runs_as_primary()

        def leaves() -> None:
            if not self.promoted:
                self.note_promoted(self.cluster.topology)
                self.cluster.record()

        def do(tell: Tell) -> None:
            promoting.revive(self.new, tell)
            if self.new.in_recovery():
                self.cluster.topology.operation[promotion.ASKED] = "yes"
                self.cluster.record()
                db.row(self.new.address, promoting.PROMOTE)
                promoting.wait(self.new)
            leaves()

        return Action(promoting.commands(self.new), do, done, leaves=leaves)

    def note_promoted(self, topology: Topology) -> None:
        """Put down who is the primary from then on, and what becomes of the old one."""
        topology.promote(self.new.name)

    def outcome(self) -> Topology:
        """Who follows whom once this has ended; nothing is changed."""
        after = deepcopy(self.cluster.topology)
        if not self.promoted:
            self.note_promoted(after)
        moving = [other.name for other in self.others() if other.name not in self.left]
        after.upstreams |= dict.fromkeys(moving, self.new.name)
        return after

    def follow_action(self, other: Instance) -> Action:
        """A replica of the old primary follows the new one; a stopped one does once it starts."""
        return self.without_need(other, move_action(other, self.new))

    def without_need(self, other: Instance, move: Action) -> Action:
        """The same for one that is left if it does not come along; `pgrepl run` does it later."""
        engine, name = self.cluster.engine, other.name

        def do(tell: Tell) -> None:
            move.do(tell)
            if not engine.running(name):
                self.leave(name, engine.life(name).told)

        return bystanders.not_needed(replace(move, do=do), partial(self.leave, name))

    def tidy_action(self) -> Action:
        """All that is left to do: settings, and every slot that nobody uses then."""
        return Action.sequence([self._settle_action(), slots.drops(self.cluster, self.outcome())])

    def _settle_action(self) -> Action:
        """The new primary's file names no upstream any more; its control file has the new timeline.

        Without that checkpoint, `pg_rewind` up to 15 takes it for a server of the old timeline.
        """
        edit = Edit(self.cluster.folder, f"{self.new.name}/{CONFIGURATION[0]}", {"standby": None})

        def do(tell: Tell) -> None:
            edit.write()
            restarts.take_over(self.new)
            db.checkpoint(self.new.address)

        checkpoint = self.cluster.engine.client(self.new.name, "psql", "-c", "checkpoint;")
        return Action((edit, checkpoint), do)
