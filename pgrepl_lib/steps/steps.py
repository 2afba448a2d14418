"""Steps: how work is done, shown and recorded, and what waits while roles change."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from ..cluster import state
from ..cluster.changes import outdated, promotion, underway
from ..cluster.members import Kind, Members
from ..doors import files, show
from ..doors.command import Command, Completed, transcript
from ..drift import recorded
from ..engine.action import Action, Tell
from ..engine.together import together
from ..errors import CommandFailed, PgreplError, ProjectBusy, StepFailed
from ..journal import audit
from ..journal.chapter import cell_id
from ..journal.lock import step_lock
from ..postgres import conf
from . import ask

MOST_OUTPUT = 20_000  # characters of a command's output that the journal keeps


class Outcome(str):
    """ "changed" or "unchanged"; a notebook has shown it with the step and need not again."""

    __slots__ = ()

    def _ipython_display_(self) -> None:
        pass


class Steps(Members[Kind]):
    """What performs steps; the cluster's verbs are built on it."""

    chapter: str
    _operating = False
    _held = False

    def _prepare_once(self) -> None:
        raise NotImplementedError

    def settle_port(self, name: str) -> None:
        raise NotImplementedError

    def learn_identity(self) -> None:
        raise NotImplementedError

    def bring_up_above(self, name: str, tell: Tell) -> None:
        raise NotImplementedError

    @cached_property
    def journal(self) -> audit.Journal:
        """The record that this work goes to."""
        return audit.Journal.of(self.folder)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold the project: for other processes, all that the block does is one.

        Raises `ProjectBusy` where another one has changed it since this one looked.
        """
        if self._held:
            yield
            return
        with step_lock(self.folder):
            self._refuse_changed()
            self._held = True
            try:
                yield
            finally:
                self._held = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold the project, and record what the block changes."""
        with self.holding(), recorded.following(self):
            yield

    def perform(
        self,
        title: str,
        action: Action,
        *,
        diff: Callable[[], str] = str,
        adds: Callable[[], str] = str,
        agreed: bool = False,
    ) -> Outcome:
        """Do what is left of an action, show and record it; returns "changed" or "unchanged".

        diff: the edit to show, asked for before the action is done. adds: asked for afterwards, what the edit as a whole
        adds to the file as the server made it; recorded, so that an unchanged step can be replayed too. agreed: a person
        who is asked before each step has been asked (`agree`).
        """
        with self.working():
            self.refuse_unfinished()
            self._prepare_once()
            started, shown = time.monotonic(), diff()
            outcome: str = "failed"
            ran: list[tuple[Command, Completed]] = []
            cause: BaseException | None = None
            try:
                outcome = "unchanged" if action.done() else "changed"
                if outcome == "changed":
                    if ask.wanted() and not agreed:
                        ask.confirm(title, action.commands, shown)
                        started = time.monotonic()
                    with show.progress(title) as tell, transcript() as ran:
                        action.do(tell)
            except KeyboardInterrupt as error:
                outcome, cause = "interrupted", error
                raise
            except PgreplError as error:
                outcome, cause = "failed", error
                raise
            except Exception as error:
                outcome = "failed"
                cause = StepFailed(
                    f"{title}: {type(error).__name__}: {str(error).strip()[:300]}",
                    remedy="correct the cause named above and run again",
                )
                raise cause from error
            finally:
                self._record_step(
                    title, action, shown, outcome, ran, cause, time.monotonic() - started, adds()
                )
        show.step(title, outcome, action.commands, shown)
        return Outcome(outcome)

    def agree(self, title: str, action: Action, diff: Callable[[], str] = str) -> None:
        """Ask a person, where one is asked, for a step with something to do; a no is recorded, too."""
        if not ask.wanted():
            return
        try:
            if not action.done():
                ask.confirm(title, action.commands, diff())
        except BaseException as error:
            outcome = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self._record_step(title, action, "", outcome, [], error, 0)
            raise

    def perform_all(
        self,
        steps: Sequence[tuple[str, Action, Callable[[], str], Callable[[], str]]],
        *,
        at_once: int,
    ) -> list[Outcome]:
        """Steps (title, action, diff, adds) that do not need each other, side by side; shown and recorded in their order.

        Each is done or fails on its own; then the first failure is raised.
        """
        with self.working():
            self.refuse_unfinished()
            self._prepare_once()
            for title, action, diff, _ in steps:
                self.agree(title, action, diff)
            with show.progress(steps[0][0]) as tell:
                results = together([(action, diff) for _, action, diff, _ in steps], at_once, tell)
            for (title, action, _, adds), r in zip(steps, results, strict=True):
                self._record_step(
                    title, action, r.diff, r.outcome, r.ran, r.error, r.seconds, adds()
                )
                if r.error is None:
                    show.step(title, r.outcome, action.commands, r.diff)
        for r in results:
            if r.error is not None:
                raise r.error
        return [Outcome(r.outcome) for r in results]

    def edit(self, title: str, path: Path, block: str, change: Callable[[str], str]) -> str:
        """A step that edits a managed block of a text file in the cluster's folder, shown as a diff that `patch` takes."""
        name = str(path.relative_to(self.folder))
        old = self.text_of(path)
        new = change(old)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        action = Action(
            (f"patch {name}",), lambda tell: files.write_atomic(path, new, mode), lambda: old == new
        )
        return self.perform(
            title,
            action,
            diff=lambda: conf.diff(old, new, name),
            adds=lambda: conf.addition(new, block, name),
        )

    def begin(self, kind: str, old: str, new: str) -> None:
        """Record that roles are about to change: nothing else is done until that has ended."""
        begun, known = {"kind": kind, "from": old, "to": new}, self.topology.operation
        if not begun.items() <= known.items():
            known = {}  # else it goes on, with what is known of it
        self.topology.operation, self._operating = {**known, **begun, **underway.facts()}, True
        self.record()

    def end(self) -> None:
        """The change of roles has ended."""
        self.topology.operation, self._operating = {}, False
        self.record()

    def _refuse_changed(self) -> None:
        if state.raw(self.folder) in ("", self.known):
            return
        raise ProjectBusy(
            f"Project {self.params.project} was changed by another process; nothing was done.",
            looked_at=[f"{state.FILE} is another than when this one looked at it"],
            remedy="do it again; in a notebook, first the cell that opens the cluster",
        )

    def refuse_unfinished(self) -> None:
        """Raise `StepFailed` while a change of roles has not ended: nothing else is done."""
        if (begun := self.topology.operation) and not self._operating:
            remedy = promotion.ways_on(self.topology, self.params)
            cause = f"A {begun['kind']} to {begun['to']} has begun and not ended; nothing else was changed."
            raise StepFailed(cause, remedy=remedy)

    def _refuse_other_roles(self) -> None:
        """Raise `StepFailed` where another instance is the primary than the recorded one."""
        if not self._operating and (real := outdated.writer(self.engine, self.topology)):
            raise outdated.refusal(self.params, self.topology, real)

    def _record_step(
        self,
        title: str,
        action: Action,
        diff: str,
        outcome: str,
        ran: Sequence[tuple[Command, Completed]],
        error: BaseException | None,
        seconds: float,
        adds: str = "",
    ) -> None:
        code = (
            0
            if error is None
            else 130
            if outcome == "interrupted"
            else error.code
            if isinstance(error, CommandFailed)
            else 1
        )
        self.journal.record(
            "step",
            chapter=self.chapter,
            cell=cell_id(self.chapter),
            title=title,
            outcome=outcome,
            commands=_with_results(action.commands, ran),
            diff=diff,
            adds=adds,
            exit_code=code,
            seconds=round(seconds, 3),
            **_anew(action),
            **({"error": str(error)} if error else {}),
        )


