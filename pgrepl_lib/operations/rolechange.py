"""What a switchover and a failover have in common: another instance becomes the primary, and the rest follows it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from ..checks import slots
from ..cluster import promises, restarts
from ..cluster.changes import promotion
from ..doors import db, files, show
from ..doors.answer import DECISION_SECONDS, Kind
from ..doors.wait import wait_until
from ..engine.action import CONFIGURATION, Action, Shown, Tell
from ..engine.edit import Edit
from ..errors import ParameterError, PgreplError, StepFailed
from ..steps import bystanders
from ..steps.replicas import move_action
from . import taking_back

if TYPE_CHECKING:
    from ..cluster.topology import Topology
    from ..steps.cluster import Cluster
    from ..steps.instance import Instance

PROMOTE_SECONDS = 60
Step = tuple[str, Action]


class RoleChange:
    """One change of the primary, step by step; every step converges, so an interrupted one is finished by doing it again."""

    kind: str = ""
    TITLES: ClassVar[dict[str, str]] = {}  # its steps in their order, each a method

    def __init__(self, cluster: Cluster, old: Instance, new: Instance) -> None:
        self.cluster, self.old, self.new = cluster, old, new
        self.left: dict[str, str] = {}  # who was not needed and did not come along, and why

    @classmethod
    def unfinished(cls, cluster: Cluster, to: str) -> dict[str, str]:
        """The operation of this kind that has begun and not ended; raises `StepFailed` where it is another one."""
        begun = cluster.topology.operation
        if begun and (begun["kind"] != cls.kind or to not in ("", begun["to"])):
            remedy = promotion.ways_on(cluster.topology, cluster.params)
            cause = f"A {begun['kind']} to {begun['to']} has begun and not ended."
            raise StepFailed(cause, remedy=remedy)
        return begun

    @classmethod
    def under_way(cls, cluster: Cluster, kind: str) -> RoleChange:
        """The change of this kind that has begun; raises `ParameterError` where none has."""
        begun = cluster.topology.operation
        if begun.get("kind") != kind:
            remedy = cluster.addressed("`pgrepl status` says what is")
            if begun:
                remedy = promotion.ways_on(cluster.topology, cluster.params)
            raise ParameterError(f"No {kind} is under way; nothing was changed.", remedy=remedy)
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

    def run(self, **titles: str) -> None:
        """All steps. titles: those of the steps, by the method's name, in the reader's language."""
        with self.cluster.working():
            for step, title in self._titles(titles).items():
                getattr(self, step)(title)

    def plan(self, **titles: str) -> list[tuple[str, tuple[Shown, ...], str]]:
        """Each step that `run` would do now: title, commands, diff. titles: as in `run`."""
        self.require()
        planned = []
        with files.looking_ahead():
            for title, action in self.steps(self._titles(titles)):
                planned.append((title, action.pending(), action.diff()))
                for edit in action.edits:
                    edit.foresee()
        return planned

    def require(self) -> None:
        """Raise `StepFailed` that names what speaks against it; nothing was changed."""

    def losses(self) -> list[str]:
        """What is lost with the old primary's role, to be said before."""
        return [] if self.resumed else slots.lost_with(self.old, self.new)

    def steps(self, titles: dict[str, str]) -> list[Step]:
        """Every step's title and action, in order."""
        moves = self.follow_steps(titles["follow"])
        return [
            (titles["promote"], self.promote_action()),
            *moves,
            (titles["tidy"], self.tidy_action()),
        ]

    def _titles(self, given: dict[str, str]) -> dict[str, str]:
        if unknown := given.keys() - self.TITLES.keys():
            raise TypeError(
                f"no step {', '.join(sorted(unknown))}; the steps are {', '.join(self.TITLES)}"
            )
        return {**self.TITLES, **given}

    # --- steps that both have ------------------------------------------------------------------------------

    def promote(self, title: str = "") -> str:
        """Step: from here on the new primary accepts writes."""
        return self.cluster.perform(title or self.TITLES["promote"], self.promote_action())

    def cancel(self, title: str = "") -> str:
        """Step: before the promotion, the old primary comes back with every guarantee that it gave.

        Only it is needed. Raises `StepFailed` after the promotion, and where it does not come back.
        """
        with self.cluster.holding():
            promotion.require_none(self.cluster.engine, self.cluster.topology)
            self.begin()
            action = taking_back.action(self.old, self.new)
            outcome = self.cluster.perform(title or f"Take the {self.kind} back", action)
            self.cluster.end()
        return outcome

    def follow(self, title: str = "") -> list[str]:
        """Steps: the others follow the new primary; no new copy is needed."""
        return [
            self.cluster.perform(t, a) for t, a in self.follow_steps(title or self.TITLES["follow"])
        ]

    def tidy(self, title: str = "") -> str:
        """Step: the new primary's files and the slots say what is true; the change has ended."""
        with self.cluster.holding():
            outcome = self.cluster.perform(title or self.TITLES["tidy"], self.tidy_action())
            self.cluster.end()
        for name, why in self.left.items():
            show.notice(f"{name} is left behind ({why}); {self.way_back(name)}")
        return outcome

    def way_back(self, name: str) -> str:
        """What brings one that was left behind to the new primary."""
        if name in self.cluster.topology.fenced:
            return self.cluster.addressed(f"`pgrepl rejoin {name}` brings it back")
        return self.cluster.addressed("`pgrepl run` lets it follow once it answers")

    def leave(self, name: str, why: str) -> None:
        """The change goes on without this one."""
        self.left[name] = why

    def follow_steps(self, title: str) -> list[Step]:
        """A title, with the name in it, and an action for each that has to follow the new primary."""
        return [(title.format(o.name), self.follow_action(o)) for o in self.others()]

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
        asked = (o.name for o in others if engine.running(o.name) and engine.join(o.name).done())
        return [f"{name} does not reach {new}" for name in asked if not engine.reaches(name, new)]

    # --- actions -------------------------------------------------------------------------------------------

    def slots_action(self, followers: list[Instance]) -> Action:
        """Slots for the future followers on the new primary, while it is still a replica: so they hold WAL in time."""
        made = [self.new.slot_action(f.slot) for f in followers]
        promise = promises.recorded_edit(self.cluster, self.new.name)
        if not promise.idle():
            made.append(restarts.edited(self.new, promise))
        return Action.sequence(made)

    def promote_action(self) -> Action:
        """`pg_promote`, and the record of who is the primary now."""

        def done() -> bool:
            return self.promoted and self.new.runs_as_primary()

        def do(tell: Tell) -> None:
            self.revive(tell)
            if self.new.in_recovery():
                self.cluster.topology.operation[promotion.ASKED] = "yes"
                self.cluster.record()
                db.row(self.new.address, "select pg_promote(false)")
                self._wait_promoted()
            if not self.promoted:
                self.note_promoted(self.cluster.topology)
                self.cluster.record()

        return Action(self._promote_commands(), do, done)

    def _promote_commands(self) -> tuple[Shown, ...]:
        """What a person would type: the server is told, then awaited while it replays."""
        engine, name = self.cluster.engine, self.new.name
        promote = engine.client(name, "psql", "-c", "select pg_promote(false);")
        recovering = engine.client(name, "psql", "-Atc", "select pg_is_in_recovery()")
        return promote, f"until {recovering} | grep -qx f; do sleep 1; done"

    def revive(self, tell: Tell) -> None:
        """Start the chosen one again where it died or hangs: what it confirmed is on its disk."""
        seen = self.new.answer(DECISION_SECONDS)
        if seen.kind is Kind.ANSWERS:
            return
        engine, name = self.cluster.engine, self.new.name
        kill, start = engine.kill(name), engine.start(name)
        try:
            if start.done() and seen.kind is Kind.HUNG:
                kill.do(tell)
            if not start.done():
                start.do(tell)
            self.new.wait_ready()
        except KeyboardInterrupt:
            raise
        except PgreplError as error:
            error.remedy = self.cluster.addressed(self.without(name))
            raise

    def without(self, name: str) -> str:
        """What to do where the chosen one cannot be started."""
        others = [n for n in self.cluster.topology.replicas if n != name]
        if not others:
            return "correct the cause named above and run again"
        way = f"`pgrepl failover --to {others[0]}` lets another one take over"
        if self.promoted:
            return f"{way}; what was written to {name} since its promotion is lost then"
        return way

    def _wait_promoted(self) -> None:
        """It first replays what it has; as long as it does that, it is waited for."""
        engine, name = self.cluster.engine, self.new.name

        def probe() -> tuple[bool, str]:
            return not self.new.in_recovery(), f"in recovery, {self.new.position()}"

        wait_until(
            f"the promotion of {name}",
            probe,
            seconds=PROMOTE_SECONDS,
            progress=self.new.position,
            alive=lambda: engine.running(name),
            log=lambda: engine.log_tail(name),
            hint="the log's last lines say why; correct it and run again",
        )

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
        """A replica of the old primary follows the new one; one that does not run will when it starts."""
        return self.without_need(other, move_action(other, self.new))

    def without_need(self, other: Instance, move: Action) -> Action:
        """The same for one that is left where it does not come along; `pgrepl run` does it later."""
        engine, name = self.cluster.engine, other.name

        def do(tell: Tell) -> None:
            move.do(tell)
            if not engine.running(name):
                self.leave(name, engine.life(name))

        action = Action(move.commands, do, move.done)
        return bystanders.not_needed(action, partial(self.leave, name))

    def tidy_action(self) -> Action:
        """All that is left to do, as it is told before: settings, and every slot that nobody uses then."""
        return Action.sequence([self._settle_action(), slots.drops(self.cluster, self.outcome())])

    def _settle_action(self) -> Action:
        """The new primary's file names no upstream any more, and its control file knows the new timeline.

        Without that checkpoint, `pg_rewind` up to 15 would take it for a server of the old timeline.
        """
        edit = Edit(self.cluster.folder, f"{self.new.name}/{CONFIGURATION[0]}", {"standby": None})

        def do(tell: Tell) -> None:
            edit.write()
            restarts.take_over(self.new)
            db.checkpoint(self.new.address)

        checkpoint = self.cluster.engine.client(self.new.name, "psql", "-c", "checkpoint;")
        return Action((edit, checkpoint), do)


def refuse(kind: str, to: str, reasons: list[str], remedy: str) -> None:
    """Raise `StepFailed` with every reason; nothing was changed yet."""
    if reasons:
        raise StepFailed(
            f"No {kind} to {to}; nothing was changed.", looked_at=reasons, remedy=remedy
        )


def candidate(cluster: Cluster, to: str) -> Instance:
    """The replica to promote by name; raises `ParameterError` where it is none."""
    instance = cluster.instance(to)
    if to == cluster.topology.primary:
        remedy = cluster.addressed("`pgrepl status` lists the replicas, one of which takes over")
        raise ParameterError(f"{to} is the primary already; nothing was changed.", remedy=remedy)
    if to not in cluster.topology.upstreams:
        remedy = cluster.addressed(f"`pgrepl rejoin {to}` makes it one")
        raise ParameterError(f"{to} is fenced, not a replica; nothing was changed.", remedy=remedy)
    return instance
