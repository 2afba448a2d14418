"""The command line's verb that executes the chapters: run."""

from __future__ import annotations

import contextlib
import gc
import sys
from pathlib import Path

import click

from ..doors import terminal
from ..params import Params
from . import preview
from .group import EPILOG, main
from .options import FILE, JSON, QUIET, parameters, values, with_made
from .output import give, held_back, show_run


@main.command(epilog=EPILOG)
@parameters
@click.option("--from", "first", default="", help="First chapter, by number or name. [default: 00]")
@click.option("--to", "last", default="", help="Last chapter, by number or name. [default: 03]")
@click.option(
    "--resume",
    is_flag=True,
    help="The last run once more, with its chapters and parameters, unless it completed.",
)
@click.option(
    "--key",
    type=FILE,
    help="Sign with this Ed25519 key (PEM), or PGREPL_SIGNING_KEY. [default: your own]",
)
@click.option(
    "--ask", is_flag=True, help="Ask on the terminal before each step that would change something."
)
@click.option(
    "--plan", is_flag=True, help="As pgrepl plan: say what would change, and touch nothing."
)
@JSON
@QUIET
def run(
    project: str | None,
    engine: str | None,
    given: tuple[tuple[str, str], ...],
    first: str,
    last: str,
    key: Path | None,
    plan: bool,
    ask: bool,
    resume: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Execute the chapters in order: preparation, primary, replica, verification; with --to 08 also the operation."""
    from ..runner.task import fresh, unfinished

    folder = None
    try:
        given_values = values(project, engine, given)
        task = (
            unfinished(given_values, first, last)
            if resume
            else fresh(with_made(given_values), first, last)
        )
        if plan and task.chapters:
            preview.show_plan(task.values, task.chapters, as_json)
            return
        if not task.chapters:
            if not quiet:
                terminal.tell(f"pgrepl: nothing to resume: run {task.resumes} completed")
            if as_json:
                give(True, {"run": task.resumes, "status": "completed", "resumed": False}, "")
            return
        from ..runner.kernel import begun
        from ..steps.ask import asking

        params = Params.parse(task.values)
        with (
            asking(params) if ask else contextlib.nullcontext(),
            held_back(quiet),
            begun(params) as folder,
        ):
            from ..runner.runner import (
                run as run_chapters,
            )  # papermill's imports go on while the kernel starts

            run_chapters(
                task.values,
                task.chapters,
                bar=sys.stderr.isatty() and not ask,
                key=key,
                resumes=task.resumes,
            )
    except (Exception, KeyboardInterrupt) as error:
        if not plan:
            show_run(folder, as_json, error)
        raise
    if as_json or not quiet:
        show_run(folder, as_json)
    gc.freeze()  # the interpreter would search everything that was imported for cycles before it ends
