"""The command line's verbs for chapters: run executes them, plan says what that would change."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..doors import terminal
from ..params import Params
from ..words.legible import legible
from ..words.text import mark, t
from .group import EPILOG, main, option
from .options import FILE, JSON, QUIET, Given, all_parameters, values, with_made
from .output import give, held_back, show_run

if TYPE_CHECKING:
    from ..runner.task import Task
    from ..steps.planning import Planned

SIGNS = {
    mark("would change"): ("+", "green"),
    mark("unchanged"): (" ", ""),
    mark("would be made"): ("?", ""),
    mark("would stop the run"): ("!", "red"),
}
STEPS = mark("{changed} steps would change, {unchanged} unchanged")
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@main.command(epilog=EPILOG)
@all_parameters
@option("--from", "first", default="", help="First chapter, by number or name. [default: 00]")
@option("--to", "last", default="", help="Last chapter, by number or name. [default: 03]")
@option(
    "--resume",
    is_flag=True,
    help="The last run once more, with its chapters and parameters, unless it completed.",
)
@option(
    "--key",
    type=FILE,
    help="Sign with this Ed25519 key (PEM), or PGREPL_SIGNING_KEY. [default: your own]",
)
@option(
    "--ask", is_flag=True, help="Ask on the terminal before each step that would change something."
)
@option("--plan", is_flag=True, help="As pgrepl plan: say what would change, and touch nothing.")
@JSON
@QUIET
def run(
    given: Given,
    plan: bool,
    resume: bool,
    as_json: bool,
    quiet: bool,
    first: str,
    last: str,
    **how: Any,
) -> None:
    """Execute the chapters in order: preparation, primary, replica, verification; with --to 09 also
    the operation."""
    if plan:
        task = _task(given, first, last, resume)
        if task.chapters:
            show_plan(task.values, task.chapters, as_json)
        else:
            _nothing_to_resume(task, as_json, quiet)
        return
    with _ending_told(as_json, quiet) as folders:
        task = _task(given, first, last, resume)
        if task.chapters:
            _execute(task, folders, quiet, **how)
        else:
            _nothing_to_resume(task, as_json, quiet)


def _task(given: Given, first: str, last: str, resume: bool) -> Task:
    from ..runner.task import fresh, unfinished

    found = values(given)
    if resume:
        return unfinished(found, first, last)
    return fresh(with_made(found), first, last)


def _nothing_to_resume(task: Task, as_json: bool, quiet: bool) -> None:
    if not quiet:
        terminal.tell(t("pgrepl: nothing to resume: run {run} completed", run=task.resumes))
    if as_json:
        give(True, {"run": task.resumes, "status": "completed", "resumed": False}, "")


@contextlib.contextmanager
def _ending_told(as_json: bool, quiet: bool) -> Iterator[list[Path]]:
    """How a run ends is told, however that is. Its folder is to be put in the list."""
    folders: list[Path] = []
    try:
        yield folders
    except (Exception, KeyboardInterrupt) as error:
        show_run(next(iter(folders), None), as_json, error)
        raise
    if folders and (as_json or not quiet):
        show_run(folders[0], as_json)


def execute_up_to(given: Mapping[str, Any], last: str) -> None:
    """The chapters from the first to this one; nothing is printed while all is well."""
    from ..runner.task import fresh

    with _ending_told(as_json=False, quiet=True) as folders:
        _execute(fresh(dict(given), "", last), folders, quiet=True, ask=False, key=None)


def _execute(task: Task, folders: list[Path], quiet: bool, *, ask: bool, key: Path | None) -> None:
    from ..runner.kernel import begun
    from ..steps.ask import asking

    params = Params.parse(task.values)
    asked = asking(params) if ask else contextlib.nullcontext()
    with asked, held_back(quiet), begun(params) as folder:
        folders.append(folder)
        # Only now: papermill's imports go on while the kernel starts.
        from ..runner import runner

        bar = sys.stderr.isatty() and not ask
        runner.run(task.values, task.chapters, bar=bar, key=key, resumes=task.resumes)


@main.command(epilog=EPILOG)
@all_parameters
@option("--from", "first", default="00", help="First chapter, by number or name. [default: 00]")
@option("--to", "last", default="03", help="Last chapter, by number or name. [default: 03]")
@JSON
def plan(
    given: Given,
    first: str,
    last: str,
    as_json: bool,
) -> None:
    """Say what `run` would change on the cluster as it is, step by step, with diffs; with --to 09
    also the operation. Nothing is touched."""
    from ..runner.task import fresh

    task = fresh(with_made(values(given)), first, last)
    show_plan(task.values, task.chapters, as_json)


def show_plan(given: Mapping[str, Any], chapters: Sequence[str], as_json: bool) -> None:
    """Print the plan of these chapters."""
    from ..runner.plan import plan as look_ahead

    found = look_ahead(given, chapters)
    give(as_json, [vars(p) for p in found], _text(found), styled=True)


def _text(found: Sequence[Planned]) -> str:
    """Chapter by chapter; the colours are taken out where standard output is no terminal."""
    lines: list[str] = []
    for number, each in enumerate(found):
        if not number or each.chapter != found[number - 1].chapter:
            lines.append(click.style(each.chapter, bold=True))
        sign, colour = SIGNS[each.outcome]
        outcome = t(each.outcome)
        title = legible(f"  {sign} {outcome:<13}  {each.title}")
        lines.append(click.style(title, fg=colour or None))
        if each.outcome == "would change":
            lines += [f"      ({legible(line)})" for line in filter(None, [each.note])]
            lines += [
                f"      {'$ ' if not i else '  '}{line}"
                for c in each.commands
                for i, line in enumerate(legible(c).splitlines())
            ]
            diff = legible(each.diff).splitlines()
            lines += ["      " + click.style(line, fg=COLOURS.get(line[:1])) for line in diff]
    steps = [p.outcome for p in found if p.kind == "step"]
    counts = (steps.count("would change"), steps.count("unchanged"))
    lines.append(t(STEPS, changed=counts[0], unchanged=counts[1]))
    return "\n".join(lines)