def _anew(action: Action) -> dict[str, list[str]]:
    """The commands that `replay.sh` takes for it, where they are others."""
    return (
        {}
        if action.anew in (None, action.commands)
        else {"anew": [str(c) for c in action.anew or ()]}
    )


def _with_results(
    commands: Sequence[Command | str], ran: Sequence[tuple[Command, Completed]]
) -> list[dict[str, Any]]:
    """What was shown, each with the exit code and the output of the program where one ran.

    A command that stands for what Docker's interface, SQL or a file's replacement did has no exit code of its own.
    """
    results = [(str(c), done) for c, done in ran]
    found: list[dict[str, Any]] = []
    for shown in map(str, commands):
        done = next((r for r in results if r[0] == shown), None)
        if done:
            results.remove(done)
        found.append(
            {
                "command": shown,
                "exit_code": done[1].code if done else None,
                "output": _shortened(done[1].out + done[1].err) if done else "",
            }
        )
    return found


def _shortened(output: str) -> str:
    """A program's output without the progress lines that it overwrote, and without the middle of a very long one."""
    text = re.sub(r"[^\n]*\r(?!\n)", "", output).strip()
    left_out = len(text) - MOST_OUTPUT
    half = MOST_OUTPUT // 2
    return (
        text
        if left_out <= 0
        else f"{text[:half]}\n[… {left_out} characters left out …]\n{text[-half:]}"
    )
