"""Steps done for real: prepared, agreed, done, timed, shown and recorded, each in its own place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from ..checks.outcome import Check
from ..checks.preflight import findings, ownership, require
from ..cluster import identity, state
from ..cluster.changes import outdated, unanswered
from ..doors import files, show
from ..engine.action import Action
from ..engine.together import Result, attempt, together
from ..errors import CommandFailed, PgreplError, StepFailed
from ..journal.chapter import cell_id
from ..journal.records import MEANT_TO_FAIL
from ..words.quoted import PYTHON, quoted
from ..words.text import mark, t
from . import ask
from .actions import replacing
from .checking import examine, shown
from .steps import AnySteps, Outcome
from .transcripts import with_results

SIGNS = {True: "✔", False: "✘"}
NAMES = {  # of an engine's facts; the rest are programs
    "engine": mark("engine"),
    "image": mark("image"),
    "origin": mark("origin"),
    "checksum": mark("checksum"),
    "server user": mark("server user"),
}


class Doing:
    """The hands that do what a step says."""

    def __init__(self) -> None:
        self.ready = self.found_ready = False

    def perform(self, cluster: AnySteps, title: str, action: Action) -> Outcome:
        with cluster.working():
            cluster.refuse_unfinished()
            self.make_ready(cluster)
            self.agree(cluster, title, action)
            return self.do(cluster, title, action)

    def do(self, cluster: AnySteps, title: str, action: Action) -> Outcome:
        def told() -> None:
            with show.progress(title) as tell:
                action.do(tell)

        result = attempt(action, told)
        _record(cluster, title, action, result)
        return _shown(cluster, title, result)

    def agree(self, cluster: AnySteps, title: str, action: Action) -> None:
        """A no is recorded, too."""
        if not ask.wanted():
            return

        def confirm() -> None:
            ask.confirm(title, action.pending(), action.diff())

        question = attempt(action, confirm)
        if question.error:
            _record(cluster, title, action, question)
            raise _explained(cluster, title, question.error)

    def perform_all(
        self, cluster: AnySteps, steps: Sequence[tuple[str, Action]], at_once: int
    ) -> list[Outcome]:
        """Each is done or fails on its own; then the first failure is raised."""
        with cluster.working():
            cluster.refuse_unfinished()
            self.make_ready(cluster)
            for title, action in steps:
                self.agree(cluster, title, action)
            with show.progress(steps[0][0]) as tell:
                results = together([action for _, action in steps], at_once, tell)
            for (title, action), result in zip(steps, results, strict=True):
                _record(cluster, title, action, result)
        ended = [(title, r) for (title, _), r in zip(steps, results, strict=True)]
        ended.sort(key=_failed)  # those that were done are shown before the first failure is raised
        return [_shown(cluster, title, result) for title, result in ended]

    def make_ready(self, cluster: AnySteps) -> None:
        """Ports, the engine's files, the instances' folders; then who is what must be true."""
        if self.ready:
            return
        if not (self.found_ready or (cluster.folder / state.FILE).exists()):
            require(findings(cluster))
        require(ownership(cluster))
        files.make_folder(cluster.folder)
        with state.reserving(cluster.params):  # two projects must not choose the same ports
            _choose_ports(cluster)
        cluster.engine.prepare()
        for name in cluster.topology.names:
            files.make_folder(cluster.folder / name)
            replacing.go_on(cluster.engine, name, cluster.mark(name))
        identity.record(cluster)
        if not cluster.operating and (real := outdated.writer(cluster.engine, cluster.topology)):
            raise outdated.refusal(cluster.params, cluster.topology, real)
        self.ready = True

    def check(self, cluster: AnySteps, name: str) -> Check:
        return shown(examine(cluster, name))

    def preflight(self, cluster: AnySteps) -> None:
        found = findings(cluster)
        show.table(("", "", ""), [(SIGNS[f.ok], f.said(), f.seen) for f in found])
        require(found)
        self.found_ready = True

    def versions(self, cluster: AnySteps) -> None:
        facts = cluster.record_engine()
        show.table(
            ("", ""), [(t(NAMES.get(name, name)), f"`{fact}`") for name, fact in facts.items()]
        )

    def refuse(self, cluster: AnySteps, refusal: Callable[[], None]) -> None:
        refusal()


def _choose_ports(cluster: AnySteps) -> None:
    made, engine, names = state.read(cluster.folder), cluster.engine, cluster.topology.names
    engine.id = made.get("id") or engine.id or uuid4().hex
    if not made or not set(names) <= set(made["ports"]):
        engine.ports = state.claimed_ports(cluster.params, made, names)
    cluster.record()


def _record(cluster: AnySteps, title: str, action: Action, result: Result) -> None:
    """With what its edits add as a whole, so that an unchanged step can be replayed, too."""
    outcome: str = result.outcome
    if outcome == "failed" and cluster.fails_on_purpose:
        outcome = MEANT_TO_FAIL
    cluster.journal.record(
        "step",
        chapter=cluster.chapter,
        cell=cell_id(cluster.chapter),
        title=title,
        outcome=outcome,
        commands=with_results(result.shown, result.ran),
        diff=result.diff,
        adds=action.adds(),
        exit_code=_exit_code(result.error),
        seconds=round(result.seconds, 3),
        **_more(cluster, title, action, result),
    )


def _shown(cluster: AnySteps, title: str, result: Result) -> Outcome:
    """A step that is done, shown; raises the error of one that is not."""
    if result.error:
        raise _explained(cluster, title, result.error)
    show.step(title, result.outcome, result.shown, result.diff)
    return Outcome(result.outcome)


def _failed(ended: tuple[str, Result]) -> bool:
    return ended[1].error is not None


def _explained(cluster: AnySteps, title: str, error: BaseException) -> BaseException:
    """An error that nobody foresaw, with what to do."""
    if isinstance(error, PgreplError | KeyboardInterrupt):
        return error
    found = unanswered.told(error, cluster.engine, cluster.topology, title) or _fault(title, error)
    found.__cause__ = error
    return found


def _fault(title: str, error: BaseException) -> PgreplError:
    """An error of pgrepl itself."""
    return StepFailed(
        t("{title}: pgrepl failed itself ({kind}).", title=title, kind=type(error).__name__),
        looked_at=[quoted(PYTHON, str(error).strip()[:300])],
        remedy=t("run again; if it fails again, report it with the run's journal"),
    )


def _exit_code(error: BaseException | None) -> int:
    """As a shell would have it: of the program that failed, or of one that Ctrl-C ended."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, CommandFailed):
        return error.code
    return int(error is not None)


def _more(cluster: AnySteps, title: str, action: Action, result: Result) -> dict[str, Any]:
    """The commands that `replay.sh` takes for it, where they are others; and what went wrong."""
    found: dict[str, Any] = {}
    anew = result.commands
    if action.anew is not None:
        anew = action.anew
    if anew != result.shown:
        found["anew"] = [str(command) for command in anew]
    if result.error:
        found["error"] = str(_explained(cluster, title, result.error))
    return found
