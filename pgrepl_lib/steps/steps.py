"""Steps: how work is done, shown and recorded, and what waits while roles change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from ..cluster import state
from ..cluster.changes import outdated, promotion, underway
from ..cluster.members import Kind, Members
from ..doors import show
from ..doors.command import Command, Completed
from ..drift import recorded
from ..engine.action import Action, Tell
from ..engine.together import Result, attempt, together
from ..errors import CommandFailed, PgreplError, ProjectBusy, StepFailed
from ..journal import audit
from ..journal.chapter import cell_id
from ..journal.lock import step_lock
from ..journal.records import MEANT_TO_FAIL
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
    _meant_to_fail = False

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

    @contextmanager
    def meant_to_fail(self) -> Iterator[None]:
        """A step of the block that fails is recorded as one that was meant to."""
        self._meant_to_fail = True
        try:
            yield
        finally:
            self._meant_to_fail = False

    def perform(self, title: str, action: Action, *, agreed: bool = False) -> Outcome:
        """Do what is left of an action, show and record it; returns "changed" or "unchanged".

        agreed: a person who is asked before each step has been asked (`agree`).
        """

        def do() -> None:
            with show.progress(title) as tell:
                action.do(tell)

        with self.working():
            self.refuse_unfinished()
            self._prepare_once()
            if not agreed:
                self.agree(title, action)
            result = attempt(action, do)
            self._record_step(title, action, result)
        return _shown(title, result)

    def agree(self, title: str, action: Action) -> None:
        """Ask a person, where one is asked, for a step with something to do; a no is recorded, too."""
        if not ask.wanted():
            return
        question = attempt(action, lambda: ask.confirm(title, action.pending(), action.diff()))
        if question.error:
            self._record_step(title, action, question)
            raise _explained(title, question.error)

    def perform_all(self, steps: Sequence[tuple[str, Action]], *, at_once: int) -> list[Outcome]:
        """Steps (title and action) that do not need each other, side by side; shown and recorded in their order.

        Each is done or fails on its own; then the first failure is raised.
        """
        with self.working():
            self.refuse_unfinished()
            self._prepare_once()
            for title, action in steps:
                self.agree(title, action)
            with show.progress(steps[0][0]) as tell:
                results = together([action for _, action in steps], at_once, tell)
            for (title, action), result in zip(steps, results, strict=True):
                self._record_step(title, action, result)
        ended = [(title, r) for (title, _), r in zip(steps, results, strict=True)]
        ended.sort(key=_failed)  # those that were done are shown before the first failure is raised
        return [_shown(title, result) for title, result in ended]

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

    def _record_step(self, title: str, action: Action, result: Result) -> None:
        """With what its edits add as a whole, so that an unchanged step can be replayed, too."""
        outcome: str = result.outcome
        if outcome == "failed" and self._meant_to_fail:
            outcome = MEANT_TO_FAIL
        error = {"error": str(_explained(title, result.error))} if result.error else {}
        self.journal.record(
            "step",
            chapter=self.chapter,
            cell=cell_id(self.chapter),
            title=title,
            outcome=outcome,
            commands=_with_results(result.shown, result.ran),
            diff=result.diff,
            adds=action.adds(),
            exit_code=_exit_code(result.error),
            seconds=round(result.seconds, 3),
            **_anew(action, result),
            **error,
        )


def _shown(title: str, result: Result) -> Outcome:
    """A step that is done, shown; raises the error of one that is not."""
    if result.error:
        raise _explained(title, result.error)
    show.step(title, result.outcome, result.shown, result.diff)
    return Outcome(result.outcome)


def _failed(ended: tuple[str, Result]) -> bool:
    return ended[1].error is not None


def _explained(title: str, error: BaseException) -> BaseException:
    """An error that nobody foresaw, with what to do."""
    if isinstance(error, PgreplError | KeyboardInterrupt):
        return error
    cause = f"{title}: {type(error).__name__}: {str(error).strip()[:300]}"
    told = StepFailed(cause, remedy="correct the cause named above and run again")
    told.__cause__ = error
    return told


def _exit_code(error: BaseException | None) -> int:
    """As a shell would have it: of the program that failed, or of one that Ctrl-C ended."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, CommandFailed):
        return error.code
    return int(error is not None)


def _anew(action: Action, result: Result) -> dict[str, list[str]]:
    """The commands that `replay.sh` takes for it, where they are others."""
    anew = result.commands if action.anew is None else action.anew
    return {} if anew == result.shown else {"anew": [str(c) for c in anew]}


def _with_results(
    commands: Sequence[object], ran: Sequence[tuple[Command, Completed]]
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
