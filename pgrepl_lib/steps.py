"""Steps: how a cluster's work is done, shown and recorded; and what may not be done while its roles change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from . import audit, conf, files, show, state
from .chapter import cell_id
from .engine import Action, Engine
from .errors import CommandFailed, PgreplError, StepFailed
from .lock import step_lock
from .params import Params
from .together import together
from .topology import Topology


class Outcome(str):
    """ "changed" or "unchanged"; a notebook has shown it with the step and need not again."""

    __slots__ = ()

    def _ipython_display_(self) -> None:
        pass


class Steps:
    """What performs steps; the cluster's verbs are built on it."""

    params: Params
    engine: Engine
    topology: Topology
    folder: Path
    chapter: str
    _operating = False

    def _prepare_once(self) -> None:
        raise NotImplementedError

    @cached_property
    def journal(self) -> audit.Journal:
        """The record that this work goes to."""
        return audit.Journal.of(self.folder)

    def perform(self, title: str, action: Action, *, diff: Callable[[], str] = str) -> Outcome:
        """Do what is left of an action, show and record it; returns "changed" or "unchanged".

        diff: the edit to show, asked for before the action is done.
        """
        with step_lock(self.folder):
            self._refuse_unfinished()
            self._prepare_once()
            started, shown = time.monotonic(), diff()
            outcome, code = "failed", 1
            try:
                outcome = "unchanged" if action.done() else "changed"
                if outcome == "changed":
                    with show.progress(title) as tell:
                        action.do(tell)
                code = 0
            except KeyboardInterrupt:
                outcome, code = "interrupted", 130
                raise
            except CommandFailed as error:
                outcome, code = "failed", error.code
                raise
            except PgreplError:
                outcome = "failed"
                raise
            except Exception as error:
                outcome = "failed"
                raise StepFailed(f"{title}: {type(error).__name__}: {str(error).strip()[:300]}",
                                 remedy="correct the cause named above and run again") from error  # fmt: skip
            finally:
                self._record_step(title, action, shown, outcome, code, time.monotonic() - started)
        show.step(title, outcome, action.commands, shown)
        return Outcome(outcome)

    def perform_all(self, steps: Sequence[tuple[str, Action, Callable[[], str]]], *, at_once: int) -> list[Outcome]:
        """Steps (title, action, diff) that do not need each other, side by side; shown and recorded in their order.

        Each is done or fails on its own; then the first failure is raised.
        """
        with step_lock(self.folder):
            self._refuse_unfinished()
            self._prepare_once()
            with show.progress(steps[0][0]) as tell:
                results = together([(action, diff) for _, action, diff in steps], at_once, tell)
            for (title, action, _), r in zip(steps, results, strict=True):
                self._record_step(title, action, r.diff, r.outcome, int(r.error is not None), r.seconds)
                if r.error is None:
                    show.step(title, r.outcome, action.commands, r.diff)
        for r in results:
            if r.error is not None:
                raise r.error
        return [Outcome(r.outcome) for r in results]

    def edit(self, title: str, path: Path, change: Callable[[str], str]) -> str:
        """A step that edits a text file of the cluster's folder, shown as a diff that `patch` takes."""
        name = str(path.relative_to(self.folder))
        old = path.read_text("utf-8") if path.exists() else ""
        new = change(old)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        action = Action((f"patch {name}",), lambda tell: files.write_atomic(path, new, mode), lambda: old == new)
        return self.perform(title, action, diff=lambda: conf.diff(old, new, name))

    def begin(self, kind: str, old: str, new: str) -> None:
        """Record that roles are about to change, so that nothing else is done until that has ended."""
        self.topology.operation, self._operating = {"kind": kind, "from": old, "to": new}, True
        self.record()

    def end(self) -> None:
        """The change of roles has ended."""
        self.topology.operation, self._operating = {}, False
        self.record()

    def record(self) -> None:
        """Write the instances and their roles as they are now into `cluster.json`."""
        state.write(self.params, self.engine.name, self.engine.ports, self.topology)

    def _refuse_unfinished(self) -> None:
        if (begun := self.topology.operation) and not self._operating:
            raise StepFailed(f"A {begun['kind']} to {begun['to']} has begun and not ended; nothing else was changed.",
                             remedy=f"finish it: pgrepl {begun['kind']} --to {begun['to']}")  # fmt: skip

    def _record_step(self, title: str, action: Action, diff: str, outcome: str, code: int, seconds: float) -> None:
        self.journal.record("step", chapter=self.chapter, cell=cell_id(self.chapter), title=title, outcome=outcome,
                            commands=[str(c) for c in action.commands], diff=diff, exit_code=code,
                            seconds=round(seconds, 3))  # fmt: skip
