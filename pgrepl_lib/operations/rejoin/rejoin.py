"""Rejoin: a fenced former primary comes back as a replica.

What only it had is listed and kept first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from ...cluster import roles
from ...cluster.changes import outdated
from ...doors import ahead, files, show
from ...doors.program import nothing
from ...drift import recorded
from ...engine.action import NOTHING, Action, Tell
from ...errors import CommandFailed, PgreplError
from ...journal import audit
from ...logins import rewinder
from ...postgres.control import ControlFile
from ...steps.actions.starting import start_action
from ...words.kept import not_compared, to_be_thrown_away
from ...words.text import Text, joined, mark, t
from .. import finished
from . import coming_back, fenced_start, former, keeping, own_wal, refusals
from .own_rows import Found

if TYPE_CHECKING:
    from ...steps.cluster import Cluster


FOLLOW, REWIND, COPY, UNDECIDED = "follow", "rewind", "copy", "undecided"
WAYS = {
    UNDECIDED: coming_back.by_itself,  # what each of the others has, too
    FOLLOW: coming_back.by_itself,
    REWIND: coming_back.by_rewind,
    COPY: coming_back.by_copy,
}


OPEN = mark(
    "what only {name} has then decides whether it follows as it is, after pg_rewind, "
    "or as a new copy"
)


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
        self.looked = False  # for what only it has

    @property
    def facts(self) -> dict[str, Any]:
        """What was recorded when it was lost."""
        return self.cluster.topology.fenced.get(self.instance.name, {})

    @property
    def resumed(self) -> bool:
        """Whether an interrupted rejoin goes on.

        Its data are its own no more, or are rewound, and it is to follow.
        """
        return self.instance.name in self.cluster.topology.upstreams

    @cached_property
    def finished(self) -> bool:
        """Whether it follows already, as one killed at its very end has left it."""
        name = self.instance.name
        if name in self.cluster.topology.fenced:
            return False
        return self.instance.streams()[0] or finished.rejoining(self.cluster, name)

    @ahead.judged_now
    def require(self) -> None:
        """Raise `StepFailed` unless it is fenced, has data, and belongs to this cluster.

        Nothing was changed then.
        """
        name, engine = self.instance.name, self.cluster.engine
        outdated.require_none(engine, self.cluster.topology)
        refusals.refuse_primary(self.instance)
        self.cluster.require_primary()
        if self.finished:
            return
        refusals.require_fenced(self.instance)
        self.cluster.primary.require_copyable()
        if self._whole():
            roles.require_another_writer(engine, self.cluster.topology, name)
            refusals.require_ours(self.instance)

    # --- the steps

    def inspect(self) -> str:
        """Step: it comes up in recovery, without an upstream: readable, and never writable."""
        self.require()
        title = t("Start {name} fenced, to look at it", name=self.instance.name)
        if self.resumed or not self._whole():
            outcome = self.cluster.perform(title, NOTHING)  # an interrupted exchange goes on first
            if self.resumed or not self._whole():
                return outcome
        return self.cluster.perform(title, fenced_start.action(self.instance))

    @ahead.measured
    def diverged(self) -> pandas.DataFrame:
        """The rows that only it has, a line a table; all go into a file (`kept`).

        What cannot be kept is counted and told (`found`); raises `StepFailed` where that are rows,
        without discard.
        """
        if self._has_rows():
            self.found = self._own_rows()
        self.looked = True
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
        name, primary = self.instance.name, self.cluster.primary
        if self.full_copy:
            return COPY, t("a new copy was asked for")
        if not self._whole():
            return COPY, t("{name} has no complete data", name=name)
        if ahead.uncertain():
            return UNDECIDED, t(OPEN, name=name)
        if self.resumed:
            return self._way_on()
        if fenced_start.answers(self.instance) and not self.former.is_ahead:
            if gone := self.former.why_not_follow():
                return COPY, gone
            return FOLLOW, t("{name} has nothing that the new primary does not have", name=name)
        version = self.cluster.params.pg_version
        if not self.cluster.engine.rewind(name, primary.name):
            return COPY, t("no pg_rewind of version {version} is at hand", version=version)
        if not (fenced_start.answers(self.instance) and self.former.hints()):
            return COPY, t("neither wal_log_hints nor checksums were on")
        if gone := self.former.why_not_rewind():
            return COPY, gone
        why = mark("{name} has WAL of its own, and pg_rewind {version} is at hand")
        return REWIND, t(why, name=name, version=version)

    def come_back(self) -> str:
        """Step: it follows the new primary, over a slot of its own; says in which way, and why."""
        self.require()
        if self.finished:
            return self.cluster.perform(self._title(), self._start_again())
        if self._has_rows() and not (self.looked or ahead.looking()):
            raise refusals.not_looked(self.instance)
        if self._keeps_data():
            keeping.require_room(self.cluster.engine, self.instance.name, self.kept_data)
        way, why = self.way()
        try:
            return self._come_back_by(way, why)
        except CommandFailed as error:
            if way != REWIND:
                raise
            said = joined(" ", error.looked_at[-1:])
            return self._come_back_by(COPY, t("pg_rewind failed: {said}", said=said))

    def _title(self) -> Text:
        return t("Bring {name} back as a replica", name=self.instance.name)

    def _start_again(self) -> Action:
        """What is left for one that is a replica already."""
        if self.instance.streams()[0]:
            return NOTHING
        return start_action(self.instance)

    def _has_rows(self) -> bool:
        """Whether what only it has is looked for, row by row."""
        return not (self.resumed or self.keep_data) and self._whole()

    def _keeps_data(self) -> bool:
        """Whether its whole data folder is to be kept, while it is still its own."""
        return self.keep_data and not self.resumed and self._whole()

    def run(self, agree: Callable[[], object] = nothing) -> pandas.DataFrame:
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
        becomes = mark("{name} becomes a replica of {primary} ({way}: {why})")
        primary = self.cluster.primary.name
        lines: list[str] = [t(becomes, name=name, primary=primary, way=way, why=why)]
        if self.keep_data:
            kept = mark("its data folder is kept in {file}, then thrown away")
            lines.append(t(kept, file=self.kept_data))
        elif way != FOLLOW and not self.resumed and self._whole():
            lines.append(not_compared(name))
        return [*lines, *to_be_thrown_away(name, self.found.kept, self.kept)]

    def _ask(self, agree: Callable[[], object]) -> None:
        """After a no, nothing is left of what was kept."""
        try:
            agree()
        except PgreplError:
            files.remove(self.kept)
            raise

    def _come_back_by(self, way: str, why: str) -> str:
        self.cluster.journal.record("rejoin", instance=self.instance.name, way=way, why=why)
        show.markdown(f"**{way}**: {why}")
        action = self._action(way)
        if way == UNDECIDED:
            action = replace(action, undecided=why)
        return self.cluster.perform(self._title(), action)

    # --- their pieces

    def _action(self, way: str) -> Action:
        engine, instance = self.cluster.engine, self.instance
        stop, parts, keep = engine.stop(instance.name), WAYS[way](instance), NOTHING
        if self._keeps_data():
            keep = keeping.action(engine, instance.name, self.kept_data)

        def do(tell: Tell) -> None:
            if not stop.done():
                stop.do(tell)
            keep.do(tell)
            parts.do(tell)
            coming_back.drop_old_slots(instance)
            rewinder.forget(engine, self.cluster.primary.name)
            over()

        def over() -> None:
            self.cluster.topology.fenced.pop(instance.name, None)
            self.cluster.record()

        def leaves() -> None:
            parts.leaves()
            over()

        return Action((*stop.commands, *keep.commands, *parts.commands), do, leaves=leaves)

    @cached_property
    def former(self) -> former.Former:
        """What it has alone, which its WAL says."""
        snapshot = self.facts.get("snapshot", "")
        return former.Former(self.instance, self.cluster.primary, snapshot)

    def _own_rows(self) -> Found:
        """Kept, told and recorded; raises `StepFailed` for what cannot be, unless that may go."""
        if not fenced_start.answers(self.instance):
            raise refusals.silent(self.instance)
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
            return COPY, t("it was interrupted, and {gone}", gone=gone)
        return FOLLOW, t("it was interrupted after everything that needs its data")
