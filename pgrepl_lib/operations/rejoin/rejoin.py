"""Rejoin: a fenced former primary comes back as a replica, and what only it had is listed and kept first."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from ...cluster import roles
from ...cluster.changes import outdated
from ...cluster.dropping import drop_slot
from ...doors import db, files, show
from ...doors.command import silently
from ...drift import recorded
from ...engine.action import CONFIGURATION, NOTHING, Action, Tell
from ...engine.edit import Edit
from ...errors import CommandFailed, ParameterError, PgreplError, StepFailed
from ...journal import audit
from ...postgres import conf
from ...postgres.control import ControlFile
from ...steps import replacing
from ...steps.standby import standby_action, whole_action
from ...words.kept import not_compared, to_be_thrown_away
from .. import finished
from . import fenced_start, former, keeping, own_wal
from .own_rows import Found

if TYPE_CHECKING:
    from ...steps.cluster import Cluster


def _nobody_is_asked() -> None:
    """As in a notebook, where its reader decides."""


class Rejoin:
    """The way back of one former primary.

    full_copy: a new base backup even where less would do. keep_data: its whole data folder is kept
    in a file, and no row is looked for. discard: also where rows cannot be kept.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        full_copy: bool = False,
        *,
        keep_data: bool = False,
        discard: bool = False,
    ) -> None:
        self.cluster, self.instance, self.full_copy = cluster, cluster.instance(name), full_copy
        self.keep_data, self.discard, self.found = keep_data, discard, Found()

    @property
    def facts(self) -> dict[str, Any]:
        """What was recorded when it was lost."""
        return self.cluster.topology.fenced.get(self.instance.name, {})

    @property
    def resumed(self) -> bool:
        """Whether an interrupted rejoin goes on: its data are its own no more, or are rewound, and it is to follow."""
        return self.instance.name in self.cluster.topology.upstreams

    @cached_property
    def finished(self) -> bool:
        """Whether it follows already, as one killed at its very end has left it."""
        name = self.instance.name
        if name in self.cluster.topology.fenced:
            return False
        return self.instance.streams()[0] or finished.rejoining(self.cluster, name)

    def require(self) -> None:
        """Raise `StepFailed` unless it is fenced, has data, and belongs to this cluster; nothing was changed."""
        name, engine = self.instance.name, self.cluster.engine
        outdated.require_none(engine, self.cluster.topology)
        self._refuse_primary()
        self.cluster.require_primary()
        if self.finished:
            return
        if name not in self.cluster.topology.fenced:
            remedy = (
                "`pgrepl status` says whether it runs and streams; if not, `pgrepl run` starts it"
            )
            cause = f"{name} is not fenced: it is a replica already."
            raise StepFailed(cause, remedy=self.cluster.addressed(remedy))
        self.cluster.primary.require_copyable()
        if not engine.has_data(name) or self.cluster.mark(name).exists():
            return
        roles.require_another_writer(engine, self.cluster.topology, name)
        own = ControlFile.parse(engine.control_file(name)).system_identifier
        primary = engine.control_file(self.cluster.primary.name)
        if own != (wanted := ControlFile.parse(primary).system_identifier):
            remedy = (
                f"put its own data back; or throw it away: `pgrepl replica remove {name} --yes`"
            )
            raise StepFailed(
                f"{name} never belonged to this cluster; nothing was changed.",
                looked_at=[f"system identifier {own}, not {wanted}"],
                remedy=self.cluster.addressed(remedy),
            )

    def _refuse_primary(self) -> None:
        """Nobody takes its own place."""
        name, topology = self.instance.name, self.cluster.topology
        if name != topology.primary:
            return
        ways = [f"`pgrepl rejoin {other}` brings {other} back" for other in topology.fenced]
        ways += [f"`pgrepl run` starts {name} where it stands", "`pgrepl status` says who is what"]
        cause = f"{name} is the primary; nothing was changed."
        raise ParameterError(cause, remedy=self.cluster.addressed("; ".join(ways)))

    # --- steps ---------------------------------------------------------------------------------------------

    def inspect(self, title: str = "Start {} fenced, to look at it") -> str:
        """Step: it comes up in recovery, without an upstream: readable, and never writable."""
        self.require()
        name = self.instance.name
        if self.resumed or not self._whole():
            outcome = self.cluster.perform(title.format(name), NOTHING)
            if (
                self.resumed or not self._whole()
            ):  # an exchange that was interrupted has gone on now
                return outcome
        return self.cluster.perform(title.format(name), fenced_start.action(self.instance))

    def diverged(self) -> pandas.DataFrame:
        """The rows that only it has, a line a table; all go into a file (`kept`).

        What cannot be kept is counted and told (`found`); raises `StepFailed` where that are rows,
        without discard.
        """
        if not (self.resumed or self.keep_data) and self._whole():
            self.found = self._own_rows()
        return pandas.DataFrame(self.found.kept, columns=["database", "table", "rows"])

    @cached_property
    def kept(self) -> Path:
        """Where the rows that are thrown away are kept, readable for their owner alone."""
        folder = Path(os.environ.get(audit.RUN_FOLDER) or self.cluster.folder)
        return folder / f"diverged-{self.instance.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"

    @cached_property
    def kept_data(self) -> Path:
        """Where its whole data folder is kept, if it is asked for."""
        name = self.kept.name.replace("diverged", "data", 1)
        return self.kept.with_name(name).with_suffix(".tar")

    def way(self) -> tuple[str, str]:
        """How it will come back ("follow", "rewind" or "copy"), and why."""
        name, engine = self.instance.name, self.cluster.engine
        if self.full_copy:
            return "copy", "asked for"
        if not self._whole():
            return "copy", f"{name} has no complete data"
        if self.resumed:
            return self._way_on()
        if fenced_start.answers(self.instance) and not self.former.is_ahead:
            if gone := self.former.why_not_follow():
                return "copy", gone
            return "follow", f"{name} has nothing that the new primary does not have"
        if not engine.rewind(name, self.cluster.primary.name):
            return "copy", f"no pg_rewind of version {self.cluster.params.pg_version} is at hand"
        if not (fenced_start.answers(self.instance) and self.former.hints()):
            return "copy", "neither wal_log_hints nor checksums were on"
        if gone := self.former.why_not_rewind():
            return "copy", gone
        return (
            "rewind",
            f"{name} has WAL of its own, and pg_rewind {self.cluster.params.pg_version} is at hand",
        )

    def come_back(self, title: str = "Bring {} back as a replica") -> str:
        """Step: rewind it or copy the new primary, and let it follow, over a slot of its own; says which and why."""
        self.require()
        if self.finished:
            follows = self.instance.streams()[0]
            action = NOTHING if follows else self.instance.start_action()
            return self.cluster.perform(title.format(self.instance.name), action)
        if self.keep_data and not self.resumed and self._whole():
            keeping.require_room(self.cluster.engine, self.instance.name, self.kept_data)
        way, why = self.way()
        try:
            return self._come_back_by(way, why, title)
        except CommandFailed as error:
            if way != "rewind":
                raise
            return self._come_back_by(
                "copy", f"pg_rewind failed: {' '.join(error.looked_at[-1:])}", title
            )

    def run(self, agree: Callable[[], object] = _nobody_is_asked) -> pandas.DataFrame:
        """All steps; returns what was thrown away.

        agree: asks once that is known, and raises for a no.
        """
        with recorded.following(self.cluster):
            self.inspect()
            lost = self.diverged()
            self._ask(agree)
            self.come_back()
        return lost

    def told(self) -> list[str]:
        """What it is about to do, for the question before it."""
        name, (way, why) = self.instance.name, self.way()
        lines = [f"{name} becomes a replica of {self.cluster.primary.name} ({way}: {why})"]
        if self.keep_data:
            lines.append(f"its data folder is kept in {self.kept_data}, then thrown away")
        elif way != "follow" and not self.resumed and self._whole():
            lines.append(not_compared(name))
        return [*lines, *to_be_thrown_away(name, self.found.kept, self.kept)]

    def _ask(self, agree: Callable[[], object]) -> None:
        """After a no, nothing is left of what was kept."""
        try:
            agree()
        except PgreplError:
            files.remove(self.kept)
            raise

    def _come_back_by(self, way: str, why: str, title: str) -> str:
        self.cluster.journal.record("rejoin", instance=self.instance.name, way=way, why=why)
        show.markdown(f"**{way}**: {why}")
        return self.cluster.perform(title.format(self.instance.name), self._action(way))

    # --- pieces --------------------------------------------------------------------------------------------

    def _action(self, way: str) -> Action:
        engine, instance = self.cluster.engine, self.instance
        stop = engine.stop(instance.name)
        parts = self._copy() if way == "copy" else self._follow(way)
        keep = NOTHING
        if self.keep_data and not self.resumed and self._whole():
            keep = keeping.action(engine, instance.name, self.kept_data)

        def do(tell: Tell) -> None:
            if not stop.done():
                stop.do(tell)
            keep.do(tell)
            parts.do(tell)
            self._drop_old_slots()
            self.cluster.topology.fenced.pop(instance.name, None)
            self.cluster.record()

        return Action((*stop.commands, *keep.commands, *parts.commands), do)

    def _copy(self) -> Action:
        """A new base backup in the place of its data, which stay until it is complete."""
        engine, instance, primary = self.cluster.engine, self.instance, self.cluster.primary
        whole, copy = whole_action(instance), instance.replacing_action()
        slot = primary.slot_action(instance.slot)

        def do(tell: Tell) -> None:
            if engine.has_data(instance.name):
                replacing.require_room(engine, instance.name, primary.name)
                Action.sequence([slot, copy]).do(tell)
            self._belongs()
            whole.do(tell)

        if not engine.has_data(instance.name):
            return Action(whole.commands, do)
        edits = (*self._opens().commands, *standby_action(instance, primary).commands)
        return Action((*slot.commands, *copy.commands, *edits, *instance.start_commands()), do)

    def _follow(self, way: str) -> Action:
        """With its own data, rewound where they have diverged; it stays fenced until it follows."""
        cluster, instance, engine = self.cluster, self.instance, self.cluster.engine
        slot, start = cluster.primary.slot_action(instance.slot), engine.start(instance.name)
        rewind = engine.rewind(instance.name, cluster.primary.name) if way == "rewind" else ()
        follows = standby_action(instance, cluster.primary)

        def do(tell: Tell) -> None:
            Action.sequence([slot]).do(tell)
            if rewind:
                db.checkpoint(
                    cluster.primary.address
                )  # pg_rewind reads the new timeline from the control file
                files.write_atomic(
                    cluster.mark(instance.name), ""
                )  # half rewound data serve for nothing any more
                for each in rewind:
                    engine.run(each, tell)
                files.remove(cluster.mark(instance.name))
            else:  # a part of a record at its end is not had by the new primary: it is to begin after it
                db.rows(cluster.primary.address, "select pg_switch_wal()")
            follows.do(tell)
            self._belongs()
            instance.start_action().do(tell)

        edits = (*follows.commands, *self._opens().commands)
        return Action((*slot.commands, *rewind, *edits, *start.commands), do)

    def _opens(self) -> Action:
        """Nobody is shut out any more: it is fenced no longer."""
        name = f"{self.instance.name}/{CONFIGURATION[1]}"
        edit = Edit(self.cluster.folder, name, {conf.FENCE: None})
        return Action((edit,), lambda tell: edit.write(), edit.done)

    def _belongs(self) -> None:
        """It is a replica again, and fenced too until it streams, so that an interrupted rejoin goes on."""
        self._opens().do(silently)
        self.cluster.topology.upstreams[self.instance.name] = self.cluster.topology.primary
        self.cluster.record()

    def _drop_old_slots(self) -> None:
        for found in db.rows(
            self.instance.address,
            "select slot_name as n from pg_replication_slots where not active",
        ):
            if any(
                found["n"] == self.cluster.instance(n).slot for n in self.cluster.topology.names
            ):
                drop_slot(self.instance, found["n"]).do(silently)

    @cached_property
    def former(self) -> former.Former:
        """What it has alone, which its WAL says."""
        snapshot = self.facts.get("snapshot", "")
        return former.Former(self.instance, self.cluster.primary, snapshot)

    def _own_rows(self) -> Found:
        """Kept, told and recorded; raises `StepFailed` for what cannot be, unless that may go."""
        if not fenced_start.answers(self.instance):
            raise former.silent(self.cluster.engine, self.instance.name)
        return self.former.keep_and_say(self.kept, discard=self.discard)

    def _whole(self) -> bool:
        """Whether it has data that are complete."""
        name = self.instance.name
        return self.cluster.engine.has_data(name) and not self.cluster.mark(name).exists()

    def _way_on(self) -> tuple[str, str]:
        """Of an interrupted one, after everything that needs its data."""
        control = ControlFile.parse(self.cluster.engine.control_file(self.instance.name))
        gone = own_wal.why_not_follow(self.cluster.primary.address, control.redo)
        if gone and not self.instance.streams()[0]:
            return "copy", f"it was interrupted, and {gone}"
        return "follow", "it was interrupted after everything that needs its data"
